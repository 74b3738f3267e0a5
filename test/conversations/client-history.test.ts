import { describe, expect, test } from "bun:test";
import type { ChatMessage, StreamPart } from "../../core/types.ts";
import { assistant, countedChat, system, user } from "../support/remembered-chat.ts";

const minuteMs = 60_000;
const dayMs = 24 * 60 * minuteMs;

describe("a client that keeps its history itself", () => {
  const history = [user("one"), assistant("reply 1"), user("two")];

  test("is told its own history, nothing doubled", async () => {
    const { say } = countedChat();
    await say([user("one")], { session: "s" });
    expect((await say(history, { session: "s" })).told).toEqual(["u:one", "a:reply 1", "u:two"]);
  });

  test("replaces what was stored under X-Session-Id", async () => {
    const { say, remembered } = countedChat();
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
    const { say, remembered } = countedChat();
    await say([user("one")], { session: "s" });
    await say(history, { session: "s" });
    await say(history, { session: "s" });
    expect(await remembered({ session: "s" })).toEqual(["u:one", "a:reply 1", "u:two", "a:reply 3"]);
    await say([user("one"), assistant("reply 1"), user("two, edited")], { session: "s" });
    expect(await remembered({ session: "s" })).toEqual(["u:one", "a:reply 1", "u:two, edited", "a:reply 4"]);
  });

  test("is remembered as such under user, and nothing else of it", async () => {
    const { say, show, store } = countedChat();
    await say([user("one")], { user: "u" });
    await say(history, { user: "u" });
    expect(await show({ user: "u" })).toMatchObject({ messages: [], keepsOwnHistory: true });
    expect([...store.entries.values()].join()).not.toContain("one");
    // One write more than a turn has: the stored turns went before the model was asked.
    expect([store.reads, store.writes]).toEqual([3, 3]);
  });

  test("two chats of one user do not see each other", async () => {
    const { say } = countedChat();
    await say([user("chat A")], { user: "u" });
    await say([user("chat A"), assistant("reply 1"), user("more of A")], { user: "u" });
    expect((await say([user("chat B")], { user: "u" })).told).toEqual(["u:chat B"]);
    expect((await say([user("chat C")], { user: "u" })).told).toEqual(["u:chat C"]);
  });

  test("title-generation side requests neither see nor change a chat", async () => {
    const { say } = countedChat();
    const title = [system("You write titles."), user("A title for: one")];
    await say([user("one")], { user: "u" });
    await say(history, { user: "u" });
    expect((await say(title, { user: "u" })).told).toEqual(["s:You write titles.", "u:A title for: one"]);
    const next = [...history, assistant("reply 2"), user("three")];
    expect((await say(next, { user: "u" })).told).toHaveLength(5);
  });

  test("is known for 30 days from its last use", async () => {
    const { say, clock } = countedChat({ ttlMs: minuteMs });
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
    const { say, asked } = countedChat();
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

describe("the site's view of a conversation", () => {
  test("starts afresh when the history does", async () => {
    const { say, clock } = countedChat({ ttlMs: minuteMs });
    const first = await say([user("one")], { session: "s" });
    await clock.advance(minuteMs);
    const second = await say([user("one")], { session: "s" });
    expect(second.conversation.id).not.toBe(first.conversation.id);
    expect(second.conversation.startedAtMs).toBe(first.conversation.startedAtMs + minuteMs);
  });

  test("goes on while a client's own history extends what was stored, and changes when it doesn't", async () => {
    const { say } = countedChat();
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
    const { say, remembered } = countedChat({ maxBytes: 700 });
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
    const { say } = countedChat();
    await say([user("one"), assistant("a"), user("two")], { user: "u" });
    const turns = [
      await say([user("x")], { user: "u" }),
      await say([user("x")], { user: "u" }),
      await say([user("x"), assistant("reply 3"), user("y")], { user: "u" }),
    ];
    expect(new Set(turns.map(({ conversation }) => conversation.id)).size).toBe(3);
  });
});
