import { describe, expect, test } from "bun:test";
import type { ApiError } from "../../core/errors.ts";
import { countedChat, user } from "../support/remembered-chat.ts";

const minuteMs = 60_000;

describe("a conversation's record that can't be read", () => {
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
    const { say, show, store, log } = countedChat();
    await say([user("one")], { session: "s" });
    const [key = ""] = store.entries.keys();
    await store.set(key, value, { ttlMs: minuteMs });
    expect(await show({ session: "s" })).toBeUndefined();
    expect((await store.get(key))?.value).toBe(value);
    expect(log).toContainEqual({ event: "session.not_read", fields: { store: "counting" } });
    expect(await say([user("two")], { session: "s" })).toMatchObject({ told: ["u:two"], isSaved: true });
    expect((await say([user("three")], { session: "s" })).told).toEqual(["u:two", "a:reply 2", "u:three"]);
  });
});

describe("when the store of conversations fails,", () => {
  test("a turn that can't be read is refused, with a time to try again", async () => {
    const { say, refusal, store, asked } = countedChat();
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
    const { say, store, log } = countedChat();
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
    const { show, forget, store } = countedChat();
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
    const { say, store } = countedChat();
    store.failing = "all";
    expect((await say([user("one")])).reply).toBe("reply 1");
  });
});
