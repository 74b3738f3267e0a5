import { afterAll, describe, expect, test } from "bun:test";
import { redisServer, requireRedis } from "../../support/redis-server.ts";
import { acrossProcesses } from "./across-processes.ts";
import { conversation } from "./conversation.ts";

requireRedis();
const redis = await redisServer();
afterAll(() => redis[Symbol.asyncDispose]());

const count = 4;
const group = await acrossProcesses("four gateways on one Redis", {
  count,
  env: { SESSION_STORE: "redis", REDIS_URL: redis.url },
  turns: 200,
  conversations: 50,
});

describe("when Redis is restarted", () => {
  test("requests fail cleanly meanwhile, and all goes on without a restart of the gateways", async () => {
    const chats = Array.from({ length: count }, (_, gateway) => conversation(group, count, `down${gateway}`));
    const everywhere = <T>(task: (chat: (typeof chats)[number], gateway: number) => Promise<T>) =>
      Promise.all(chats.map(task));
    await everywhere((chat, gateway) => chat.say(gateway));

    await redis.stop();
    for (const isStream of [false, true]) {
      for (const { status, code, headers } of await everywhere((chat, gateway) =>
        chat.attempt(gateway, isStream),
      )) {
        expect({ status, code }).toEqual({ status: 503, code: "session_store_unavailable" });
        expect(headers.get("retry-after")).toMatch(/^\d+$/);
      }
    }
    await redis.start();
    await everywhere((chat, gateway) => chat.say(gateway));
    await everywhere((chat, gateway) => chat.check(gateway));
  });

  test("nobody notices who sends nothing meanwhile", async () => {
    const chats = Array.from({ length: count }, (_, gateway) => conversation(group, count, `idle${gateway}`));
    await Promise.all(chats.map((chat, gateway) => chat.say(gateway)));
    await redis.stop();
    await redis.start();
    await Promise.all(chats.map((chat, gateway) => chat.say(gateway)));
    await Promise.all(chats.map((chat, gateway) => chat.check(gateway)));
  });

  test("answers whose turn can't be kept are delivered and say so", async () => {
    const chats = Array.from({ length: count }, (_, gateway) =>
      conversation(group, count, `unkept${gateway}`),
    );
    await Promise.all(chats.map((chat, gateway) => chat.say(gateway)));
    await group.site.set({ delay_ms: 500 });
    const asked = (await group.site.status()).counts.ajax + count;
    const answers = Promise.all(chats.map((chat, gateway) => chat.attempt(gateway, gateway % 2 === 0)));
    while ((await group.site.status()).counts.ajax < asked) await Bun.sleep(5);
    await redis.stop();
    for (const outcome of await answers)
      expect(outcome).toMatchObject({
        status: 200,
        code: undefined,
        isSaved: false,
        reply: expect.stringMatching(/-t2$/),
      });
    await group.site.set({ delay_ms: 0 });
    await redis.start();
    await Promise.all(chats.map((chat, gateway) => chat.say(gateway)));
    await Promise.all(chats.map((chat, gateway) => chat.check(gateway)));
  });
});

test("when Redis hangs, requests fail after two seconds, and go on when it does", async () => {
  const chats = Array.from({ length: count }, (_, gateway) => conversation(group, count, `hung${gateway}`));
  await Promise.all(chats.map((chat, gateway) => chat.say(gateway)));
  redis.pause();
  const startedMs = performance.now();
  for (const outcome of await Promise.all(chats.map((chat, gateway) => chat.attempt(gateway))))
    expect(outcome).toMatchObject({ status: 503, code: "session_store_unavailable" });
  expect(performance.now() - startedMs).toBeWithin(1_900, 4_000);
  redis.resume();
  await Promise.all(chats.map((chat, gateway) => chat.say(gateway)));
  await Promise.all(chats.map((chat, gateway) => chat.check(gateway)));
});

test("a conversation that is forgotten at one gateway while another answers stays forgotten", async () => {
  const chat = conversation(group, count, "forgotten");
  await chat.say(0);
  await group.site.set({ delay_ms: 200 });
  const asked = (await group.site.status()).counts.ajax + 1;
  const answering = chat.attempt(1);
  while ((await group.site.status()).counts.ajax < asked) await Bun.sleep(5);
  await group.forget("forgotten", 2);
  expect(await answering).toMatchObject({ status: 200, isSaved: false });
  await group.site.set({ delay_ms: 0 });
  expect(await group.remembered("forgotten", 3)).toEqual([]);
});

test("when a gateway is killed, nothing is lost that was finished, and its clients go on at the others", async () => {
  const victim = count - 1;
  const chats = Array.from({ length: 20 }, (_, index) => conversation(group, count, `kill${index}`));
  await group.site.set({ delay_ms: 5 });
  await Promise.all(
    chats.map(async (chat, index) => {
      for (let turn = 0; turn < 15; turn++) {
        if (index === 0 && turn === 7) group.kill(victim);
        await chat.say((index + turn) % count, turn % 2 === 0);
      }
    }),
  );
  await Promise.all(chats.map((chat, index) => chat.check(index % victim)));
});
