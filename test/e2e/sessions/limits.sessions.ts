/** Limits of keys and circuits that hold for three processes together, and what becomes of them when their store is gone. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { jsonScript, type OpenAiUpstream, startOpenAiUpstream } from "../../fakes/openai-upstream.ts";
import { redisCluster } from "../../support/redis-groups.ts";
import { type RedisServer, redisServer, requireRedis } from "../../support/redis-server.ts";
import { type Server, startServer } from "../../support/start-server.ts";

requireRedis();

const keys = {
  ann: { key: "sk-ann-0123456789", rpm: 12 },
  bob: { key: "sk-bob-0123456789", tokensPerDay: 200 },
  cy: "sk-cy-0123456789",
};

let upstream: OpenAiUpstream;
beforeAll(async () => {
  upstream = await startOpenAiUpstream();
});
afterAll(() => upstream.close());

const startThree = (env: Readonly<Record<string, string>>): Promise<Server[]> =>
  Promise.all(
    Array.from({ length: 3 }, () =>
      startServer({
        env: {
          KIMI_WEB: "off",
          OPENAI_BASE_URL: upstream.baseUrl,
          OPENAI_MODELS: "echo",
          API_KEYS: JSON.stringify(keys),
          RATE_LIMIT_SHARED: "on",
          ...env,
        },
      }),
    ),
  );

const ask = async ({ url }: Server, key: string, more: object = {}) => {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}` },
    body: JSON.stringify({ messages: [{ role: "user", content: "Hello, how are you?" }], ...more }),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, text };
};

/** `count` requests at once, spread over the processes; how many got in. */
const granted = async (servers: readonly Server[], key: string, count: number): Promise<number> => {
  const asking = Array.from({ length: count }, (_, index) => ask(servers[index % 3] as Server, key));
  const answers = await Promise.all(asking);
  expect(answers.every(({ status }) => status === 200 || status === 429)).toBe(true);
  return answers.filter(({ status }) => status === 200).length;
};

const warningsOf = (server: Server): string[] =>
  server
    .output()
    .split("\n")
    .filter((line) => line.includes('"limit.not_shared"'));

interface Shared {
  readonly env: Readonly<Record<string, string>>;
  end(): Promise<unknown>;
}

const stores: Readonly<Record<string, () => Promise<Shared>>> = {
  async "one Redis"() {
    const redis = await redisServer();
    return {
      env: { SESSION_STORE: "redis", REDIS_URL: redis.url },
      end: async () => redis[Symbol.asyncDispose](),
    };
  },
  async "a Redis Cluster"() {
    const cluster = await redisCluster();
    const env = { SESSION_STORE: "redis", REDIS_URL: cluster.url };
    return { env, end: async () => cluster[Symbol.asyncDispose]() };
  },
  async "one SQLite file"() {
    const folder = await mkdtemp(join(tmpdir(), "limits-"));
    return { env: { DATA_DIR: folder }, end: () => rm(folder, { recursive: true, force: true }) };
  },
};

describe.each(Object.entries(stores))("three processes on %s", (_, open) => {
  let shared: Shared;
  let servers: Server[];
  beforeAll(async () => {
    shared = await open();
    servers = await startThree(shared.env);
  });
  afterAll(async () => {
    await Promise.all(servers.map((server) => server.stop()));
    await shared.end();
  });

  test("let a key make as many requests a minute as one process would", async () => {
    expect(await granted(servers, keys.ann.key, 40)).toBe(12);
    for (const server of servers) {
      const { status, headers, text } = await ask(server, keys.ann.key);
      expect([status, JSON.parse(text).error.code]).toEqual([429, "rate_limit_exceeded"]);
      expect(Number(headers.get("retry-after"))).toBeWithin(1, 6);
    }
    expect(await granted(servers, keys.cy, 12)).toBe(12);
    expect(servers.flatMap(warningsOf)).toEqual([]);
  });

  test("count a key's tokens together, of streams and whole answers, and after a restart", async () => {
    let turns = 0;
    while (
      turns < 100 &&
      (await ask(servers[turns % 3] as Server, keys.bob.key, { stream: turns % 2 === 0 })).status === 200
    )
      turns++;
    expect(turns).toBeWithin(3, 50);
    const [first, ...rest] = servers;
    await first?.stop();
    servers = [...(await startThree(shared.env)), ...rest];
    for (const server of servers) {
      const { status, headers, text } = await ask(server, keys.bob.key);
      expect([status, JSON.parse(text).error.code]).toEqual([429, "token_limit_exceeded"]);
      expect(Number(headers.get("retry-after"))).toBeWithin(86_000, 86_401);
      expect(headers.get("x-ratelimit-remaining-tokens")).toBe("0");
    }
  });
});

describe("three processes whose Redis is killed", () => {
  let redis: RedisServer;
  let servers: Server[];
  beforeAll(async () => {
    redis = await redisServer();
    servers = await startThree({ SESSION_STORE: "redis", REDIS_URL: redis.url });
  });
  afterAll(async () => {
    await Promise.all(servers.map((server) => server.stop()));
    await redis[Symbol.asyncDispose]();
  });

  test("fail no request: each counts by itself, and says so once", async () => {
    expect(await granted(servers, keys.ann.key, 6)).toBe(6);
    await redis.kill();
    // Each has granted two of its twelve.
    expect(await granted(servers, keys.ann.key, 60)).toBe(30);
    expect(servers.map((server) => warningsOf(server).length)).toEqual([1, 1, 1]);
    for (const server of servers) {
      expect(warningsOf(server)[0]).toContain('"store":"redis"');
      expect(server.output()).not.toMatch(/sk-ann|internal_error/);
    }
  });

  test("wait 300 ms for one that hangs, and for none once it answers", async () => {
    await redis.start();
    await Bun.sleep(1_100);
    expect((await ask(servers[0] as Server, keys.cy)).status).toBe(200);
    redis.pause();
    await Bun.sleep(1_100);
    const timed = async () => {
      const startedMs = performance.now();
      expect((await ask(servers[0] as Server, keys.bob.key)).status).toBe(200);
      return performance.now() - startedMs;
    };
    expect(await timed()).toBeWithin(290, 1_500);
    redis.resume();
    await Bun.sleep(1_100);
    expect(await timed()).toBeLessThan(290);
  });
});

test("an outage that one process has found out spares the others four failures of five", async () => {
  await using redis = await redisServer();
  const servers = await startThree({ SESSION_STORE: "redis", REDIS_URL: redis.url, CIRCUIT_SHARED: "on" });
  const outage = Array.from({ length: 20 }, () => jsonScript(503, { error: { message: "Closed" } }));
  upstream.script(...outage);
  const calls = async (server: Server, count: number): Promise<number> => {
    const before = upstream.calls.length;
    for (let time = 0; time < count; time++) {
      expect((await ask(server, keys.cy)).status).toBe(503);
      await Bun.sleep(50);
    }
    return upstream.calls.length - before;
  };
  const [first, second, third] = servers as [Server, Server, Server];
  expect(await calls(first, 8)).toBe(5);
  expect(await calls(second, 3)).toBe(1);
  expect(second.output()).toContain('"elsewhere":true');
  await redis.kill();
  expect(await calls(third, 8)).toBe(5);
  await Promise.all(servers.map((server) => server.stop()));
});
