import { describe, expect, test } from "bun:test";
import { ApiError } from "../../core/errors.ts";
import { memoryStore } from "../../core/stores/memory.ts";
import type { ChatMessage, Provider, SessionStore, UpstreamEvent } from "../../core/types.ts";
import { countingStore } from "../fakes/counting-store.ts";
import { fakeClock, settle } from "../fakes/fake-clock.ts";
import { failure, reply, scriptedProvider } from "../fakes/scripted-provider.ts";
import { hello, sseData, testHandler } from "../support/test-handler.ts";
import { until } from "../support/until.ts";

const say = (content: string, fields: object = {}) => ({
  ...hello,
  messages: [{ role: "user", content }],
  ...fields,
});
const texts = (messages: readonly ChatMessage[] = []) => messages.map(({ role, text }) => `${role}: ${text}`);

const setup = (env: Record<string, string> = {}, options: Parameters<typeof testHandler>[1] = {}) => {
  const clock = fakeClock();
  const provider = scriptedProvider({ answer: ({ messages }) => reply(`re: ${messages.at(-1)?.text}`) });
  const handler = testHandler(env, { clock, providers: [provider], ...options });
  /** What the model was told in each call. */
  const told = () => provider.requests.map(({ request }) => texts(request.messages));
  return { ...handler, provider, clock, told };
};

describe("a chat under `user`", () => {
  test("is continued with only its newest message, whole and streamed", async () => {
    const { chat, told, records } = setup();
    await (await chat(say("one", { user: "ann" }))).text();
    await (await chat(say("two", { user: "ann", stream: true }))).text();
    await (await chat(say("three", { user: "ann" }))).text();
    expect(told()[2]).toEqual([
      "user: one",
      "assistant: re: one",
      "user: two",
      "assistant: re: two",
      "user: three",
    ]);
    expect(records[2]).toMatchObject({ session: "user", storeMs: expect.any(Number), replayed: false });
  });

  test.each([undefined, null, ""])("is stateless when it is %p", async (user) => {
    const { chat, told } = setup();
    await chat(say("one", { user }));
    await chat(say("two", { user }));
    expect(told()[1]).toEqual(["user: two"]);
  });

  test("belongs to the API key", async () => {
    const { chat, told } = setup({ API_KEYS: '{"a":"sk-a","b":"sk-b"}' });
    const as = (key: string) => ({ headers: { authorization: `Bearer ${key}` } });
    await chat(say("mine", { user: "ann" }), as("sk-a"));
    await chat(say("whose?", { user: "ann" }), as("sk-b"));
    expect(told()[1]).toEqual(["user: whose?"]);
  });

  test("keeps the site's conversation, and starts another one for another user", async () => {
    const { chat, provider } = setup();
    for (const user of ["ann", "ann", "bob"]) await chat(say("hi", { user }));
    const ids = provider.requests.map(({ request }) => request.conversation.id);
    expect(ids[1]).toBe(ids[0] as string);
    expect(ids[2]).not.toBe(ids[0] as string);
  });

  test("is forgotten after SESSION_CACHE_TTL", async () => {
    const { chat, told, clock } = setup({ SESSION_CACHE_TTL: "60" });
    await chat(say("one", { user: "ann" }));
    await clock.advance(59_999);
    await chat(say("two", { user: "ann" }));
    await clock.advance(60_000);
    await chat(say("three", { user: "ann" }));
    expect(told()[1]).toHaveLength(3);
    expect(told()[2]).toEqual(["user: three"]);
  });

  test("of a client that keeps its own history is told only that history, and a new chat starts empty", async () => {
    const { chat, told } = setup();
    const history = [
      { role: "user", content: "a" },
      { role: "assistant", content: "A" },
      { role: "user", content: "b" },
    ];
    await chat({ ...hello, messages: history, user: "libre" });
    await chat(say("new chat", { user: "libre" }));
    expect(told()).toEqual([["user: a", "assistant: A", "user: b"], ["user: new chat"]]);
  });

  test("that failed or was left is not kept", async () => {
    const { provider, clock } = setup();
    let fail = true;
    const flaky = scriptedProvider({
      answer: (request) =>
        fail
          ? failure(new ApiError("upstream_unavailable", "Down."))
          : reply(`re: ${request.messages.length}`),
    });
    const { chat } = testHandler({}, { providers: [flaky], clock });
    expect((await chat(say("lost", { user: "ann" }))).status).toBe(503);
    fail = false;
    expect((await (await chat(say("two", { user: "ann" }))).json()).choices[0].message.content).toBe("re: 1");
    expect(provider.requests).toHaveLength(0);
  });
});

describe("a chat under X-Session-Id", () => {
  const inSession = { headers: { "x-session-id": "s-1" } };

  test("goes before `user`, and is another one than a user of that name", async () => {
    const { chat, told } = setup();
    await chat(say("one", { user: "ann" }), inSession);
    await chat(say("two", { user: "s-1" }));
    await chat(say("three"), inSession);
    expect(told()[1]).toEqual(["user: two"]);
    expect(told()[2]).toEqual(["user: one", "assistant: re: one", "user: three"]);
  });

  test.each(["ä", "a b", "x".repeat(513)])("can't be named %p", async (name) => {
    const { chat } = setup();
    const response = await chat(say("hi"), { headers: { "x-session-id": name } });
    expect(response.status).toBe(400);
    expect((await response.json()).error.param).toBe("X-Session-Id");
  });

  test("can be looked at and forgotten", async () => {
    const { chat, send, told } = setup();
    await chat(say("one"), inSession);
    const shown = await (await send("/v1/session", inSession)).json();
    expect(shown.messages).toEqual([
      { role: "user", content: "one" },
      { role: "assistant", content: "re: one" },
    ]);
    expect(shown.expires_at - shown.finished_at).toBe(3600);
    expect((await send("/v1/session", { method: "DELETE", ...inSession })).status).toBe(204);
    expect((await send("/v1/session", { method: "DELETE", ...inSession })).status).toBe(204);
    expect((await (await send("/v1/session", inSession)).json()).messages).toEqual([]);
    await chat(say("two"), inSession);
    expect(told()[1]).toEqual(["user: two"]);
  });

  test("can be looked at by its user, percent-encoded", async () => {
    const { chat, send } = setup();
    await chat(say("one", { user: "Jürgen 😀" }));
    const shown = await send("/v1/session", {
      headers: { "x-session-user": encodeURIComponent("Jürgen 😀") },
    });
    expect((await shown.json()).messages).toHaveLength(2);
    expect((await send("/v1/session", { headers: { "x-session-user": "%ff" } })).status).toBe(400);
    expect((await send("/v1/session")).status).toBe(400);
  });

  test("can't be looked at where everyone is the same caller", async () => {
    const { send } = setup({ API_MASTER_KEY: "1" }, { exposed: true });
    for (const method of ["GET", "DELETE"]) {
      const response = await send("/v1/session", { method, ...inSession });
      expect(response.status).toBe(403);
      expect((await response.json()).error.code).toBe("sessions_need_a_key");
    }
  });
});

describe("a retry", () => {
  const retry = { headers: { "x-session-id": "s", "x-stainless-retry-count": "1" } };
  const first = { headers: { "x-session-id": "s" } };

  test("of a finished turn gets the same reply, and posts nothing", async () => {
    const { chat, provider, records } = setup();
    const before = await (await chat(say("one"), first)).json();
    const again = await (await chat(say("one"), retry)).json();
    expect(again.choices).toEqual(before.choices);
    expect(provider.requests).toHaveLength(1);
    expect(records[1]).toMatchObject({ replayed: true });
    const stream = async (init: RequestInit) =>
      sseData(await (await chat(say("two", { stream: true }), init)).text());
    const textOf = (events: unknown[]) =>
      (events.slice(0, -1) as { choices: { delta: { content?: string } }[] }[])
        .map(({ choices }) => choices[0]?.delta.content ?? "")
        .join("");
    expect(textOf(await stream(first))).toBe("re: two");
    const streamedAgain = await stream(retry);
    expect(textOf(streamedAgain)).toBe("re: two");
    expect(streamedAgain.at(-1)).toBe("[DONE]");
    expect(provider.requests).toHaveLength(2);
  });

  test("with an Idempotency-Key that has another body is refused", async () => {
    const { chat } = setup();
    const headers = { "x-session-id": "s", "idempotency-key": "k" };
    await chat(say("one"), { headers });
    const reused = await chat(say("two"), { headers });
    expect(reused.status).toBe(409);
    expect(reused.headers.get("x-should-retry")).toBe("false");
    expect((await reused.json()).error.code).toBe("idempotency_key_reused");
  });

  test("while the first is under way shares its call, which outlives the first's client", async () => {
    let answerNow = () => {};
    const provider = scriptedProvider({
      async *answer() {
        await new Promise<void>((resolve) => {
          answerNow = resolve;
        });
        yield* reply("once");
      },
    });
    const store = countingStore(fakeClock());
    const { chat, records } = testHandler({}, { providers: [provider], store });
    const headers = { "x-session-id": "s", "idempotency-key": "k" };
    const leaver = new AbortController();
    const left = chat(say("one"), { headers, signal: leaver.signal });
    await until(async () => provider.requests.length === 1);
    const stays = chat(say("one"), { headers });
    await until(async () => store.reads === 2);
    await settle();
    leaver.abort();
    await left;
    answerNow();
    expect((await (await stays).json()).choices[0].message.content).toBe("once");
    expect(provider.requests).toHaveLength(1);
    expect(records.find(({ status }) => status === 200)).toMatchObject({ replayed: true });
  });
});

describe("a streamed turn whose token counts come last", () => {
  /** Ends the reply first, and says that the upstream is done when the counts have come. */
  const counting = (counted: Promise<void>) => {
    const signals: AbortSignal[] = [];
    async function* counting(): AsyncGenerator<readonly UpstreamEvent[]> {
      yield [
        { parts: [{ type: "text-delta", delta: "once" }] },
        { parts: [{ type: "finish", reason: "stop" }] },
      ];
      await counted;
      const usage = { promptTokens: 1000, completionTokens: 1000, totalTokens: 2000 };
      yield [{ parts: [{ type: "usage", usage }] }];
    }
    const provider: Provider = {
      ...scriptedProvider(),
      async answer(_, { signal }) {
        signals.push(signal);
        return { events: counting() };
      },
    };
    return { provider, signals };
  };
  const body = say("one", { stream: true, stream_options: { include_usage: true } });
  const headers = { "x-session-id": "s", "idempotency-key": "k" };
  const totalOf = (text: string) =>
    (sseData(text) as { usage?: { total_tokens: number } }[]).findLast(({ usage }) => usage)?.usage
      ?.total_tokens;

  const textOf = async (body: ReadableStream<Uint8Array>) => {
    let text = "";
    for await (const bytes of body) text += new TextDecoder().decode(bytes);
    return text;
  };

  test("has them for a slow reader too, when a retry was there first", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const { chat } = testHandler({}, { providers: [counting(promise).provider] });
    const slow = (await chat(body, { headers })).body as ReadableStream<Uint8Array>;
    const reader = slow.getReader();
    const begun = new TextDecoder().decode((await reader.read()).value);
    expect(begun).toContain("once");
    const retry = (await chat(body, { headers })).text();
    await settle();
    resolve();
    expect(totalOf(await retry)).toBe(2000);
    reader.releaseLock();
    expect(totalOf(await textOf(slow))).toBe(2000);
  });

  test("is not broken off at its end: its connection is to be used again", async () => {
    const { provider, signals } = counting(Promise.resolve());
    const { chat } = testHandler({}, { providers: [provider] });
    expect(totalOf(await (await chat(body, { headers })).text())).toBe(2000);
    expect(signals.map(({ aborted }) => aborted)).toEqual([false]);
  });
});

describe("a store that fails", () => {
  const broken = (failing: { get: boolean; set: boolean }): SessionStore => {
    const store = memoryStore({ maxEntries: 10, clock: fakeClock() });
    return {
      ...store,
      get: (key) => {
        if (failing.get) throw new Error("store down");
        return store.get(key);
      },
      set: (key, value, options) => {
        if (failing.set) throw new Error("store down");
        return store.set(key, value, options);
      },
    };
  };

  test("on reading is session_store_unavailable, but not for stateless calls", async () => {
    const failing = { get: true, set: true };
    const { chat } = setup({}, { store: broken(failing) });
    const response = await chat(say("one", { user: "ann" }));
    expect(response.status).toBe(503);
    expect(response.headers.get("retry-after")).not.toBeNull();
    expect((await response.json()).error.code).toBe("session_store_unavailable");
    expect((await chat(say("one"))).status).toBe(200);
    failing.get = false;
    failing.set = false;
    expect((await chat(say("one", { user: "ann" }))).status).toBe(200);
  });

  test("is waited for, and a client that leaves meanwhile is one request in the log", async () => {
    let write = () => {};
    const store: SessionStore = {
      ...memoryStore({ maxEntries: 10, clock: fakeClock() }),
      set: () =>
        new Promise((resolve) => {
          write = () => resolve("1");
        }),
    };
    const { chat, records } = setup({}, { store });
    const response = await chat(say("one", { user: "ann", stream: true }));
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    await reader.read();
    const last = reader.read();
    await settle();
    await reader.cancel();
    write();
    await last;
    await settle();
    expect(records).toHaveLength(1);
  });

  test("on writing delivers the answer and says that it is not remembered", async () => {
    const { chat, log } = setup({}, { store: broken({ get: false, set: true }) });
    const whole = await chat(say("one", { user: "ann" }));
    expect(whole.status).toBe(200);
    expect(whole.headers.get("x-session-saved")).toBe("false");
    const streamed = await (await chat(say("one", { user: "ann", stream: true }))).text();
    expect(streamed).toEndWith(": x-session-saved: false\n\ndata: [DONE]\n\n");
    expect(log.lines.filter(({ event }) => event === "session.not_saved")).toHaveLength(2);
  });
});

test("a hosted server without a shared store says so where it matters", async () => {
  const { chat } = setup({}, { hosted: true });
  expect((await chat(say("one", { user: "ann" }))).headers.get("x-session-shared")).toBe("false");
  expect((await chat(say("one"))).headers.get("x-session-shared")).toBeNull();
});
