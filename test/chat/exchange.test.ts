import { describe, expect, test } from "bun:test";
import { getEventListeners } from "node:events";
import { ApiError } from "../../core/errors.ts";
import type { StreamPart } from "../../core/types.ts";
import { fakeClock, settle } from "../fakes/fake-clock.ts";
import { failure, reply, scriptedProvider } from "../fakes/scripted-provider.ts";
import { schemaErrors } from "../support/openai-schema.ts";
import { hello, sseData, testHandler } from "../support/test-handler.ts";

const streamed = { ...hello, stream: true };

const withAnswer = (answer: NonNullable<Parameters<typeof scriptedProvider>[0]>["answer"] & object) => {
  const provider = scriptedProvider({ answer });
  const clock = fakeClock();
  return { ...testHandler({}, { providers: [provider], clock }), provider, clock };
};

/** Ends only when the request does. */
const untilAborted = (signal: AbortSignal) =>
  new Promise<never>((_, reject) =>
    signal.addEventListener("abort", () => reject(signal.reason), { once: true }),
  );

describe("a whole answer", () => {
  test("is valid by OpenAI's schema", async () => {
    const { chat } = testHandler();
    const response = await chat(hello);
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("application/json; charset=utf-8");
    const body = await response.json();
    expect(schemaErrors("CreateChatCompletionResponse", body)).toEqual([]);
    expect(body.model).toBe("test-model");
    expect(body.choices).toEqual([
      {
        index: 0,
        message: { role: "assistant", content: "Hello there", refusal: null },
        logprobs: null,
        finish_reason: "stop",
      },
    ]);
    expect(body.usage.prompt_tokens).toBeGreaterThan(0);
    expect(body.usage.total_tokens).toBe(body.usage.prompt_tokens + body.usage.completion_tokens);
  });

  test("has its own id and the second in which it was made", async () => {
    const { chat, clock } = withAnswer(() => reply("x"));
    const first = await (await chat(hello)).json();
    const second = await (await chat(hello)).json();
    expect(first.id).toMatch(/^chatcmpl-\w{32}$/);
    expect(first.id).not.toBe(second.id);
    expect(first.created).toBe(Math.floor(clock.now() / 1000));
  });

  test("carries everything that a provider can say", async () => {
    const parts: StreamPart[] = [
      { type: "reasoning-delta", delta: "Hm" },
      { type: "reasoning-delta", delta: "m." },
      { type: "tool-call-delta", index: 0, id: "call_1", name: "weather", delta: "" },
      { type: "tool-call-delta", index: 0, delta: '{"city":' },
      { type: "tool-call-delta", index: 1, id: "call_2", name: "time", delta: "{}" },
      { type: "tool-call-delta", index: 0, delta: '"Bonn"}' },
      {
        type: "extension",
        scope: "choice",
        fields: {
          logprobs: { content: [{ token: "a", logprob: -1, bytes: null, top_logprobs: [] }], refusal: null },
        },
      },
      { type: "extension", scope: "answer", fields: { system_fingerprint: "fp_1" } },
      { type: "finish", reason: "tool_calls" },
      { type: "refusal-delta", choice: 1, delta: "No" },
      { type: "finish", choice: 1, reason: "stop" },
      {
        type: "usage",
        usage: {
          promptTokens: 3,
          completionTokens: 4,
          totalTokens: 7,
          details: { prompt_tokens_details: { cached_tokens: 1 } },
        },
      },
    ];
    const answer = async function* () {
      yield* parts;
    };
    const whole = await (await withAnswer(answer).chat(hello)).json();
    expect(schemaErrors("CreateChatCompletionResponse", whole)).toEqual([]);
    expect(whole.system_fingerprint).toBe("fp_1");
    expect(whole.choices[0]).toMatchObject({
      message: {
        content: null,
        reasoning_content: "Hmm.",
        tool_calls: [
          { id: "call_1", type: "function", function: { name: "weather", arguments: '{"city":"Bonn"}' } },
          { id: "call_2", type: "function", function: { name: "time", arguments: "{}" } },
        ],
      },
      finish_reason: "tool_calls",
    });
    expect(whole.choices[0].logprobs.content).toHaveLength(1);
    expect(whole.choices[1]).toMatchObject({ index: 1, message: { content: null, refusal: "No" } });
    expect(whole.usage).toEqual({
      prompt_tokens: 3,
      completion_tokens: 4,
      total_tokens: 7,
      prompt_tokens_details: { cached_tokens: 1 },
    });

    const events = sseData(await (await withAnswer(answer).chat({ ...streamed, n: 2 })).text());
    for (const event of events.slice(0, -1))
      expect(schemaErrors("CreateChatCompletionStreamResponse", event)).toEqual([]);
    const choices = (
      events.slice(0, -1) as { choices: { index: number; delta: Record<string, unknown> }[] }[]
    ).flatMap((event) => event.choices);
    expect(choices.slice(0, 2).map(({ index, delta }) => [index, delta.role])).toEqual([
      [0, "assistant"],
      [1, "assistant"],
    ]);
    expect(choices.map(({ delta }) => delta.reasoning_content ?? "").join("")).toBe("Hmm.");
    expect(choices.map(({ delta }) => delta.refusal ?? "").join("")).toBe("No");
    expect(choices.flatMap(({ delta }) => (delta.tool_calls as unknown[]) ?? [])[0]).toEqual({
      index: 0,
      id: "call_1",
      type: "function",
      function: { name: "weather", arguments: "" },
    });
  });

  test("without an end is an error, not an answer", async () => {
    const { chat } = withAnswer(async function* () {
      yield { type: "text-delta", delta: "half" };
    });
    const response = await chat(hello);
    expect(response.status).toBe(502);
    expect((await response.json()).error.code).toBe("upstream_invalid_response");
  });
});

test("a client's signal that many requests have keeps nothing of those that are over", async () => {
  const { chat } = withAnswer(() => reply("x"));
  const { signal } = new AbortController();
  await (await chat(hello, { signal })).text();
  await (await chat(streamed, { signal })).text();
  await (await chat({ ...hello, model: "unknown" }, { signal })).text();
  expect(getEventListeners(signal, "abort")).toEqual([]);
});

describe("a streamed answer", () => {
  test("is made of valid chunks that share id, time and model, and ends with [DONE]", async () => {
    const { chat } = testHandler();
    const response = await chat(streamed);
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toStartWith("text/event-stream");
    expect(response.headers.get("cache-control")).toBe("no-cache, no-transform");
    expect(response.headers.get("x-accel-buffering")).toBe("no");
    const events = sseData(await response.text());
    expect(events.at(-1)).toBe("[DONE]");
    const chunks = events.slice(0, -1) as {
      id: string;
      created: number;
      model: string;
      choices: { index: number; delta: Record<string, unknown>; finish_reason: string | null }[];
    }[];
    for (const chunk of chunks) {
      expect(schemaErrors("CreateChatCompletionStreamResponse", chunk)).toEqual([]);
      expect(chunk).not.toContainKey("usage");
    }
    expect(new Set(chunks.map(({ id, created, model }) => `${id} ${created} ${model}`)).size).toBe(1);
    expect(chunks.map(({ choices }) => choices[0]?.delta)).toEqual([
      { role: "assistant", content: "" },
      { content: "Hello" },
      { content: " there" },
      {},
    ]);
    expect(chunks.map(({ choices }) => choices[0]?.finish_reason)).toEqual([null, null, null, "stop"]);
  });

  test("ends with token counts only when they are asked for", async () => {
    const { chat } = testHandler();
    const events = sseData(
      await (await chat({ ...streamed, stream_options: { include_usage: true } })).text(),
    ) as {
      choices: unknown[];
      usage: unknown;
    }[];
    const chunks = events.slice(0, -1);
    for (const chunk of chunks) expect(schemaErrors("CreateChatCompletionStreamResponse", chunk)).toEqual([]);
    expect(chunks.slice(0, -1).every(({ usage, choices }) => usage === null && choices.length === 1)).toBe(
      true,
    );
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { total_tokens: expect.any(Number) } });
  });

  test("keeps the true status of a failure before its first part", async () => {
    const { chat } = withAnswer(() =>
      failure(new ApiError("upstream_rate_limited", "Slow down.", { retryAfterMs: 7000 })),
    );
    const response = await chat(streamed);
    expect(response.status).toBe(429);
    expect(response.headers.get("retry-after")).toBe("7");
    expect(response.headers.get("retry-after-ms")).toBe("7000");
    expect(await response.json()).toEqual({
      error: { message: "Slow down.", type: "rate_limit_error", param: null, code: "upstream_rate_limited" },
    });
  });

  test("that fails after its first part ends with one error event and no [DONE]", async () => {
    const { chat, records } = withAnswer(async function* () {
      yield { type: "text-delta", delta: "Hel" };
      throw new ApiError("upstream_unreachable", "The connection was cut.");
    });
    const response = await chat(streamed);
    expect(response.status).toBe(200);
    const events = sseData(await response.text());
    expect(events.at(-1)).toEqual({
      error: {
        message: "The connection was cut.",
        type: "upstream_error",
        param: null,
        code: "upstream_unreachable",
      },
    });
    expect(events).toHaveLength(3);
    expect(records).toHaveLength(1);
    expect(records[0]).toMatchObject({ status: 200, code: "upstream_unreachable", stream: true });
  });

  test("opens with its role and stays alive while the provider is silent", async () => {
    let answerNow = () => {};
    const { chat, clock } = withAnswer(async function* () {
      await new Promise<void>((resolve) => {
        answerNow = resolve;
      });
      yield* reply("at last");
    });
    const pending = chat(streamed);
    await clock.advance(4999);
    expect(await Promise.race([pending, settle().then(() => "waiting")])).toBe("waiting");
    await clock.advance(1);
    const response = await pending;
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    const text = async (read: ReturnType<typeof reader.read>) => new TextDecoder().decode((await read).value);
    expect(await text(reader.read())).toContain('"role":"assistant"');
    for (let silence = 0; silence < 3; silence++) {
      const next = reader.read();
      await clock.advance(8000);
      expect(await text(next)).toBe(": keep-alive\n\n");
    }
    const next = reader.read();
    await settle();
    answerNow();
    expect(await text(next)).toContain("at last");
    reader.releaseLock();
  });

  test("that fails after headers went out says so in an error event", async () => {
    const { chat, clock } = withAnswer(async function* (_, { signal }) {
      yield await untilAborted(signal);
    });
    const pending = chat(streamed);
    await clock.advance(5000);
    const text = (await pending).text();
    await clock.advance(175_000);
    const events = sseData(await text);
    expect(events).toHaveLength(2);
    expect(events[1]).toMatchObject({ error: { code: "upstream_timeout", type: "timeout_error" } });
  });

  test("is pulled by its reader: nobody reads, nothing is produced", async () => {
    let produced = 0;
    const { chat } = withAnswer(async function* () {
      for (; produced < 1000; produced++) yield { type: "text-delta", delta: "word " };
      yield { type: "finish", reason: "stop" };
    });
    const response = await chat(streamed);
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    await reader.read();
    await settle();
    expect(produced).toBeLessThan(5);
    await reader.cancel();
  });
});

describe("an end of a request", () => {
  test("by time is upstream_timeout, releases the provider and leaves no timer", async () => {
    const { chat, clock, provider } = withAnswer(async function* (_, { signal }) {
      yield await untilAborted(signal);
    });
    const pending = chat(hello);
    await clock.advance(180_000);
    const response = await pending;
    expect(response.status).toBe(504);
    expect(response.headers.get("x-should-retry")).toBe("false");
    expect((await response.json()).error.code).toBe("upstream_timeout");
    expect(provider.released).toBe(1);
    expect(clock.pending).toBe(0);
  });

  test("by time comes even if the provider does not listen", async () => {
    const { chat, clock } = withAnswer(async function* () {
      await new Promise(() => {});
      yield* reply("never");
    });
    const pending = chat(hello);
    await clock.advance(180_000);
    expect((await pending).status).toBe(504);
  });

  test("by a client that leaves while it waits aborts the provider", async () => {
    const { chat, provider, records, clock } = withAnswer(async function* (_, { signal }) {
      yield await untilAborted(signal);
    });
    const controller = new AbortController();
    const pending = chat(hello, { signal: controller.signal });
    await settle();
    controller.abort();
    await pending;
    await settle();
    expect(provider.requests[0]?.context.signal.aborted).toBe(true);
    expect(provider.released).toBe(1);
    expect(records[0]).toMatchObject({ code: "client_closed_request", status: 499 });
    expect(clock.pending).toBe(0);
  });

  test("by a client that leaves in the middle of a stream aborts the provider and is logged once", async () => {
    const { chat, provider, records, clock } = withAnswer(async function* (_, { signal }) {
      yield { type: "text-delta", delta: "Hel" };
      yield await untilAborted(signal);
    });
    const response = await chat(streamed);
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    await reader.read();
    await reader.cancel();
    await settle();
    expect(provider.released).toBe(1);
    expect(records).toHaveLength(1);
    expect(records[0]).toMatchObject({ code: "client_closed_request" });
    expect(clock.pending).toBe(0);
  });

  test("that went well leaves no timer and ignores a later abort", async () => {
    for (const body of [hello, streamed]) {
      const { chat, clock, provider, records } = withAnswer(() => reply("done"));
      const controller = new AbortController();
      await (await chat(body, { signal: controller.signal })).text();
      controller.abort();
      await settle();
      expect(clock.pending).toBe(0);
      expect(provider.released).toBe(1);
      expect(records).toHaveLength(1);
      expect(records[0]?.code).toBeUndefined();
    }
  });
});

describe("a request's body", () => {
  test.each([
    ["", "invalid_json"],
    ["{", "invalid_json"],
    ["[1", "invalid_json"],
    ["[".repeat(100_000), "invalid_request"],
    ["null", "invalid_request"],
    ["[]", "invalid_request"],
    ['"text"', "invalid_request"],
  ])("%p is %s", async (body, code) => {
    const { chat } = testHandler();
    const response = await chat(body.slice(0, 200_000));
    expect(response.status).toBe(400);
    const answer = await response.json();
    expect(schemaErrors("ErrorResponse", answer)).toEqual([]);
    expect(answer.error.code).toBe(code);
  });

  test("that is not UTF-8 is invalid_json", async () => {
    const { send } = testHandler();
    const response = await send("/v1/chat/completions", {
      method: "POST",
      body: new Uint8Array([0x7b, 0xff, 0x7d]),
    });
    expect((await response.json()).error.code).toBe("invalid_json");
  });

  test("may begin with a byte order mark", async () => {
    const { chat } = testHandler();
    expect((await chat(`\ufeff${JSON.stringify(hello)}`)).status).toBe(200);
  });

  test("that is compressed is refused", async () => {
    const { chat } = testHandler();
    const response = await chat(hello, { headers: { "content-encoding": "gzip" } });
    expect(response.status).toBe(400);
  });

  test("that is too large is refused without reading the rest, with and without a declared length", async () => {
    const { chat, send } = testHandler({ MAX_BODY_BYTES: "2000" });
    const declared = await chat("x".repeat(2001), { headers: { "content-length": "2001" } });
    expect(declared.status).toBe(413);
    expect((await declared.json()).error.code).toBe("request_too_large");
    let pulled = 0;
    const endless = new ReadableStream({
      pull(controller) {
        pulled++;
        controller.enqueue(new Uint8Array(1000));
      },
    });
    const undeclared = await send("/v1/chat/completions", { method: "POST", body: endless });
    expect(undeclared.status).toBe(413);
    expect(pulled).toBeLessThan(10);
  });

  test.each([
    [{ messages: undefined }, "messages"],
    [{ messages: [] }, "messages"],
    [{ messages: "hi" }, "messages"],
    [{ messages: [{ role: "robot", content: "x" }] }, "messages[0].role"],
    [
      {
        messages: [
          { role: "user", content: "x" },
          { role: "user", content: 5 },
        ],
      },
      "messages[1].content",
    ],
    [{ messages: [{ role: "user", content: [{ text: "x" }] }] }, "messages[0].content[0].type"],
    [{ model: 5 }, "model"],
    [{ stream: "yes" }, "stream"],
    [{ temperature: 2.1 }, "temperature"],
    [{ temperature: -0.1 }, "temperature"],
    [{ top_p: 1.5 }, "top_p"],
    [{ n: 0 }, "n"],
    [{ n: 1.5 }, "n"],
    [{ n: 129 }, "n"],
    [{ max_tokens: 0 }, "max_tokens"],
    [{ max_tokens: "10" }, "max_tokens"],
    [{ max_completion_tokens: -1 }, "max_completion_tokens"],
    [{ presence_penalty: 3 }, "presence_penalty"],
    [{ frequency_penalty: -3 }, "frequency_penalty"],
    [{ stop: ["a", "b", "c", "d", "e"] }, "stop"],
    [{ stop: [1] }, "stop[0]"],
    [{ user: 7 }, "user"],
    [{ stream_options: { include_usage: "yes" } }, "stream_options.include_usage"],
    [{ tools: "x" }, "tools"],
    [{ tool_choice: "maybe" }, "tool_choice"],
    [{ response_format: { type: "xml" } }, "response_format.type"],
  ])("with %j is invalid_request and names %s", async (fields, param) => {
    const { chat } = testHandler();
    const response = await chat({ ...hello, ...fields });
    expect(response.status).toBe(400);
    const { error } = await response.json();
    expect(error).toMatchObject({ type: "invalid_request_error", param });
    expect(error.message).toContain(param);
  });

  test("is not quoted in the error", async () => {
    const { chat, log } = testHandler();
    const response = await chat({ messages: "my secret" });
    expect(await response.text()).not.toContain("secret");
    expect(JSON.stringify(log.lines)).not.toContain("secret");
  });

  test.each([
    [
      {
        stream: null,
        model: null,
        user: null,
        stop: null,
        n: null,
        max_tokens: null,
        tools: null,
        stream_options: null,
      },
    ],
    [{ model: "" }],
    [{ unknown: { nested: [1] }, metadata: {}, store: true, parallel_tool_calls: false }],
    [{ temperature: 0, top_p: 1, seed: -7, presence_penalty: 0.5, logit_bias: { "50256": -100 } }],
    [
      {
        messages: [
          { role: "developer", content: "d" },
          { role: "system", content: [{ type: "text", text: "s" }] },
          { role: "tool", content: "t", tool_call_id: "1" },
        ],
      },
    ],
    [
      {
        messages: [
          { role: "assistant", content: null, tool_calls: [] },
          { role: "function", name: "f", content: "x" },
        ],
      },
    ],
    [{ messages: [{ role: "assistant" }, { role: "user", content: "x", name: "n", extra: 1 }] }],
  ])("with %j is accepted", async (fields) => {
    const { chat } = testHandler();
    expect((await chat({ ...hello, ...fields })).status).toBe(200);
  });

  test("reaches the provider as it was understood", async () => {
    const { chat, provider } = testHandler();
    await chat({
      ...hello,
      messages: [
        {
          role: "user",
          content: [
            { type: "text", text: "a" },
            { type: "image_url", image_url: { url: "data:" } },
            { type: "text", text: "b" },
          ],
        },
      ],
      stop: "END",
      max_tokens: 5,
      max_completion_tokens: 9,
      n: 2,
      tool_choice: { type: "function", function: { name: "f" } },
      response_format: { type: "json_object" },
      temperature: 0.5,
    });
    const request = provider.requests[0]?.request;
    expect(request).toMatchObject({
      model: "test-model",
      stop: ["END"],
      maxTokens: 9,
      choices: 2,
      toolChoice: "named",
      responseFormat: "json_object",
      stream: false,
      usage: true,
    });
    expect(request?.messages[0]).toMatchObject({ role: "user", text: "ab", attachments: ["image_url"] });
    expect(request?.native.temperature).toBe(0.5);
  });

  test.each([
    ["auto", "auto"],
    ["required", "named"],
  ])("a choice among allowed tools in the mode %s is %s", async (mode, expected) => {
    const { chat, provider } = testHandler();
    await chat({ ...hello, tool_choice: { type: "allowed_tools", allowed_tools: { mode, tools: [] } } });
    expect(provider.requests[0]?.request.toolChoice).toBe(expected as "auto" | "named");
  });

  test("starts a conversation of its own each time", async () => {
    const { chat, provider } = testHandler();
    await chat(hello);
    await chat(hello);
    const [first, second] = provider.requests.map(({ request }) => request.conversation);
    expect(first?.id).toMatch(/^[a-z0-9]{9}$/);
    expect(first?.id).not.toBe(second?.id);
  });
});

describe("models", () => {
  test("that are unknown are model_not_found", async () => {
    const { chat } = testHandler();
    const response = await chat({ ...hello, model: "gpt-5" });
    expect(response.status).toBe(404);
    expect((await response.json()).error).toMatchObject({ code: "model_not_found", param: "model" });
  });

  test("may be left out, or be asked for by another name, which the answer keeps", async () => {
    const provider = scriptedProvider({ models: [{ id: "test-model", aliases: ["kimi"], createdAt: 1 }] });
    const { chat } = testHandler({}, { providers: [provider] });
    const answer = await (await chat({ ...hello, model: "kimi" })).json();
    expect(answer.model).toBe("kimi");
    expect(provider.requests[0]?.request.model).toBe("test-model");
  });
});

describe("a fault of the gateway itself", () => {
  test("is shown without details and told to onError", async () => {
    const provider = scriptedProvider({
      answer() {
        throw new TypeError("secret detail");
      },
    });
    const errors: unknown[] = [];
    const { chat, log } = testHandler({}, { providers: [provider], onError: (error) => errors.push(error) });
    const response = await chat(hello);
    expect(response.status).toBe(500);
    const text = await response.text();
    expect(text).not.toContain("secret detail");
    expect(JSON.parse(text).error.code).toBe("internal_error");
    expect(errors).toHaveLength(1);
    expect(log.lines.some(({ level }) => level === "error")).toBe(true);
  });
});
