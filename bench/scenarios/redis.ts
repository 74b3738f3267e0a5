import type { Socket } from "bun";
import { freePort } from "../processes.ts";
import type { Row } from "../report.ts";
import type { Scenario } from "./scenario.ts";

const reads = new Set(["get", "mget", "hget", "hmget", "hgetall", "getex", "exists"]);
/** What a client says when it connects, or to a script's source. */
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
]);

/**
 * Lets a real Redis tell every command that it gets, by MONITOR. What a script does inside the server is marked
 * "lua" and is no trip over the network.
 */
async function monitor(port: number): Promise<{ take(): string[]; close(): void }> {
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
  socket.write("MONITOR\r\n");
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

async function startRedis(port: number) {
  const redis = Bun.spawn(
    ["redis-server", "--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
    { stdio: ["ignore", "ignore", "inherit"] },
  );
  for (let attempt = 0; attempt < 200; attempt++) {
    try {
      const socket = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {} } });
      socket.end();
      return redis;
    } catch {
      await Bun.sleep(10);
    }
  }
  redis.kill();
  throw new Error("redis-server does not listen");
}

/** A turn kept in Redis is one read and one write, counted by Redis itself. */
export const redisTurn: Scenario = {
  name: "redis-turn",
  async run(bench) {
    const row = (measure: string, count: number): Row => ({
      scenario: this.name,
      measure: `${measure} a turn`,
      unit: "",
      values: { gateway: count },
      verdict: { result: String(count), budget: "= 1", met: count === 1 },
    });
    if (Bun.which("redis-server") === null) {
      return [
        {
          scenario: this.name,
          measure: "skipped",
          unit: "",
          values: {},
          note: "redis-server is not installed",
        },
      ];
    }
    const port = freePort();
    const redis = await startRedis(port);
    const watch = await monitor(port);
    try {
      const settings = { SESSION_STORE: "redis", REDIS_URL: `redis://127.0.0.1:${port}` };
      const gateway = await bench.startGateway("site", { settings });
      const turns = bench.size(50, 10);
      const converse = (prefix: string) =>
        bench.run(gateway, "site", {
          load: { kind: "closed", connections: 1, requests: turns },
          stream: false,
          rotate: { header: "x-session-id", prefix, count: 1 },
        });
      // The nonce, shared through the same store, is read and written before it is over.
      await converse("warm");
      await Bun.sleep(50);
      watch.take();
      await converse("counted");
      await Bun.sleep(50);
      const commands = watch.take();
      await gateway.process?.stop();
      const readCount = commands.filter((name) => reads.has(name)).length;
      if (readCount !== turns || commands.length !== 2 * turns) {
        bench.problems.push(
          `${this.name}: ${turns} turns took ${commands.length} commands, ${readCount} of them reads`,
        );
      }
      return [row("reads", readCount / turns), row("writes", (commands.length - readCount) / turns)];
    } finally {
      watch.close();
      redis.kill();
      await redis.exited;
    }
  },
};
