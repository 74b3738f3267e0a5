/**
 * A store, or a client of one, that hands out somebody else's record: replies that got out of step have told people other
 * people's chats elsewhere. Whatever it is, nothing of it reaches a model or a client.
 */
import { describe, expect, test } from "bun:test";
import { memoryStore } from "../../core/stores/memory.ts";
import type { SessionStore } from "../../core/types.ts";
import { fakeClock } from "../fakes/fake-clock.ts";
import { scriptedProvider } from "../fakes/scripted-provider.ts";
import { testHandler } from "../support/test-handler.ts";

const API_KEYS = '{"ann":"sk-ann","bob":"sk-bob"}';

/** A store whose reads are one reply behind while `isOutOfStep`: each gets what the read before should have had. */
const slippingStore = () => {
  const inner = memoryStore({ clock: fakeClock() });
  let last: Awaited<ReturnType<SessionStore["get"]>>;
  const slipping = {
    ...inner,
    shared: true,
    isOutOfStep: false,
    async get(key: string) {
      const before = last;
      last = await inner.get(key);
      return slipping.isOutOfStep ? before : last;
    },
  };
  return slipping;
};

const setUp = () => {
  const store = slippingStore();
  const provider = scriptedProvider();
  const { send, log } = testHandler({ API_KEYS }, { store, providers: [provider] });
  const post = async (key: string, path: string, body: object, headers: Record<string, string> = {}) => {
    const response = await send(path, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, ...headers },
      body: JSON.stringify(body),
    });
    return { status: response.status, json: await response.json() };
  };
  const told = () => JSON.stringify(provider.requests.at(-1)?.request.messages);
  return { store, post, send, told, log };
};

describe("a conversation", () => {
  test("is never told another one's turns, nor shown them, and its own are there again afterwards", async () => {
    const { store, post, send, told, log } = setUp();
    const say = (key: string, content: string) =>
      post(key, "/v1/chat/completions", { messages: [{ role: "user", content }] }, { "x-session-id": "one" });
    await say("sk-ann", "My secret is 4711.");
    await say("sk-bob", "I like tea.");
    await send("/v1/session", { headers: { authorization: "Bearer sk-ann", "x-session-id": "one" } });

    store.isOutOfStep = true;
    expect((await say("sk-bob", "What do I like?")).status).toBe(200);
    expect(told()).not.toContain("4711");
    await say("sk-ann", "And now?");
    const shown = await send("/v1/session", {
      headers: { authorization: "Bearer sk-bob", "x-session-id": "one" },
    });
    expect(await shown.text()).not.toContain("4711");
    expect(log.lines.some(({ event }) => event === "session.not_read")).toBe(true);

    store.isOutOfStep = false;
    await say("sk-bob", "So?");
    expect(told()).toContain("I like tea.");
    expect(told()).toContain("What do I like?");
    expect(told()).not.toContain("4711");
  });
});

describe("a store that carries writes out late, after it has failed them", () => {
  test("mixes nothing: a turn that was not kept is there in its place or not at all, and its successors go on", async () => {
    const inner = memoryStore({ clock: fakeClock() });
    const late: (() => void)[] = [];
    let isLate = false;
    const store: SessionStore = {
      ...inner,
      shared: true,
      async set(...args) {
        if (!isLate) return inner.set(...args);
        late.push(() => void inner.set(...args));
        throw new Error("No reply within 2000 ms");
      },
    };
    const { chat, provider } = testHandler({}, { store });
    const say = async (content: string) => {
      const body = { messages: [{ role: "user", content }] };
      const response = await chat(body, { headers: { "x-session-id": "one" } });
      const asked = provider.requests.at(-1)?.request.messages ?? [];
      return {
        isSaved: response.headers.get("x-session-saved") !== "false",
        told: asked.filter(({ role }) => role === "user").map(({ text }) => text),
      };
    };
    await say("one");
    isLate = true;
    expect((await say("two")).isSaved).toBe(false);
    expect((await say("three")).isSaved).toBe(false);
    isLate = false;
    // Both writes named the same version: one is carried out, the other finds another version.
    for (const write of late.splice(0)) write();
    expect((await say("four")).told).toEqual(["one", "two", "four"]);

    isLate = true;
    await say("five");
    isLate = false;
    await say("six");
    for (const write of late) write();
    expect((await say("seven")).told).toEqual(["one", "two", "four", "six", "seven"]);
  });
});

describe("a response", () => {
  test("is never another one, for a turn that goes on from it or for who asks for it", async () => {
    const { store, post, send, told } = setUp();
    const first = await post("sk-ann", "/v1/responses", { input: "My secret is 4711." });
    const second = await post("sk-bob", "/v1/responses", { input: "I like tea." });
    const show = (key: string, id: string) =>
      send(`/v1/responses/${id}`, { headers: { authorization: `Bearer ${key}` } });
    expect((await show("sk-ann", first.json.id)).status).toBe(200);

    store.isOutOfStep = true;
    expect((await show("sk-bob", second.json.id)).status).toBe(404);
    await show("sk-ann", first.json.id);
    const next = { input: "What do I like?", previous_response_id: second.json.id };
    expect((await post("sk-bob", "/v1/responses", next)).status).toBe(400);

    store.isOutOfStep = false;
    expect((await post("sk-bob", "/v1/responses", next)).status).toBe(200);
    expect(told()).toContain("I like tea.");
    expect(told()).not.toContain("4711");
  });
});
