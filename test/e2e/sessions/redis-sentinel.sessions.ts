import { afterAll, expect, test } from "bun:test";
import { redisSentinels } from "../../support/redis-groups.ts";
import { requireRedis } from "../../support/redis-server.ts";
import { acrossProcesses } from "./across-processes.ts";
import { whileDisturbed } from "./while-disturbed.ts";

requireRedis();
const sentinels = await redisSentinels();
afterAll(() => sentinels[Symbol.asyncDispose]());

const count = 3;
const group = await acrossProcesses("three gateways on a Redis master behind three sentinels", {
  count,
  env: { SESSION_STORE: "redis", REDIS_URL: sentinels.url },
  turns: 60,
  conversations: 10,
});

test("when the master is killed, the replica takes over: no kept turn is lost, and all goes on by itself", async () => {
  const failOver = async () => {
    await sentinels.master.kill();
    await sentinels.failedOver();
    // The replica's part in it.
    await Bun.sleep(1_000);
  };
  const { chats, failed } = await whileDisturbed({ group, count, name: "failedOver" }, failOver);
  expect(failed).toBeGreaterThan(0);
  await Promise.all(chats.map((chat, index) => chat.check(index % count, { mayHaveKept: true })));

  // What comes back is a replica, and must not be taken for the master.
  await sentinels.master.start();
  const after = await whileDisturbed({ group, count, name: "back" }, () => Bun.sleep(1_500));
  expect(after.failed).toBe(0);
  await Promise.all(after.chats.map((chat, index) => chat.check(index % count)));
});
