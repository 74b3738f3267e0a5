import { describe, expect, test } from "bun:test";
import { memoryStore } from "../../core/stores/memory.ts";
import { fakeClock } from "../fakes/fake-clock.ts";
import { assistant, broken, countedChat, rememberedChat, system, user } from "../support/remembered-chat.ts";

const minuteMs = 60_000;

describe("the life of a conversation", () => {
  test("ends ttlMs after its last finished turn, to the millisecond", async () => {
    const { say, refusal, clock, remembered } = countedChat({ ttlMs: minuteMs });
    await say([user("one")], { session: "s" });
    await clock.advance(minuteMs - 1);
    await say([user("two")], { session: "s" });
    await clock.advance(minuteMs - 1);
    await refusal([user("fails")], { session: "s", reply: broken() });
    expect(await remembered({ session: "s" })).toHaveLength(4);
    await clock.advance(1);
    expect(await remembered({ session: "s" })).toBeUndefined();
    expect((await say([user("three")], { session: "s" })).told).toEqual(["u:three"]);
  });

  test("ends exactly even where the store deletes late", async () => {
    const clock = fakeClock();
    const lazy = memoryStore({ maxEntries: 10, clock: { monotonic: () => 0 } });
    const { say } = rememberedChat({ clock, store: lazy, ttlMs: minuteMs });
    await say([user("one")], { session: "s" });
    await clock.advance(minuteMs);
    expect((await say([user("two")], { session: "s" })).told).toEqual(["u:two"]);
    expect((await say([user("three")], { session: "s" })).told).toEqual(["u:two", "a:reply 2", "u:three"]);
  });

  test("a turn that outlasts the stored conversation still has it", async () => {
    const { say, clock, remembered } = countedChat({ ttlMs: minuteMs });
    await say([user("one")], { session: "s" });
    await say([user("two")], { session: "s", meanwhile: () => clock.advance(2 * minuteMs) });
    expect(await remembered({ session: "s" })).toContain("u:two");
  });

  test("is bounded: the oldest turns go first, a user's together with its reply", async () => {
    const { say, store, remembered } = countedChat({ maxBytes: 1000 });
    for (let turn = 1; turn <= 20; turn++) {
      const instance = turn % 3 === 0 ? 1 : 0;
      await say([system("S"), user(`${turn} ${"漢".repeat(20)}`)], { session: "s", instance });
      for (const value of store.entries.values()) expect(Buffer.byteLength(value)).toBeLessThanOrEqual(1000);
    }
    const texts = (await remembered({ session: "s" })) ?? [];
    expect(texts.map((text) => text[0]).join("")).toMatch(/^s(ua)+$/);
    expect(texts.at(-1)).toBe("a:reply 20");
    expect(texts.length).toBeGreaterThan(4);
  });

  test("is bounded by whole turns, also where a turn has several messages", async () => {
    const { say, remembered } = countedChat({ maxBytes: 900 });
    const filler = "x".repeat(60);
    for (let turn = 1; turn <= 10; turn++) {
      await say([user(`a${turn} ${filler}`), user(`b${turn} ${filler}`)], { session: "s" });
      const texts = (await remembered({ session: "s" })) ?? [];
      expect(texts.map((text) => text[0]).join("")).toMatch(/^(uua)+$/);
    }
  });

  test("a turn too long to be kept takes the older ones with it, and says that it wasn't saved", async () => {
    const { say, remembered } = countedChat({ maxBytes: 1000 });
    await say([system("S"), user("one")], { session: "s" });
    const long = await say([user("x".repeat(1000))], { session: "s" });
    expect(long).toMatchObject({ reply: "reply 2", isSaved: false });
    expect(await remembered({ session: "s" })).toEqual(["s:S"]);
    const next = await say([user("two")], { session: "s" });
    expect(next).toMatchObject({ told: ["s:S", "u:two"], isSaved: true });
    expect(await remembered({ session: "s" })).toEqual(["s:S", "u:two", "a:reply 3"]);
  });

  test("system texts too long to be kept are told and not kept", async () => {
    const { say, remembered } = countedChat({ maxBytes: 1000 });
    const { told, isSaved } = await say([system("S".repeat(2000)), user("one")], { session: "s" });
    expect([told?.length, isSaved]).toEqual([2, false]);
    expect(await remembered({ session: "s" })).toEqual([]);
  });
});

describe("deleting a conversation", () => {
  const key = { session: "s" };

  test("forgets a conversation; the next one starts afresh", async () => {
    const { say, forget, show } = countedChat();
    const first = await say([user("one")], key);
    await forget(key);
    expect(await show(key)).toBeUndefined();
    const next = await say([user("two")], key);
    expect(next.told).toEqual(["u:two"]);
    expect(next.conversation.id).not.toBe(first.conversation.id);
    expect((await say([user("three")], key)).told).toEqual(["u:two", "a:reply 2", "u:three"]);
  });

  test("leaves no text behind", async () => {
    const { say, forget, store } = countedChat();
    await say([user("planted")], key);
    await forget(key);
    expect([...store.entries.values()].join()).not.toContain("planted");
  });

  test("works where there is nothing, and touches no other conversation", async () => {
    const { say, forget, remembered } = countedChat();
    await say([user("one")], { user: "s" });
    await forget(key);
    expect(await remembered({ user: "s" })).toEqual(["u:one", "a:reply 1"]);
  });

  test.each([0, 1])("wins over a turn under way after %d finished ones", async (turns) => {
    const { say, forget, show } = countedChat();
    for (let turn = 0; turn < turns; turn++) await say([user("before")], key);
    const { reply, isSaved } = await say([user("during")], { ...key, meanwhile: () => forget(key) });
    expect([reply, isSaved]).toEqual([`reply ${turns + 1}`, false]);
    expect(await show(key)).toBeUndefined();
  });

  test("wins over a turn under way even when another has begun since", async () => {
    const { say, forget, remembered } = countedChat();
    const meanwhile = async () => {
      await forget(key);
      await say([user("after")], key);
    };
    await say([user("during")], { ...key, meanwhile });
    expect(await remembered(key)).toEqual(["u:after", "a:reply 2"]);
  });

  test("makes a client's own history unknown again", async () => {
    const { say, forget } = countedChat();
    await say([user("one"), assistant("a"), user("two")], { user: "u" });
    await forget({ user: "u" });
    await say([user("three")], { user: "u" });
    expect((await say([user("four")], { user: "u" })).told).toEqual(["u:three", "a:reply 2", "u:four"]);
  });
});
