import { describe, expect, test } from "bun:test";
import { ApiError } from "../../core/errors.ts";
import type { StreamPart, UpstreamEvent } from "../../core/types.ts";
import { settle } from "../fakes/fake-clock.ts";
import { assistant, broken, countedChat, messageFields, user } from "../support/remembered-chat.ts";
import { until } from "../support/until.ts";

const minuteMs = 60_000;

describe("an unfinished turn of a conversation", () => {
  test("leaves no trace when it fails", async () => {
    const { say, refusal, remembered } = countedChat();
    await say([user("one")], { session: "s" });
    expect(await refusal([user("lost")], { session: "s", reply: broken() })).toBe("upstream_error");
    expect(await remembered({ session: "s" })).toEqual(["u:one", "a:reply 1"]);
  });

  test("leaves no trace when it is aborted", async () => {
    const { say, refusal, remembered } = countedChat();
    const controller = new AbortController();
    await say([user("one")], { session: "s" });
    const meanwhile = () => controller.abort(new ApiError("client_closed_request", "gone"));
    const reader = refusal([user("lost")], {
      session: "s",
      signal: controller.signal,
      meanwhile,
      reply: broken(),
    });
    expect(await reader).not.toBe("none");
    expect(await remembered({ session: "s" })).toEqual(["u:one", "a:reply 1"]);
  });

  test("a client that posts a failed request three times is remembered once", async () => {
    const { refusal, say, remembered } = countedChat();
    const key = { session: "s" };
    await refusal([user("one")], { ...key, reply: broken() });
    await refusal([user("one")], { ...key, reply: broken(), retryCount: 1 });
    const third = await say([user("one")], { ...key, retryCount: 2 });
    expect(third.told).toEqual(["u:one"]);
    expect(await remembered(key)).toEqual(["u:one", "a:reply 3"]);
  });
});

describe("a retry in a conversation", () => {
  const key = { session: "s" };

  test.each([
    ["the same Idempotency-Key", { idempotencyKey: "k" }, { idempotencyKey: "k" }],
    ["x-stainless-retry-count", {}, { retryCount: 1 }],
    ["both, and another Idempotency-Key", { idempotencyKey: "k" }, { idempotencyKey: "l", retryCount: 2 }],
  ])("with %s gets the stored reply and asks nobody", async (_, first, second) => {
    const { say, asked, remembered, store } = countedChat();
    const before = await say([user("one")], { ...key, ...first });
    const writes = store.writes;
    const again = await say([user("one")], { ...key, ...second });
    expect(again).toEqual({ ...before, told: undefined, source: "store" });
    expect(asked).toHaveLength(1);
    expect(store.writes).toBe(writes);
    expect(await remembered(key)).toEqual(["u:one", "a:reply 1"]);
  });

  test("gets every part of the stored reply", async () => {
    const { say } = countedChat();
    const reply: (StreamPart | UpstreamEvent)[] = [
      { type: "reasoning-delta", delta: "hm" },
      { type: "text-delta", delta: "yes" },
      { type: "tool-call-delta", index: 0, id: "c", name: "f", delta: "{}" },
      messageFields({ annotations: [1] }),
      { type: "finish", reason: "length" },
      { type: "usage", usage: { promptTokens: 1, completionTokens: 2, totalTokens: 3 } },
    ];
    await say([user("one")], { ...key, reply });
    const again = await say([user("one")], { ...key, retryCount: 1 });
    expect(again).toMatchObject({ reply: "yes", source: "store" });
  });

  test("works for a user whose client keeps its history, and for that history", async () => {
    const { say, asked } = countedChat();
    const history = [user("one"), assistant("a"), user("two")];
    const first = await say(history, { user: "u" });
    const again = await say(history, { user: "u", retryCount: 1 });
    expect(again).toMatchObject({ reply: first.reply, source: "store" });
    expect(asked).toHaveLength(1);
  });

  test("is a new turn once five minutes have passed", async () => {
    const { say, clock } = countedChat();
    await say([user("one")], { ...key, idempotencyKey: "k" });
    await clock.advance(5 * minuteMs - 1);
    expect((await say([user("one")], { ...key, idempotencyKey: "k" })).source).toBe("store");
    await clock.advance(1);
    expect((await say([user("one")], { ...key, idempotencyKey: "k" })).source).toBe("provider");
  });

  test("is a new turn without Idempotency-Key and retry count, or when another turn has come between", async () => {
    const { say } = countedChat();
    await say([user("one")], key);
    expect((await say([user("one")], key)).told).toEqual(["u:one", "a:reply 1", "u:one"]);
    await say([user("two")], key);
    expect((await say([user("one")], { ...key, retryCount: 1 })).source).toBe("provider");
  });

  test("with the same text and another body is a new turn", async () => {
    const { say } = countedChat();
    await say([user("one")], { ...key, body: "a" });
    expect((await say([user("one")], { ...key, body: "b", retryCount: 1 })).source).toBe("provider");
  });

  test("in another conversation is a new turn", async () => {
    const { say } = countedChat();
    await say([user("one")], { ...key, idempotencyKey: "k" });
    for (const other of [{ session: "t" }, { user: "s" }, { session: "s", apiKey: "sk-2" }, {}]) {
      const { source } = await say([user("one")], { ...other, idempotencyKey: "k", retryCount: 1 });
      expect(source).toBe("provider");
    }
  });

  test("with the same Idempotency-Key and another body is refused, and not to be retried", async () => {
    const { say, refusal, asked } = countedChat();
    await say([user("one")], { ...key, idempotencyKey: "k" });
    expect(await refusal([user("two")], { ...key, idempotencyKey: "k" })).toBe("idempotency_key_reused");
    expect(new ApiError("idempotency_key_reused", "").shouldRetry).toBeFalse();
    expect(asked).toHaveLength(1);
  });

  /** A chat whose model is at work until as many requests as `requests` have looked into the store. */
  const busyChat = (requests: number) => {
    const chat = countedChat();
    const meanwhile = () => until(async () => chat.store.reads === requests).then(settle);
    const isUnderWay = () => until(async () => chat.asked.length === 1);
    return { ...chat, same: { ...key, idempotencyKey: "k", meanwhile }, meanwhile, isUnderWay };
  };

  test("of a request under way joins it: one call, one turn, one answer for both", async () => {
    const { say, asked, remembered, store, same, isUnderWay } = busyChat(2);
    const first = say([user("one")], same);
    await isUnderWay();
    const both = await Promise.all([first, say([user("one")], same)]);
    expect(both.map(({ reply }) => reply)).toEqual(["reply 1", "reply 1"]);
    expect(both.map(({ source }) => source)).toEqual(["provider", "running"]);
    expect(asked).toHaveLength(1);
    expect(store.writes).toBe(1);
    expect(await remembered(key)).toEqual(["u:one", "a:reply 1"]);
  });

  test("of a request under way joins it by its retry count, and leaves others alone", async () => {
    const { say, asked, meanwhile, isUnderWay } = busyChat(3);
    const first = say([user("one")], { ...key, meanwhile });
    await isUnderWay();
    const turns = await Promise.all([
      first,
      say([user("one")], { ...key, retryCount: 1 }),
      say([user("other")], { ...key, retryCount: 1 }),
    ]);
    expect(turns.map(({ source }) => source)).toEqual(["provider", "running", "provider"]);
    expect(asked).toHaveLength(2);
  });

  test.each([
    ["retry count", { retryCount: 1 }],
    ["Idempotency-Key", { idempotencyKey: "k" }],
  ])("of a request that another instance has under way is kept once, by its %s", async (_, again) => {
    const { say, remembered } = countedChat();
    const meanwhile = () => say([user("one")], { ...key, ...again, retryCount: 0 });
    const retry = await say([user("one")], { ...key, ...again, instance: 1, meanwhile });
    expect(retry).toMatchObject({ source: "provider", isSaved: true });
    expect(await remembered(key)).toHaveLength(2);
    expect((await say([user("two")], key)).told).toHaveLength(3);
  });

  test("of a request under way with another body and the same Idempotency-Key is refused", async () => {
    const { say, refusal, same, isUnderWay } = busyChat(2);
    const first = say([user("one")], same);
    await isUnderWay();
    expect(await refusal([user("two")], same)).toBe("idempotency_key_reused");
    expect((await first).reply).toBe("reply 1");
  });

  test("after a shared failure asks again", async () => {
    const { refusal, say, same, isUnderWay } = busyChat(2);
    const failing = { ...same, reply: broken() };
    const first = refusal([user("one")], failing);
    await isUnderWay();
    expect(await Promise.all([first, refusal([user("one")], failing)])).toEqual([
      "upstream_error",
      "upstream_error",
    ]);
    const { meanwhile: _, ...again } = same;
    expect((await say([user("one")], again)).source).toBe("provider");
  });
});
