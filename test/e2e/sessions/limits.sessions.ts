/** Limits of keys and circuits that hold for three processes together, and what becomes of them when their store is gone. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { jsonScript, type OpenAiUpstream, startOpenAiUpstream } from "../../fakes/openai-upstream.ts";
import { redisCluster } from "../../support/redis-groups.ts";
import { type RedisServer, redisServer, requireRedis } from "../../support/redis-server.ts";
import type { Server } from "../../support/start-server.ts";
import { until } from "../../support/until.ts";
import { ask, granted, keys, limitsAcross, startSharing, warningsOf } from "./limits-across.ts";

requireRedis();

let upstream: OpenAiUpstream;
beforeAll(async () => {
  upstream = await startOpenAiUpstream();
});
afterAll(() => upstream.close());

limitsAcross("three processes on one Redis", {
  async open() {
    const redis = await redisServer();
    const env = { SESSION_STORE: "redis", REDIS_URL: redis.url };
    return { env, end: async () => redis[Symbol.asyncDispose]() };
  },
});

limitsAcross("three processes on a Redis Cluster", {
  async open() {
    const cluster = await redisCluster();
    const env = { SESSION_STORE: "redis", REDIS_URL: cluster.url };
    return { env, end: async () => cluster[Symbol.asyncDispose]() };
  },
});

const inFolder = async (env: (folder: string) => Readonly<Record<string, string>>) => {
  const folder = await mkdtemp(join(tmpdir(), "limits-"));
  return { env: env(folder), end: () => rm(folder, { recursive: true, force: true }) };
};

limitsAcross("three processes on one SQLite file", {
  open: () => inFolder((folder) => ({ DATA_DIR: folder })),
});

limitsAcross("three Deno processes on one Deno KV file", {
  // The script of that name in node_modules/.bin would not pass signals on.
  command: [join(import.meta.dir, "../../../node_modules/deno/deno"), "run", "-A", "adapters/deno.ts"],
  open: () =>
    inFolder((folder) => ({
      SESSION_STORE: "deno-kv",
      DENO_KV_PATH: join(folder, "limits.db"),
      DENO_NO_UPDATE_CHECK: "1",
    })),
});

describe("three processes whose Redis is killed", () => {
  let redis: RedisServer;
  let servers: Server[];
  beforeAll(async () => {
    redis = await redisServer();
    servers = await startSharing(upstream, { env: { SESSION_STORE: "redis", REDIS_URL: redis.url } });
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
    await until(async () => servers.every((server) => warningsOf(server).length > 0));
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
  const servers = await startSharing(upstream, {
    env: { SESSION_STORE: "redis", REDIS_URL: redis.url, CIRCUIT_SHARED: "on" },
  });
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
  await until(async () => second.output().includes('"elsewhere":true'));
  await redis.kill();
  expect(await calls(third, 8)).toBe(5);
  await Promise.all(servers.map((server) => server.stop()));
});
