import { describe, expect, test } from "bun:test";
import type { ChatMessage, StreamPart, UpstreamEvent } from "../../core/types.ts";
import { assistant, countedChat, message, messageFields, system, user } from "../support/remembered-chat.ts";

const minuteMs = 60_000;

describe("a call without a conversation's key", () => {
  test("is told what it sent, in a conversation of its own, and touches no store", async () => {
    const { say, store } = countedChat();
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
      const { say } = countedChat();
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
    const { say, store } = countedChat();
    for (let turn = 1; turn <= 3; turn++) {
      await say([user("hello")], { session: "s" });
      expect([store.reads, store.writes]).toEqual([turn, turn]);
    }
  });

  test("goes on as it was when it has become long, and is still bounded", async () => {
    const { say, store } = countedChat({ maxBytes: 40_000 });
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
    const { say } = countedChat();
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
    const { say, store, log } = countedChat();
    await say([user("hello")], { user: "planted-user", apiKey: "planted-key", idempotencyKey: "planted-id" });
    await say([user("hello")], { session: "planted-session", apiKey: "planted-key" });
    const everything = JSON.stringify([[...store.entries], log]);
    expect(everything).toContain("hello");
    expect(everything).not.toContain("planted");
    for (const key of store.entries.keys()) expect(key).toMatch(/^chat:[0-9a-f]{64}$/);
  });
});

describe("a conversation's system and developer texts", () => {
  test("of the current request are told, else the stored ones", async () => {
    const { say } = countedChat();
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
    const { say, remembered } = countedChat();
    await say([system("S"), user("one")], { session: "s" });
    const { told } = await say([user("one"), assistant("reply 1"), user("two")], { session: "s" });
    expect(told).toEqual(["s:S", "u:one", "a:reply 1", "u:two"]);
    expect(await remembered({ session: "s" })).toEqual(["s:S", "u:one", "a:reply 1", "u:two", "a:reply 2"]);
  });
});

describe("the messages of a conversation", () => {
  test.each([0, 1] as const)(
    "are remembered whole: parts, images, names, unknown fields (%d)",
    async (instance) => {
      const { say, asked } = countedChat();
      const parts = [
        { type: "text", text: "what is " },
        { type: "image_url", image_url: { url: "data:image/png;base64,AAAA" } },
        { type: "text", text: "this?" },
      ];
      const messages: ChatMessage[] = [
        {
          role: "user",
          text: "what is this?",
          attachments: [{ type: "image_url" }],
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
      const { say, asked } = countedChat();
      const reply: (StreamPart | UpstreamEvent)[] = [
        { type: "reasoning-delta", delta: "hm" },
        { type: "text-delta", delta: "yes" },
        { type: "refusal-delta", delta: "no" },
        messageFields({ annotations: [{ url: "x" }], audio: { id: "a" } }),
        { type: "tool-call-delta", index: 0, id: "c", name: "f", delta: "{}" },
        { type: "finish", reason: "tool_calls" },
      ];
      await say([user("one")], { session: "s", reply });
      const native = { role: "tool", tool_call_id: "c", content: "done" };
      await say([{ role: "tool", text: "done", toolCallId: "c", native }], { session: "s", instance });
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

describe("showing a conversation", () => {
  test("gives the messages and the times", async () => {
    const { say, show, clock } = countedChat({ ttlMs: minuteMs });
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
    const { say, remembered } = countedChat();
    const texts = Array.from({ length: 20 }, (_, index) => `question ${index}`);
    await Promise.all(texts.map((text) => say([user(text)], { session: "s", reply: `to ${text}` })));
    const kept = (await remembered({ session: "s" })) ?? [];
    const pairs = kept.flatMap((text, index) => (index % 2 === 0 ? [`${text} ${kept[index + 1]}`] : []));
    expect(pairs.sort()).toEqual(texts.map((text) => `u:${text} a:to ${text}`).sort());
  });

  test("of which one is of a client that keeps its history end as the last one to write", async () => {
    const { say, show } = countedChat();
    const history = [user("one"), assistant("a"), user("two")];
    await say([user("slow")], { user: "u", meanwhile: () => say(history, { user: "u" }) });
    expect(await show({ user: "u" })).toMatchObject({ messages: [], keepsOwnHistory: true });
  });
});
