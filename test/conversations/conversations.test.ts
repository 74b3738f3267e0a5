import { describe, expect, test } from "bun:test";
import { ApiError } from "../../core/errors.ts";
import { memoryStore } from "../../core/stores/memory.ts";
import type { ChatMessage, StreamPart } from "../../core/types.ts";
import { fakeClock, settle } from "../fakes/fake-clock.ts";
import {
  assistant,
  type CountingStore,
  countingStore,
  hurriedClock,
  message,
  rememberedChat,
  system,
  user,
} from "../support/remembered-chat.ts";

const minuteMs = 60_000;
const dayMs = 24 * 60 * minuteMs;

/** With the clock and the store in hand. */
const setUp = (options: { ttlMs?: number; maxBytes?: number } = {}) => {
  const clock = hurriedClock();
  const store: CountingStore = countingStore(clock);
  return { ...rememberedChat({ clock, store, ...options }), clock, store };
};

const broken = () => new ApiError("upstream_error", "The site failed.");

describe("a call without a key", () => {
  test("is told what it sent, in a conversation of its own, and touches no store", async () => {
    const { say, store } = setUp();
    const first = await say([user("one")]);
    const second = await say([user("two")]);
    expect([first.told, second.told]).toEqual([["u:one"], ["u:two"]]);
    expect(first.conversation.id).toMatch(/^[a-z0-9]{9}$/);
    expect(second.conversation.id).not.toBe(first.conversation.id);
    expect([store.reads, store.writes]).toEqual([0, 0]);
  });
});

describe("a conversation with a key", () => {
  test.each([{ session: "s" }, { user: "u" }])(
    "goes on where it was, on any instance, under %p",
    async (key) => {
      const { say } = setUp();
      const first = await say([user("one")], key);
      const second = await say([user("two")], { ...key, instance: 1 });
      const third = await say([user("three")], key);
      expect(second.told).toEqual(["u:one", "a:reply 1", "u:two"]);
      expect(third.told).toEqual(["u:one", "a:reply 1", "u:two", "a:reply 2", "u:three"]);
      expect(second.conversation).toEqual(first.conversation);
      expect(third.conversation).toEqual(first.conversation);
    },
  );

  test("costs one read and one write a turn", async () => {
    const { say, store } = setUp();
    for (let turn = 1; turn <= 3; turn++) {
      await say([user("hello")], { session: "s" });
      expect([store.reads, store.writes]).toEqual([turn, turn]);
    }
  });

  test("goes on as it was when it has become long, and is still bounded", async () => {
    const { say, store } = setUp({ maxBytes: 40_000 });
    const texts: string[] = [];
    for (let turn = 1; turn <= 40; turn++) {
      const text = `${turn} ${"long ".repeat(300)}`;
      const { told } = await say([user(text)], { session: "s" });
      texts.push(`u:${text}`);
      expect(told).toEqual(texts.slice(-(told?.length ?? 0)));
      texts.push(`a:reply ${turn}`);
      for (const value of store.entries.values()) expect(value.length).toBeLessThanOrEqual(40_000);
    }
    expect((await say([user("last")], { session: "s" })).told?.length).toBeGreaterThan(40);
  });

  test("is apart from all others: namespace, API key and name", async () => {
    const { say } = setUp();
    const keys = [
      { session: "same" },
      { user: "same" },
      { session: "same", apiKey: "sk-2" },
      { user: "same", apiKey: "sk-2" },
      { user: "Same" },
      { user: " same" },
      { user: "same\0" },
      { user: 'same","x' },
      { user: "sa\u0301me" },
      { user: "s\u00e1me" },
    ];
    for (const [index, key] of keys.entries()) {
      expect((await say([user(`first of ${index}`)], key)).told).toEqual([`u:first of ${index}`]);
    }
    for (const [index, key] of keys.entries()) {
      const { told } = await say([user("more")], key);
      expect(told).toEqual([`u:first of ${index}`, `a:reply ${index + 1}`, "u:more"]);
    }
  });

  test("is stored under a hash, without its name and its API key", async () => {
    const { say, store, log } = setUp();
    await say([user("hello")], { user: "planted-user", apiKey: "planted-key", idempotencyKey: "planted-id" });
    await say([user("hello")], { session: "planted-session", apiKey: "planted-key" });
    const everything = JSON.stringify([[...store.entries], log]);
    expect(everything).toContain("hello");
    expect(everything).not.toContain("planted");
    for (const key of store.entries.keys()) expect(key).toMatch(/^chat:[0-9a-f]{64}$/);
  });
});

describe("a client that keeps its history itself", () => {
  const history = [user("one"), assistant("reply 1"), user("two")];

  test("is told its own history, nothing doubled", async () => {
    const { say } = setUp();
    await say([user("one")], { session: "s" });
    expect((await say(history, { session: "s" })).told).toEqual(["u:one", "a:reply 1", "u:two"]);
  });

  test("replaces what was stored under X-Session-Id", async () => {
    const { say, remembered } = setUp();
    await say([user("one")], { session: "s" });
    await say([user("ONE"), assistant("edited"), user("two")], { session: "s" });
    expect(await remembered({ session: "s" })).toEqual(["u:ONE", "a:edited", "u:two", "a:reply 2"]);
    expect((await say([user("three")], { session: "s" })).told).toEqual([
      "u:ONE",
      "a:edited",
      "u:two",
      "a:reply 2",
      "u:three",
    ]);
  });

  test("regenerates and edits under X-Session-Id, and the last write wins", async () => {
    const { say, remembered } = setUp();
    await say([user("one")], { session: "s" });
    await say(history, { session: "s" });
    await say(history, { session: "s" });
    expect(await remembered({ session: "s" })).toEqual(["u:one", "a:reply 1", "u:two", "a:reply 3"]);
    await say([user("one"), assistant("reply 1"), user("two, edited")], { session: "s" });
    expect(await remembered({ session: "s" })).toEqual(["u:one", "a:reply 1", "u:two, edited", "a:reply 4"]);
  });

  test("is remembered as such under user, and nothing else of it", async () => {
    const { say, show, store } = setUp();
    await say([user("one")], { user: "u" });
    await say(history, { user: "u" });
    expect(await show({ user: "u" })).toMatchObject({ messages: [], keepsOwnHistory: true });
    expect([...store.entries.values()].join()).not.toContain("one");
    // One write more than a turn has: the stored turns went before the model was asked.
    expect([store.reads, store.writes]).toEqual([3, 3]);
  });

  test("two chats of one user do not see each other", async () => {
    const { say } = setUp();
    await say([user("chat A")], { user: "u" });
    await say([user("chat A"), assistant("reply 1"), user("more of A")], { user: "u" });
    expect((await say([user("chat B")], { user: "u" })).told).toEqual(["u:chat B"]);
    expect((await say([user("chat C")], { user: "u" })).told).toEqual(["u:chat C"]);
  });

  test("title-generation side requests neither see nor change a chat", async () => {
    const { say } = setUp();
    const title = [system("You write titles."), user("A title for: one")];
    await say([user("one")], { user: "u" });
    await say(history, { user: "u" });
    expect((await say(title, { user: "u" })).told).toEqual(["s:You write titles.", "u:A title for: one"]);
    const next = [...history, assistant("reply 2"), user("three")];
    expect((await say(next, { user: "u" })).told).toHaveLength(5);
  });

  test("is known for 30 days from its last use", async () => {
    const { say, clock } = setUp({ ttlMs: minuteMs });
    await say(history, { user: "u" });
    await clock.advance(20 * dayMs);
    expect((await say([user("new chat")], { user: "u" })).told).toEqual(["u:new chat"]);
    await clock.advance(30 * dayMs - 1);
    expect((await say([user("another")], { user: "u" })).told).toEqual(["u:another"]);
    await clock.advance(30 * dayMs);
    await say([user("one")], { user: "u" });
    expect((await say([user("two")], { user: "u" })).told).toEqual(["u:one", "a:reply 4", "u:two"]);
  });

  test("a tool's result without its call goes on with what is remembered", async () => {
    const { say, asked } = setUp();
    const call: StreamPart[] = [
      { type: "tool-call-delta", index: 0, id: "call-1", name: "weather", delta: '{"city":' },
      { type: "tool-call-delta", index: 0, delta: '"Paris"}' },
      { type: "finish", reason: "tool_calls" },
    ];
    await say([user("weather?")], { session: "s", reply: call });
    const native = { role: "tool", tool_call_id: "call-1", content: "sunny" };
    await say([{ role: "tool", text: "sunny", native }], { session: "s" });
    expect(asked[1]?.messages.map((told) => told.native)).toEqual([
      { role: "user", content: "weather?" },
      {
        role: "assistant",
        content: null,
        tool_calls: [
          { id: "call-1", type: "function", function: { name: "weather", arguments: '{"city":"Paris"}' } },
        ],
      },
      native,
    ]);
  });
});

describe("system and developer texts", () => {
  test("of the current request are told, else the stored ones", async () => {
    const { say } = setUp();
    const key = { session: "s" };
    expect((await say([system("S1"), user("one")], key)).told).toEqual(["s:S1", "u:one"]);
    expect((await say([user("two")], key)).told).toEqual(["s:S1", "u:one", "a:reply 1", "u:two"]);
    const third = await say([message("developer", "D"), user("three"), system("S2")], key);
    expect(third.told).toEqual(["d:D", "s:S2", "u:one", "a:reply 1", "u:two", "a:reply 2", "u:three"]);
    const fourth = await say([user("four")], key);
    expect(fourth.told?.slice(0, 3)).toEqual(["d:D", "s:S2", "u:one"]);
    expect(fourth.told?.filter((text) => text.startsWith("s:") || text.startsWith("d:"))).toHaveLength(2);
  });

  test("stay when a client's own history has none", async () => {
    const { say, remembered } = setUp();
    await say([system("S"), user("one")], { session: "s" });
    const { told } = await say([user("one"), assistant("reply 1"), user("two")], { session: "s" });
    expect(told).toEqual(["s:S", "u:one", "a:reply 1", "u:two"]);
    expect(await remembered({ session: "s" })).toEqual(["s:S", "u:one", "a:reply 1", "u:two", "a:reply 2"]);
  });
});

describe("messages", () => {
  test.each([0, 1] as const)(
    "are remembered whole: parts, images, names, unknown fields (%d)",
    async (instance) => {
      const { say, asked } = setUp();
      const parts = [
        { type: "text", text: "what is " },
        { type: "image_url", image_url: { url: "data:image/png;base64,AAAA" } },
        { type: "text", text: "this?" },
      ];
      const messages: ChatMessage[] = [
        {
          role: "user",
          text: "what is this?",
          attachments: ["image_url"],
          native: { role: "user", content: parts },
        },
        { role: "user", text: "", native: { role: "user", content: null, name: "bob" } },
        {
          role: "user",
          text: "tricky",
          native: { role: "user", content: "tricky", native: { role: "system" } },
        },
        {
          role: "user",
          text: "line\nbreak,\n\u2028 \ud83d",
          native: { role: "user", content: "line\nbreak,\n\u2028 \ud83d" },
        },
      ];
      await say(messages, { session: "s" });
      await say([user("two")], { session: "s", instance });
      expect(asked[1]?.messages.slice(0, 4)).toEqual(messages);
    },
  );

  test.each([0, 1] as const)(
    "refusal and further fields of a reply are told, its reasoning only while its tools are at work (%d)",
    async (instance) => {
      const { say, asked } = setUp();
      const reply: StreamPart[] = [
        { type: "reasoning-delta", delta: "hm" },
        { type: "text-delta", delta: "yes" },
        { type: "refusal-delta", delta: "no" },
        { type: "extension", scope: "message", fields: { annotations: [{ url: "x" }], audio: { id: "a" } } },
        { type: "tool-call-delta", index: 0, id: "c", name: "f", delta: "{}" },
        { type: "finish", reason: "tool_calls" },
      ];
      await say([user("one")], { session: "s", reply });
      const native = { role: "tool", tool_call_id: "c", content: "done" };
      await say([{ role: "tool", text: "done", native }], { session: "s", instance });
      await say([user("two")], { session: "s", instance });
      const told = {
        role: "assistant",
        content: "yes",
        refusal: "no",
        audio: { id: "a" },
        tool_calls: [{ id: "c", type: "function", function: { name: "f", arguments: "{}" } }],
      };
      expect(asked[1]?.messages[1]?.native).toEqual({
        ...told,
        reasoning_content: "hm",
        annotations: [{ url: "x" }],
      });
      expect(asked[2]?.messages[1]?.native).toEqual(told);
    },
  );
});

describe("an unfinished turn", () => {
  test("leaves no trace when it fails", async () => {
    const { say, refusal, remembered } = setUp();
    await say([user("one")], { session: "s" });
    expect(await refusal([user("lost")], { session: "s", reply: broken() })).toBe("upstream_error");
    expect(await remembered({ session: "s" })).toEqual(["u:one", "a:reply 1"]);
  });

  test("leaves no trace when it is aborted", async () => {
    const { say, refusal, remembered } = setUp();
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
    const { refusal, say, remembered } = setUp();
    const key = { session: "s" };
    await refusal([user("one")], { ...key, reply: broken() });
    await refusal([user("one")], { ...key, reply: broken(), retryCount: 1 });
    const third = await say([user("one")], { ...key, retryCount: 2 });
    expect(third.told).toEqual(["u:one"]);
    expect(await remembered(key)).toEqual(["u:one", "a:reply 3"]);
  });
});

describe("the site's view of a conversation", () => {
  test("starts afresh when the history does", async () => {
    const { say, clock } = setUp({ ttlMs: minuteMs });
    const first = await say([user("one")], { session: "s" });
    await clock.advance(minuteMs);
    const second = await say([user("one")], { session: "s" });
    expect(second.conversation.id).not.toBe(first.conversation.id);
    expect(second.conversation.startedAtMs).toBe(first.conversation.startedAtMs + minuteMs);
  });

  test("goes on while a client's own history extends what was stored, and changes when it doesn't", async () => {
    const { say } = setUp();
    const key = { session: "s" };
    const first = await say([user("one")], key);
    const extended = await say([user("one"), assistant("reply 1"), user("two")], key);
    expect(extended.conversation).toEqual(first.conversation);
    const regenerated = await say([user("one"), assistant("reply 1"), user("two")], key);
    expect(regenerated.conversation.id).not.toBe(first.conversation.id);
    const edited = await say([user("ONE"), assistant("reply 1"), user("two")], key);
    expect(edited.conversation.id).not.toBe(regenerated.conversation.id);
    expect((await say([user("three")], key)).conversation).toEqual(edited.conversation);
  });

  test("goes on for a history of which the oldest turns had to be dropped", async () => {
    const { say, remembered } = setUp({ maxBytes: 700 });
    const key = { session: "s" };
    const history: ChatMessage[] = [];
    const ids = new Set<string>();
    for (let turn = 1; turn <= 8; turn++) {
      history.push(user(`question ${turn} ${"x".repeat(40)}`));
      const { reply, conversation } = await say(history, key);
      ids.add(conversation.id);
      history.push(assistant(reply));
    }
    expect((await remembered(key))?.length).toBeLessThan(history.length);
    expect(ids.size).toBe(1);
  });

  test("is new each time for a user whose client keeps its history", async () => {
    const { say } = setUp();
    await say([user("one"), assistant("a"), user("two")], { user: "u" });
    const turns = [
      await say([user("x")], { user: "u" }),
      await say([user("x")], { user: "u" }),
      await say([user("x"), assistant("reply 3"), user("y")], { user: "u" }),
    ];
    expect(new Set(turns.map(({ conversation }) => conversation.id)).size).toBe(3);
  });
});

describe("a retry", () => {
  const key = { session: "s" };

  test.each([
    ["the same Idempotency-Key", { idempotencyKey: "k" }, { idempotencyKey: "k" }],
    ["x-stainless-retry-count", {}, { retryCount: 1 }],
    ["both, and another Idempotency-Key", { idempotencyKey: "k" }, { idempotencyKey: "l", retryCount: 2 }],
  ])("with %s gets the stored reply and asks nobody", async (_, first, second) => {
    const { say, asked, remembered, store } = setUp();
    const before = await say([user("one")], { ...key, ...first });
    const writes = store.writes;
    const again = await say([user("one")], { ...key, ...second });
    expect(again).toEqual({ ...before, told: undefined, source: "store" });
    expect(asked).toHaveLength(1);
    expect(store.writes).toBe(writes);
    expect(await remembered(key)).toEqual(["u:one", "a:reply 1"]);
  });

  test("gets every part of the stored reply", async () => {
    const { say } = setUp();
    const reply: StreamPart[] = [
      { type: "reasoning-delta", delta: "hm" },
      { type: "text-delta", delta: "yes" },
      { type: "tool-call-delta", index: 0, id: "c", name: "f", delta: "{}" },
      { type: "extension", scope: "message", fields: { annotations: [1] } },
      { type: "finish", reason: "length" },
      { type: "usage", usage: { promptTokens: 1, completionTokens: 2, totalTokens: 3 } },
    ];
    await say([user("one")], { ...key, reply });
    const again = await say([user("one")], { ...key, retryCount: 1 });
    expect(again).toMatchObject({ reply: "yes", source: "store" });
  });

  test("works for a user whose client keeps its history, and for that history", async () => {
    const { say, asked } = setUp();
    const history = [user("one"), assistant("a"), user("two")];
    const first = await say(history, { user: "u" });
    const again = await say(history, { user: "u", retryCount: 1 });
    expect(again).toMatchObject({ reply: first.reply, source: "store" });
    expect(asked).toHaveLength(1);
  });

  test("is a new turn once five minutes have passed", async () => {
    const { say, clock } = setUp();
    await say([user("one")], { ...key, idempotencyKey: "k" });
    await clock.advance(5 * minuteMs - 1);
    expect((await say([user("one")], { ...key, idempotencyKey: "k" })).source).toBe("store");
    await clock.advance(1);
    expect((await say([user("one")], { ...key, idempotencyKey: "k" })).source).toBe("provider");
  });

  test("is a new turn without Idempotency-Key and retry count, or when another turn has come between", async () => {
    const { say } = setUp();
    await say([user("one")], key);
    expect((await say([user("one")], key)).told).toEqual(["u:one", "a:reply 1", "u:one"]);
    await say([user("two")], key);
    expect((await say([user("one")], { ...key, retryCount: 1 })).source).toBe("provider");
  });

  test("with the same text and another body is a new turn", async () => {
    const { say } = setUp();
    await say([user("one")], { ...key, body: "a" });
    expect((await say([user("one")], { ...key, body: "b", retryCount: 1 })).source).toBe("provider");
  });

  test("in another conversation is a new turn", async () => {
    const { say } = setUp();
    await say([user("one")], { ...key, idempotencyKey: "k" });
    for (const other of [{ session: "t" }, { user: "s" }, { session: "s", apiKey: "sk-2" }, {}]) {
      const { source } = await say([user("one")], { ...other, idempotencyKey: "k", retryCount: 1 });
      expect(source).toBe("provider");
    }
  });

  test("with the same Idempotency-Key and another body is refused, and not to be retried", async () => {
    const { say, refusal, asked } = setUp();
    await say([user("one")], { ...key, idempotencyKey: "k" });
    expect(await refusal([user("two")], { ...key, idempotencyKey: "k" })).toBe("idempotency_key_reused");
    expect(new ApiError("idempotency_key_reused", "").shouldRetry).toBeFalse();
    expect(asked).toHaveLength(1);
  });

  test("of a request under way joins it: one call, one turn, one answer for both", async () => {
    const { say, asked, remembered, store } = setUp();
    const same = { ...key, idempotencyKey: "k", meanwhile: settle };
    const both = await Promise.all([say([user("one")], same), say([user("one")], same)]);
    expect(both.map(({ reply }) => reply)).toEqual(["reply 1", "reply 1"]);
    expect(both.map(({ source }) => source)).toEqual(["provider", "running"]);
    expect(asked).toHaveLength(1);
    expect(store.writes).toBe(1);
    expect(await remembered(key)).toEqual(["u:one", "a:reply 1"]);
  });

  test("of a request under way joins it by its retry count, and leaves others alone", async () => {
    const { say, asked } = setUp();
    const turns = await Promise.all([
      say([user("one")], { ...key, meanwhile: settle }),
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
    const { say, remembered } = setUp();
    const meanwhile = () => say([user("one")], { ...key, ...again, retryCount: 0 });
    const retry = await say([user("one")], { ...key, ...again, instance: 1, meanwhile });
    expect(retry).toMatchObject({ source: "provider", isSaved: true });
    expect(await remembered(key)).toHaveLength(2);
    expect((await say([user("two")], key)).told).toHaveLength(3);
  });

  test("of a request under way with another body and the same Idempotency-Key is refused", async () => {
    const { say, refusal } = setUp();
    const same = { ...key, idempotencyKey: "k", meanwhile: settle };
    const [first, second] = await Promise.all([say([user("one")], same), refusal([user("two")], same)]);
    expect([first.reply, second]).toEqual(["reply 1", "idempotency_key_reused"]);
  });

  test("after a shared failure asks again", async () => {
    const { refusal, say } = setUp();
    const same = { ...key, idempotencyKey: "k", meanwhile: settle };
    const both = [1, 2].map(() => refusal([user("one")], { ...same, reply: broken() }));
    expect(await Promise.all(both)).toEqual(["upstream_error", "upstream_error"]);
    expect((await say([user("one")], same)).source).toBe("provider");
  });
});

describe("the life of a conversation", () => {
  test("ends ttlMs after its last finished turn, to the millisecond", async () => {
    const { say, refusal, clock, remembered } = setUp({ ttlMs: minuteMs });
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
    const lazy = memoryStore({ maxEntries: 10, clock: { now: () => 0 } });
    const { say } = rememberedChat({ clock, store: lazy, ttlMs: minuteMs });
    await say([user("one")], { session: "s" });
    await clock.advance(minuteMs);
    expect((await say([user("two")], { session: "s" })).told).toEqual(["u:two"]);
    expect((await say([user("three")], { session: "s" })).told).toEqual(["u:two", "a:reply 2", "u:three"]);
  });

  test("a turn that outlasts the stored conversation still has it", async () => {
    const { say, clock, remembered } = setUp({ ttlMs: minuteMs });
    await say([user("one")], { session: "s" });
    await say([user("two")], { session: "s", meanwhile: () => clock.advance(2 * minuteMs) });
    expect(await remembered({ session: "s" })).toContain("u:two");
  });

  test("is bounded: the oldest turns go first, a user's together with its reply", async () => {
    const { say, store, remembered } = setUp({ maxBytes: 1000 });
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
    const { say, remembered } = setUp({ maxBytes: 900 });
    const filler = "x".repeat(60);
    for (let turn = 1; turn <= 10; turn++) {
      await say([user(`a${turn} ${filler}`), user(`b${turn} ${filler}`)], { session: "s" });
      const texts = (await remembered({ session: "s" })) ?? [];
      expect(texts.map((text) => text[0]).join("")).toMatch(/^(uua)+$/);
    }
  });

  test("a turn too long to be kept takes the older ones with it, and says that it wasn't saved", async () => {
    const { say, remembered } = setUp({ maxBytes: 1000 });
    await say([system("S"), user("one")], { session: "s" });
    const long = await say([user("x".repeat(1000))], { session: "s" });
    expect(long).toMatchObject({ reply: "reply 2", isSaved: false });
    expect(await remembered({ session: "s" })).toEqual(["s:S"]);
    const next = await say([user("two")], { session: "s" });
    expect(next).toMatchObject({ told: ["s:S", "u:two"], isSaved: true });
    expect(await remembered({ session: "s" })).toEqual(["s:S", "u:two", "a:reply 3"]);
  });

  test("system texts too long to be kept are told and not kept", async () => {
    const { say, remembered } = setUp({ maxBytes: 1000 });
    const { told, isSaved } = await say([system("S".repeat(2000)), user("one")], { session: "s" });
    expect([told?.length, isSaved]).toEqual([2, false]);
    expect(await remembered({ session: "s" })).toEqual([]);
  });
});

describe("deleting", () => {
  const key = { session: "s" };

  test("forgets a conversation; the next one starts afresh", async () => {
    const { say, forget, show } = setUp();
    const first = await say([user("one")], key);
    await forget(key);
    expect(await show(key)).toBeUndefined();
    const next = await say([user("two")], key);
    expect(next.told).toEqual(["u:two"]);
    expect(next.conversation.id).not.toBe(first.conversation.id);
    expect((await say([user("three")], key)).told).toEqual(["u:two", "a:reply 2", "u:three"]);
  });

  test("leaves no text behind", async () => {
    const { say, forget, store } = setUp();
    await say([user("planted")], key);
    await forget(key);
    expect([...store.entries.values()].join()).not.toContain("planted");
  });

  test("works where there is nothing, and touches no other conversation", async () => {
    const { say, forget, remembered } = setUp();
    await say([user("one")], { user: "s" });
    await forget(key);
    expect(await remembered({ user: "s" })).toEqual(["u:one", "a:reply 1"]);
  });

  test.each([0, 1])("wins over a turn under way after %d finished ones", async (turns) => {
    const { say, forget, show } = setUp();
    for (let turn = 0; turn < turns; turn++) await say([user("before")], key);
    const { reply, isSaved } = await say([user("during")], { ...key, meanwhile: () => forget(key) });
    expect([reply, isSaved]).toEqual([`reply ${turns + 1}`, false]);
    expect(await show(key)).toBeUndefined();
  });

  test("wins over a turn under way even when another has begun since", async () => {
    const { say, forget, remembered } = setUp();
    const meanwhile = async () => {
      await forget(key);
      await say([user("after")], key);
    };
    await say([user("during")], { ...key, meanwhile });
    expect(await remembered(key)).toEqual(["u:after", "a:reply 2"]);
  });

  test("makes a client's own history unknown again", async () => {
    const { say, forget } = setUp();
    await say([user("one"), assistant("a"), user("two")], { user: "u" });
    await forget({ user: "u" });
    await say([user("three")], { user: "u" });
    expect((await say([user("four")], { user: "u" })).told).toEqual(["u:three", "a:reply 2", "u:four"]);
  });
});

describe("showing", () => {
  test("gives the messages and the times", async () => {
    const { say, show, clock } = setUp({ ttlMs: minuteMs });
    const startedAtMs = clock.now();
    await say([system("S"), user("one")], { session: "s" });
    await clock.advance(1000);
    await say([user("two")], { session: "s" });
    expect(await show({ session: "s" })).toEqual({
      messages: [
        { role: "system", content: "S" },
        { role: "user", content: "one" },
        { role: "assistant", content: "reply 1" },
        { role: "user", content: "two" },
        { role: "assistant", content: "reply 2" },
      ],
      startedAtMs,
      finishedAtMs: startedAtMs + 1000,
      expiresAtMs: startedAtMs + 1000 + minuteMs,
      keepsOwnHistory: false,
    });
    expect(await show({ session: "t" })).toBeUndefined();
  });
});

describe("turns of one conversation at once", () => {
  test("are all kept, each with its reply", async () => {
    const { say, remembered } = setUp();
    const texts = Array.from({ length: 20 }, (_, index) => `question ${index}`);
    await Promise.all(texts.map((text) => say([user(text)], { session: "s", reply: `to ${text}` })));
    const kept = (await remembered({ session: "s" })) ?? [];
    const pairs = kept.flatMap((text, index) => (index % 2 === 0 ? [`${text} ${kept[index + 1]}`] : []));
    expect(pairs.sort()).toEqual(texts.map((text) => `u:${text} a:to ${text}`).sort());
  });

  test("of which one is of a client that keeps its history end as the last one to write", async () => {
    const { say, show } = setUp();
    const history = [user("one"), assistant("a"), user("two")];
    await say([user("slow")], { user: "u", meanwhile: () => say(history, { user: "u" }) });
    expect(await show({ user: "u" })).toMatchObject({ messages: [], keepsOwnHistory: true });
  });
});

describe("a record that can't be read", () => {
  const head = (v: number) =>
    `[{"v":${v},"id":"abcdefghi","startedAtMs":1,"finishedAtMs":1,"expiresAtMs":9e15,"systemMessages":0,"droppedMessages":0,"turnBytes":30}`;
  const unreadable = [
    "",
    "not JSON",
    "{}",
    "null",
    "[]",
    '[{"v":1}]',
    `${head(2)},\n"newer"]`,
    `${head(1)},\n{"role":"wizard"}]`,
    `${head(1)},\n{"role":"user","content":[1]}]`,
    `${head(1)},\n7]`,
    `${head(1)},\n[7]]`,
    `${head(1)},\n"cut`,
  ];

  test.each(unreadable)("is logged, left alone until the next write, and absent: %p", async (value) => {
    const { say, show, store, log } = setUp();
    await say([user("one")], { session: "s" });
    const [key = ""] = store.entries.keys();
    await store.set(key, value, { ttlMs: minuteMs });
    expect(await show({ session: "s" })).toBeUndefined();
    expect((await store.get(key))?.value).toBe(value);
    expect(log).toContainEqual({ event: "session.unreadable", fields: { store: "counting" } });
    expect(await say([user("two")], { session: "s" })).toMatchObject({ told: ["u:two"], isSaved: true });
    expect((await say([user("three")], { session: "s" })).told).toEqual(["u:two", "a:reply 2", "u:three"]);
  });
});

describe("when the store fails", () => {
  test("a turn that can't be read is refused, with a time to try again", async () => {
    const { say, refusal, store, asked } = setUp();
    await say([user("one")], { session: "s" });
    store.failing = "reads";
    expect(await refusal([user("two")], { session: "s" })).toBe("session_store_unavailable");
    expect(asked).toHaveLength(1);
    const error = await say([user("two")], { session: "s" }).catch((thrown) => thrown);
    expect(error.toHeaders()).toEqual({ "retry-after": "2", "retry-after-ms": "2000" });
    store.failing = "none";
    expect((await say([user("two")], { session: "s" })).told).toEqual(["u:one", "a:reply 1", "u:two"]);
  });

  test("a turn that can't be written is answered, and says that it wasn't saved", async () => {
    const { say, store, log } = setUp();
    store.failing = "writes";
    expect(await say([user("planted")], { session: "s" })).toMatchObject({
      reply: "reply 1",
      isSaved: false,
    });
    expect(log.map(({ event }) => event)).toContain("session.not_saved");
    expect(JSON.stringify(log)).not.toContain("planted");
    store.failing = "none";
    expect((await say([user("two")], { session: "s" })).told).toEqual(["u:two"]);
  });

  test("showing and deleting are refused", async () => {
    const { show, forget, store } = setUp();
    store.failing = "all";
    const codes = [show({ session: "s" }), forget({ session: "s" })].map((task) =>
      task.then(
        () => "none",
        (error: ApiError) => error.code,
      ),
    );
    expect(await Promise.all(codes)).toEqual(["session_store_unavailable", "session_store_unavailable"]);
  });

  test("a stateless call goes on", async () => {
    const { say, store } = setUp();
    store.failing = "all";
    expect((await say([user("one")])).reply).toBe("reply 1");
  });
});
