import type { Socket } from "bun";
import { upstashBridge } from "../../test/fakes/upstash-bridge.ts";
import { redisCluster, redisSentinels } from "../../test/support/redis-groups.ts";
import { hasRedis, type RedisServer, redisServer } from "../../test/support/redis-server.ts";
import type { Bench } from "../bench.ts";
import type { Row } from "../report.ts";
import type { Scenario } from "./scenario.ts";

const reads = new Set(["get", "mget", "hget", "hmget", "hgetall", "getex", "exists"]);
/** What a client says when it connects or looks for its servers, and servers to each other. */
const greetings = new Set([
  "hello",
  "auth",
  "client",
  "select",
  "ping",
  "info",
  "command",
  "script",
  "monitor",
  "cluster",
  "role",
  "replconf",
  "publish",
  "subscribe",
  "psubscribe",
]);

interface Watch {
  /** The commands since the last call, in lower case. */
  take(): string[];
  close(): void;
}

/**
 * Lets a real Redis tell every command that it gets, by MONITOR. What a script does inside the server is marked
 * "lua" and is no trip over the network.
 */
async function monitor({
  port,
  password = "",
}: {
  readonly port: number;
  readonly password?: string;
}): Promise<Watch> {
  let text = "";
  const { promise, resolve } = Promise.withResolvers<void>();
  const socket: Socket = await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      data(_, data) {
        text += data.toString();
        if (text.startsWith("+OK")) resolve();
      },
    },
  });
  const auth = password === "" ? "" : `*2\r\n$4\r\nAUTH\r\n$${password.length}\r\n${password}\r\n`;
  socket.write(`${auth}MONITOR\r\n`);
  await promise;
  return {
    take() {
      const commands = [...text.matchAll(/^\+[\d.]+ \[\d+ (?!lua)[^\]]*\] "(\w+)"/gm)].map(([, name]) =>
        (name ?? "").toLowerCase(),
      );
      text = "";
      return commands.filter((name) => !greetings.has(name));
    },
    close: () => socket.end(),
  };
}

/** All of them as one. */
async function monitorAll(servers: readonly RedisServer[], password?: string): Promise<Watch> {
  const watches = await Promise.all(
    servers.map(({ port }) => monitor({ port, ...(password && { password }) })),
  );
  return {
    take: () => watches.flatMap((watch) => watch.take()),
    close() {
      for (const watch of watches) watch.close();
    },
  };
}

interface OpenStore {
  readonly settings: Readonly<Record<string, string>>;
  readonly watch: Watch;
  end(): Promise<unknown>;
}

const redis = { SESSION_STORE: "redis" };

const stores: Readonly<Record<string, () => Promise<OpenStore>>> = {
  async redis() {
    const server = await redisServer();
    return {
      settings: { ...redis, REDIS_URL: server.url },
      watch: await monitorAll([server]),
      end: async () => server[Symbol.asyncDispose](),
    };
  },
  async "redis+cluster"() {
    const cluster = await redisCluster();
    return {
      settings: { ...redis, REDIS_URL: cluster.url },
      watch: await monitorAll(cluster.masters, cluster.password),
      end: async () => cluster[Symbol.asyncDispose](),
    };
  },
  async "redis+sentinel"() {
    const sentinels = await redisSentinels();
    return {
      settings: { ...redis, REDIS_URL: sentinels.url },
      watch: await monitorAll([sentinels.master], sentinels.password),
      end: async () => sentinels[Symbol.asyncDispose](),
    };
  },
  async "redis-rest"() {
    const server = await redisServer();
    const bridge = await upstashBridge(server.url);
    return {
      settings: {
        SESSION_STORE: "redis-rest",
        UPSTASH_REDIS_REST_URL: bridge.url,
        UPSTASH_REDIS_REST_TOKEN: bridge.token,
      },
      watch: await monitorAll([server]),
      async end() {
        await bridge[Symbol.asyncDispose]();
        await server[Symbol.asyncDispose]();
      },
    };
  },
};

/** The commands of so many turns of one conversation, once the nonce, which is shared through the same store, is there. */
async function commandsOf(bench: Bench, { settings, watch }: OpenStore, turns: number): Promise<string[]> {
  const gateway = await bench.startGateway("site", { settings });
  const converse = (prefix: string) =>
    bench.run(gateway, "site", {
      load: { kind: "closed", connections: 1, requests: turns },
      stream: false,
      rotate: { header: "x-session-id", prefix, count: 1 },
    });
  await converse("warm");
  await Bun.sleep(50);
  watch.take();
  await converse("counted");
  await Bun.sleep(50);
  const commands = watch.take();
  await gateway.process?.stop();
  return commands;
}

/** A turn kept in Redis is one read and one write, counted by Redis itself, and a limited request one more. */
export const storeTurns: Scenario = {
  name: "store-turns",
  async run(bench) {
    if (!hasRedis())
      return [
        {
          scenario: this.name,
          measure: "skipped",
          unit: "",
          values: {},
          note: "redis-server is not installed",
        },
      ];
    const turns = bench.size(50, 10);
    const rows: Row[] = [];
    const check = (measure: string, count: number) => {
      const value = count / turns;
      if (value !== 1) bench.problems.push(`${this.name}: ${measure} are ${value}`);
      rows.push({
        scenario: this.name,
        measure,
        unit: "",
        values: { gateway: value },
        verdict: { result: String(value), budget: "= 1", met: value === 1 },
      });
    };
    for (const [name, open] of Object.entries(stores)) {
      const store = await open();
      try {
        const commands = await commandsOf(bench, store, turns);
        const readCount = commands.filter((command) => reads.has(command)).length;
        check(`${name}, reads a turn`, readCount);
        check(`${name}, writes a turn`, commands.length - readCount);
        if (name !== "redis") continue;
        const limited = { ...store.settings, RATE_LIMIT_SHARED: "on", RATE_LIMIT_RPM: "100000" };
        const counted = await commandsOf(bench, { ...store, settings: limited }, turns);
        check(`${name}, scripts for a shared limit a turn`, counted.length - commands.length);
      } finally {
        store.watch.close();
        await store.end();
      }
    }
    return rows;
  },
};
