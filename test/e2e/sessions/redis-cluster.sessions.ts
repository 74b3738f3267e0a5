import { afterAll, describe, expect, test } from "bun:test";
import { redisCluster } from "../../support/redis-groups.ts";
import { requireRedis } from "../../support/redis-server.ts";
import { acrossProcesses } from "./across-processes.ts";
import { whileDisturbed } from "./while-disturbed.ts";

requireRedis();
const cluster = await redisCluster();
afterAll(() => cluster[Symbol.asyncDispose]());

const count = 3;
const group = await acrossProcesses("three gateways on a Redis Cluster of three masters", {
  count,
  env: { SESSION_STORE: "redis", REDIS_URL: cluster.url },
  turns: 60,
  conversations: 10,
});

describe("turns on a Redis Cluster", () => {
  test("go on while slots move to another master: none fails, none is lost", async () => {
    const reshard = () => cluster.reshard(500);
    const { chats, failed } = await whileDisturbed({ group, count, name: "moved" }, reshard);
    expect(failed).toBe(0);
    await Promise.all(chats.map((chat, index) => chat.check(index % count)));
  });

  test("are lost by no master that is killed: its replica takes over, and all goes on by itself", async () => {
    const [, victim] = cluster.nodes;
    const killed = async () => {
      await victim?.kill();
      await cluster.settled();
    };
    const { chats, kept } = await whileDisturbed({ group, count, name: "killed" }, killed);
    // Those whose slots are elsewhere.
    expect(kept).toBeGreaterThan(0);
    await Promise.all(chats.map((chat, index) => chat.check(index % count, { mayHaveKept: true })));
  });
});
