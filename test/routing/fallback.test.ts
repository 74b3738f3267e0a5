/** Who answers when the first can't: over the whole gateway, with providers that do as the test says. */
import { describe, expect, test } from "bun:test";
import { ApiError, type ApiErrorOptions, type ErrorCode, errorTable } from "../../core/errors.ts";
import type { Provider, StreamPart } from "../../core/types.ts";
import { fakeClock, settle } from "../fakes/fake-clock.ts";
import { failure, reply, type Script, scriptedProvider } from "../fakes/scripted-provider.ts";
import { sseData, testHandler } from "../support/test-handler.ts";
import { until } from "../support/until.ts";
import { takeDifferences } from "../support/watch-answers.ts";

const named = (name: string, answer?: Script["answer"], id = "one") =>
  scriptedProvider({ name, models: [{ id, createdAt: 1 }], ...(answer && { answer }) });

const failing = (name: string, code: ErrorCode, options?: ApiErrorOptions) =>
  named(name, () => failure(new ApiError(code, `${name} failed.`, options)));

/** Answers nothing until it is left. */
const hanging = (name: string) =>
  named(name, async function* (_, { signal }): AsyncGenerator<StreamPart> {
    await new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  });

const ask = { model: "one", messages: [{ role: "user", content: "Hi" }] };
const streamed = { ...ask, stream: true };

const gateway = (providers: readonly Provider[], env: Record<string, string> = {}) => {
  const clock = fakeClock();
  const fallbacks = { one: providers.slice(1).map(({ name }) => `${name}/one`) };
  return {
    clock,
    ...testHandler({ MODEL_FALLBACKS: JSON.stringify(fallbacks), ...env }, { providers, clock }),
  };
};

const mendable: readonly ErrorCode[] = [
  "context_length_exceeded",
  "model_not_found",
  "overloaded",
  "unsupported_content",
  "unsupported_parameter",
  "upstream_challenge",
  "upstream_error",
  "upstream_invalid_response",
  "upstream_message_refused",
  "upstream_nonce_unavailable",
  "upstream_out_of_credit",
  "upstream_rate_limited",
  "upstream_timeout",
  "upstream_unavailable",
  "upstream_unreachable",
];

test("a provider is told no more than can matter to it, its fallback everything, and the rest counts as left out", async () => {
  const brief = { ...named("brief"), maxHistoryMessages: 3 };
  const failingBrief = { ...failing("first", "upstream_error"), maxHistoryMessages: 3 };
  const thorough = named("thorough");
  const say = async (providers: readonly Provider[]) => {
    const { chat, records } = gateway(providers);
    const headers = { "x-session-id": "s" };
    const messages = [{ role: "system", content: "S" }, ...ask.messages];
    for (let turn = 0; turn < 4; turn++) await chat({ ...ask, messages }, { headers });
    const response = await chat(ask, { headers });
    const dropped = Number(response.headers.get("x-context-dropped-messages"));
    expect(records.at(-1)?.droppedMessages).toBe(dropped);
    const { usage } = await response.json();
    return { dropped, promptTokens: usage.prompt_tokens };
  };
  const told = (provider: typeof thorough) =>
    provider.requests.at(-1)?.request.messages.map(({ role, text }) => `${role[0]}:${text}`);

  const short = await say([brief]);
  expect(told(brief)).toEqual(["s:S", "u:Hi", "a:Hello there", "u:Hi"]);
  expect(short.dropped).toBe(6);
  const long = await say([failingBrief, thorough]);
  expect(told(thorough)).toHaveLength(10);
  expect(long.dropped).toBe(0);
  expect(long.promptTokens).toBeGreaterThan(short.promptTokens);
});

test("a stream whose headers went out before its first text says in a comment what was left out", async () => {
  let answer: NonNullable<Script["answer"]> = () => reply("Hello");
  const brief = { ...named("brief", (request, context) => answer(request, context)), maxHistoryMessages: 2 };
  const { chat, records, clock } = gateway([brief], { STREAM_COMMIT_MS: "1000" });
  const headers = { "x-session-id": "s" };
  for (let turn = 0; turn < 3; turn++) await chat(ask, { headers });

  let go: (() => void) | undefined;
  answer = async function* () {
    await new Promise<void>((resolve) => {
      go = resolve;
    });
    yield* reply("Late");
  };
  const streaming = chat(streamed, { headers });
  await until(async () => go !== undefined);
  await clock.advance(1000);
  const response = await streaming;
  go?.();
  const text = await response.text();
  expect(text).toContain("\n\n: x-context-dropped-messages: 4; x-served-by: brief/one\n\n");
  expect(text).toContain("Late");

  expect(records.at(-1)?.droppedMessages).toBe(4);
});

describe("a model's fallback", () => {
  test.each(Object.keys(errorTable) as ErrorCode[])("after %s", async (code) => {
    const second = named("second");
    const { chat } = gateway([failing("first", code), second]);
    const response = await chat(ask);
    if (mendable.includes(code)) {
      expect(response.status).toBe(200);
      expect(response.headers.get("x-served-by")).toBe("second/one");
      expect(response.headers.get("x-fallback-from")).toBe("first/one");
      expect((await response.json()).model).toBe("one");
    } else {
      expect(response.status).toBe(errorTable[code].status);
      expect(second.requests).toEqual([]);
      // Among them are codes that no provider throws, which the API's document has for other routes alone.
      takeDifferences();
    }
  });

  test("is not asked when the first answers, whose name is told", async () => {
    const second = named("second");
    const { chat, records } = gateway([named("first"), second]);
    for (const body of [ask, streamed]) {
      const response = await chat(body);
      expect(response.headers.get("x-served-by")).toBe("first/one");
      expect(response.headers.get("x-fallback-from")).toBeNull();
      await response.text();
    }
    expect(second.requests).toEqual([]);
    expect(records[0]?.fallbackFrom).toBeUndefined();
  });

  test("is asked in turn, and the log tells of every step", async () => {
    const providers = [failing("a", "upstream_timeout"), failing("b", "upstream_rate_limited"), named("c")];
    const { chat, log, records } = gateway(providers);
    const response = await chat(streamed);
    expect(response.headers.get("x-served-by")).toBe("c/one");
    expect(response.headers.get("x-fallback-from")).toBe("a/one, b/one");
    expect(sseData(await response.text()).at(-1)).toBe("[DONE]");
    expect(log.lines.filter(({ event }) => event === "fallback.tried")).toMatchObject([
      { level: "warn", fields: { provider: "a", model: "one", code: "upstream_timeout" } },
      { level: "warn", fields: { provider: "b", model: "one", code: "upstream_rate_limited" } },
    ]);
    expect(records[0]).toMatchObject({ provider: "c", model: "one", fallbackFrom: "a/one", status: 200 });
  });

  test("that fails too gives the last error, with its status", async () => {
    const { chat } = gateway([
      failing("first", "upstream_timeout"),
      failing("second", "upstream_rate_limited", { retryAfterMs: 7000 }),
    ]);
    const response = await chat(ask);
    expect(response.status).toBe(429);
    expect(response.headers.get("retry-after")).toBe("7");
    expect((await response.json()).error).toMatchObject({ message: "second failed." });
  });

  test("that can't take the request is passed over, and the failure before told", async () => {
    const [first, second] = [
      failing("first", "upstream_rate_limited"),
      failing("second", "unsupported_content"),
    ];
    expect((await gateway([first, second]).chat(ask)).status).toBe(429);
    const response = await gateway([first, second, named("third")]).chat(ask);
    expect(response.headers.get("x-served-by")).toBe("third/one");
  });

  test("is not asked for what fails after its first part", async () => {
    const second = named("second");
    const first = named("first", async function* () {
      yield { type: "text-delta", delta: "Hal" };
      throw new ApiError("upstream_unreachable", "It was cut.");
    });
    const { chat } = gateway([first, second]);
    const whole = await chat(ask);
    expect(whole.status).toBe(502);
    const events = sseData(await (await chat(streamed)).text());
    expect(events.at(-1)).toMatchObject({ error: { code: "upstream_unreachable" } });
    expect(second.requests).toEqual([]);
  });

  test("is asked at once while the first one's circuit is open", async () => {
    const first = failing("first", "upstream_unavailable");
    const { chat } = gateway([first, named("second")]);
    for (let time = 0; time < 8; time++) expect((await chat(ask)).status).toBe(200);
    expect(first.requests).toHaveLength(5);
  });

  test("is asked when too many wait for the first", async () => {
    const first = { ...hanging("first"), maxConcurrency: 1 };
    const { chat, clock } = gateway([first, named("second")]);
    const waiting = Array.from({ length: 9 }, () => chat(ask));
    await settle();
    expect((await chat(ask)).headers.get("x-served-by")).toBe("second/one");
    await clock.advance(180_000);
    await Promise.all(waiting);
  });

  test("that nobody has is passed over, and the model's own failure told", async () => {
    const { chat, log } = gateway([failing("first", "upstream_timeout"), named("second")], {
      MODEL_FALLBACKS: '{"one":["none"]}',
    });
    const response = await chat(ask);
    expect(response.status).toBe(504);
    expect((await response.json()).error.message).toBe("first failed.");
    expect(log.lines.map(({ event }) => event)).toContain("fallback.not_found");
  });

  test("that nobody has does not keep the next one from answering, nor the first", async () => {
    const env = { MODEL_FALLBACKS: '{"one":["none","second/one"]}' };
    const { chat } = gateway([failing("first", "upstream_timeout"), named("second")], env);
    expect((await chat(ask)).headers.get("x-served-by")).toBe("second/one");
    expect((await gateway([named("first")], env).chat(ask)).headers.get("x-served-by")).toBe("first/one");
  });

  test("answers for a model whose upstream can't even list it", async () => {
    const first = {
      ...failing("first", "upstream_unreachable"),
      takesUnlistedModels: true,
      models: async () => {
        throw new ApiError("upstream_unreachable", "No list.");
      },
    };
    const { chat } = gateway([first, named("second", undefined, "two")], {
      MODEL_FALLBACKS: '{"one":["two"]}',
    });
    const response = await chat(ask);
    expect(response.headers.get("x-served-by")).toBe("second/two");
    expect(response.headers.get("x-fallback-from")).toBe("first/one");
  });
});

describe("what the first can't do", () => {
  /** One that refuses images before it is asked, as the site does. */
  const textOnly = (name: string): Provider => ({
    ...named(name),
    check({ messages }) {
      if (messages.some(({ attachments }) => attachments !== undefined))
        throw new ApiError("unsupported_content", `${name} takes text only.`);
    },
  });
  const image = { type: "image_url", image_url: { url: "data:image/png;base64,AAAA" } };
  const asked = { ...ask, messages: [{ role: "user", content: [image] }] };

  test("goes to a fallback that can", async () => {
    const { chat } = gateway([textOnly("first"), textOnly("second"), named("third")]);
    const response = await chat(asked);
    expect(response.headers.get("x-served-by")).toBe("third/one");
    expect(response.headers.get("x-fallback-from")).toBe("first/one, second/one");
  });

  test("is told of the first, where no fallback can either", async () => {
    const { chat } = gateway([textOnly("first"), textOnly("second")]);
    expect((await (await chat(asked)).json()).error.message).toBe("first takes text only.");
  });

  test("is no news where the first only failed", async () => {
    const { chat } = gateway([failing("first", "upstream_unavailable"), textOnly("second")]);
    const response = await chat(asked);
    expect(response.status).toBe(503);
    expect((await response.json()).error.message).toBe("first failed.");
  });

  test("is told of the one that could and failed", async () => {
    const { chat } = gateway([textOnly("first"), failing("second", "upstream_unavailable")]);
    expect((await (await chat(asked)).json()).error.message).toBe("second failed.");
  });
});

describe("the time of a request with fallbacks", () => {
  test("is one, of which each but the last gets its share", async () => {
    const providers = [hanging("a"), hanging("b"), named("c")];
    const { chat, clock } = gateway(providers, { API_REQUEST_TIMEOUT: "90" });
    const answer = chat(ask);
    await clock.advance(30_000 - 1);
    expect(providers[1]?.requests).toEqual([]);
    await clock.advance(1);
    expect(providers[1]?.requests).toHaveLength(1);
    await clock.advance(30_000 - 1);
    expect(providers[2]?.requests).toEqual([]);
    await clock.advance(1);
    expect((await answer).headers.get("x-fallback-from")).toBe("a/one, b/one");
    expect(clock.pending).toBe(0);
    expect(providers.map(({ released }) => released)).toEqual([1, 1, 1]);
  });

  test("that one has not used is the others'", async () => {
    const last = hanging("c");
    const { chat, clock } = gateway([failing("a", "upstream_error"), hanging("b"), last], {
      API_REQUEST_TIMEOUT: "90",
    });
    const answer = chat(ask);
    await clock.advance(45_000);
    expect(last.requests).toHaveLength(1);
    await clock.advance(45_000 - 1);
    expect(last.released).toBe(0);
    await clock.advance(1);
    expect((await answer).status).toBe(504);
  });

  test("is all there for an answer that has begun", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const slow = named("slow", async function* () {
      yield { type: "text-delta", delta: "Well" };
      await promise;
      yield* reply(", hello");
    });
    const { chat, clock } = gateway([slow, named("second")], { API_REQUEST_TIMEOUT: "90" });
    const answer = chat(ask);
    await clock.advance(80_000);
    resolve();
    expect((await (await answer).json()).choices[0].message.content).toBe("Well, hello");
  });

  test("ends when the client leaves: nobody else is asked", async () => {
    const second = named("second");
    const { chat } = gateway([hanging("first"), second]);
    const leaver = new AbortController();
    const answer = chat(ask, { signal: leaver.signal });
    await settle();
    leaver.abort();
    expect((await answer).status).toBe(499);
    expect(second.requests).toEqual([]);
  });

  test("may end a stream's wait for headers: a comment tells then who served", async () => {
    const { chat, clock } = gateway([hanging("first"), named("second")]);
    const answer = chat(streamed);
    await clock.advance(5000);
    const response = await answer;
    expect(response.headers.get("x-served-by")).toBeNull();
    const text = response.text();
    await clock.advance(90_000);
    expect(await text).toContain("\n\n: x-served-by: second/one; x-fallback-from: first/one\n\n");
    expect(sseData(await text).at(-1)).toBe("[DONE]");
  });
});

test("an upstream that was given up and goes on says nothing of the one that answers instead", async () => {
  let endFirst = () => {};
  const deaf = named("deaf", async function* () {
    await new Promise<void>((resolve) => {
      endFirst = resolve;
    });
    yield* reply("too late");
  });
  const second = named("second", async function* () {
    yield* reply("in time");
    yield { type: "usage", usage: { promptTokens: 1000, completionTokens: 1000, totalTokens: 2000 } };
  });
  const { chat, clock } = gateway([deaf, second]);
  const answer = chat({ ...streamed, stream_options: { include_usage: true } });
  await clock.advance(90_000);
  endFirst();
  await settle();
  const events = sseData(await (await answer).text());
  expect(events.at(-2)).toMatchObject({ usage: { total_tokens: 2000 } });
});

test("a request without a model gets the first one that an upstream lists", async () => {
  const listed = named("listed", undefined, "unknown-before");
  const { chat } = testHandler(
    { KIMI_WEB: "off", OPENAI_BASE_URL: "http://127.0.0.1:1/v1" },
    { providers: [listed] },
  );
  const answer = await (await chat({ messages: ask.messages })).json();
  expect(answer.model).toBe("unknown-before");
});

test("a stream whose headers went out before its first text tells in a comment who served", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const slow = named("slow", async function* () {
    await promise;
    yield* reply("Late");
  });
  const { chat, clock } = gateway([slow]);
  const answer = chat(streamed);
  await clock.advance(5000);
  const text = (await answer).text();
  resolve();
  expect(await text).toContain("\n\n: x-served-by: slow/one\n\n");
});

describe("names in headers", () => {
  test("are encoded where a header can't have them", async () => {
    const first = { ...named("first"), takesUnlistedModels: true };
    const { chat } = gateway([first]);
    const response = await chat({ ...ask, model: "first/模型\r\nx-evil: 1 \ud800" });
    expect(response.status).toBe(200);
    expect(response.headers.get("x-served-by")).toBe("first/%E6%A8%A1%E5%9E%8B%0D%0Ax-evil:%201%20%EF%BF%BD");
    expect(response.headers.get("x-evil")).toBeNull();
  });
});
