/** The running summary that a provider makes of a conversation's older messages. */
import { describe, expect, test } from "bun:test";
import { assistant, countedChat, user } from "../support/remembered-chat.ts";

const session = "s";
const first = { text: "Ann asked one.", recentMessages: 1 };

describe("a conversation's summary", () => {
  test("is given to the turns after it, with the number of messages that it does not cover", async () => {
    const { say } = countedChat();
    expect((await say([user("one")], { session })).conversation.summary).toBeUndefined();
    // It covers the first question and its reply, not the question of this turn.
    await say([user("two")], { session, summary: first });
    const third = await say([user("three")], { session, instance: 1 });
    expect(third.told).toHaveLength(5);
    expect(third.conversation.summary).toEqual({ text: "Ann asked one.", recentMessages: 3 });
    const fourth = await say([user("four")], { session });
    expect(fourth.conversation.summary).toEqual({ text: "Ann asked one.", recentMessages: 5 });
  });

  test("is shown with the conversation", async () => {
    const { say, show } = countedChat();
    await say([user("one")], { session });
    expect((await show({ session }))?.summary).toBeUndefined();
    await say([user("two")], { session, summary: first });
    expect((await show({ session }))?.summary).toBe("Ann asked one.");
  });

  test("is replaced by the next one", async () => {
    const { say } = countedChat();
    await say([user("one")], { session });
    await say([user("two")], { session, summary: first });
    await say([user("three")], { session, summary: { text: "Ann asked one and two.", recentMessages: 1 } });
    const { conversation } = await say([user("four")], { session });
    expect(conversation.summary).toEqual({ text: "Ann asked one and two.", recentMessages: 3 });
  });

  test("stays right when old turns have no more room", async () => {
    const { say } = countedChat({ maxBytes: 2048 });
    await say([user("one")], { session });
    await say([user("two")], { session, summary: first });
    for (let turn = 0; turn < 5; turn++) await say([user("long ".repeat(100))], { session });
    const { told = [], conversation } = await say([user("last")], { session });
    expect(told.length).toBeLessThan(15);
    // All but the first question and its reply.
    expect(conversation.summary?.recentMessages).toBe(1 + 1 + 5 * 2 + 1);
  });

  test("is forgotten with the conversation, also where it is made meanwhile", async () => {
    const { say, forget } = countedChat();
    await say([user("one")], { session });
    await say([user("two")], { session, summary: first, beforeSummary: () => forget({ session }) });
    const { told, conversation } = await say([user("three")], { session });
    expect(told).toEqual(["u:three"]);
    expect(conversation.summary).toBeUndefined();
  });

  test("is kept beside turns that were faster", async () => {
    const { say } = countedChat();
    await say([user("one")], { session });
    await say([user("two")], {
      session,
      summary: first,
      beforeSummary: () => say([user("between")], { session, instance: 1 }),
    });
    const { told, conversation } = await say([user("three")], { session });
    expect(told).toHaveLength(7);
    expect(conversation.summary).toEqual({ text: "Ann asked one.", recentMessages: 5 });
  });

  test("does not take a turn's room", async () => {
    const { say, remembered } = countedChat({ maxBytes: 1024 });
    await say([user("one")], { session, summary: { text: "x".repeat(2000), recentMessages: 1 } });
    expect(await remembered({ session })).toEqual(["u:one", "a:reply 1"]);
    expect((await say([user("two")], { session })).conversation.summary).toBeUndefined();
  });

  test("is neither kept nor given where the client keeps its history itself", async () => {
    const { say } = countedChat();
    await say([user("one")], { session });
    await say([user("two")], { session, summary: first });
    const own = [user("one"), assistant("reply 1"), user("two"), assistant("reply 2"), user("three")];
    expect((await say(own, { session, summary: first })).conversation.summary).toBeUndefined();
    expect((await say([user("four")], { session })).conversation.summary).toBeUndefined();
  });

  test("that can't be stored is logged, and harms nothing", async () => {
    const { say, store, log } = countedChat();
    await say([user("one")], {
      session,
      summary: first,
      beforeSummary: () => {
        store.failing = "all";
      },
    });
    store.failing = "none";
    expect(log.some(({ event }) => event === "summary.not_saved")).toBe(true);
    expect((await say([user("two")], { session })).told).toHaveLength(3);
  });
});
