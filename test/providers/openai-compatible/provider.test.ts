import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ApiError } from "../../../core/errors.ts";
import {
  type OpenAiCompatibleOptions,
  openAiCompatible,
} from "../../../core/providers/openai-compatible/provider.ts";
import type { StreamPart } from "../../../core/types.ts";
import { fakeClock, settle } from "../../fakes/fake-clock.ts";
import {
  chunk,
  cut,
  doneEvent,
  eventStream,
  forever,
  jsonScript,
  modelIds,
  type OpenAiUpstream,
  type Script,
  type Step,
  startOpenAiUpstream,
} from "../../fakes/openai-upstream.ts";
import {
  chatRequest,
  partsOf,
  providerContext,
  type RequestBody,
  textOf,
} from "../../support/chat-request.ts";

let upstream: OpenAiUpstream;
beforeAll(async () => {
  upstream = await startOpenAiUpstream();
});
afterAll(() => upstream.close());

const provider = (options: Partial<OpenAiCompatibleOptions> = {}) =>
  openAiCompatible({ name: "stand-in", baseUrl: upstream.baseUrl, ...options });

/** Asks and waits for everything. */
const ask = async (from: string | RequestBody, options: Partial<OpenAiCompatibleOptions> = {}) => {
  const context = providerContext();
  const { parts, error } = await partsOf(provider(options).stream(chatRequest(from), context));
  return { parts, error, text: textOf(parts), trace: context.trace, sent: upstream.calls.at(-1)?.body };
};

const events = (...steps: Step[]): Script => ({ headers: eventStream, steps });

const asError = (error: unknown): ApiError => {
  expect(error).toBeInstanceOf(ApiError);
  return error as ApiError;
};

const kinds = (parts: readonly StreamPart[]) => parts.map((part) => part.type);

describe("requests", () => {
  test("are sent on whole, but for model, messages, stream and stream_options", async () => {
    const body = {
      model: "fast",
      messages: [
        { role: "system", content: "Be brief.", name: "ops" },
        {
          role: "user",
          content: [
            { type: "text", text: "What is this?" },
            { type: "image_url", image_url: { url: "data:image/png;base64,AAAA", detail: "low" } },
          ],
        },
      ],
      stream: true,
      stream_options: { include_usage: false, include_obfuscation: false },
      temperature: 0.3,
      tools: [{ type: "function", function: { name: "look", parameters: { type: "object" } } }],
      tool_choice: "none",
      response_format: { type: "text" },
      user: "someone",
      not_known_to_anyone: { deep: [1, null, "😀"] },
    } as const;
    const { sent } = await ask(body, { models: [{ id: "fast", upstreamId: "echo" }] });
    expect(sent).toEqual({
      ...body,
      model: "echo",
      stream_options: { include_usage: true, include_obfuscation: false },
    });
  });

  test("ask for no usage where streams are off, or the vendor refuses it", async () => {
    const whole = await ask({ stream: false, stream_options: { include_usage: true } });
    expect(whole.sent).not.toHaveProperty("stream_options");
    const refused = await ask({ stream_options: { include_usage: true } }, { streamUsage: false });
    expect(refused.sent).not.toHaveProperty("stream_options");
  });

  test("carry the key and the headers that were set", async () => {
    await ask("Hello", { apiKey: "sk-own", headers: { "X-Title": "Gateway" } });
    expect(upstream.calls.at(-1)?.headers).toMatchObject({
      authorization: "Bearer sk-own",
      "content-type": "application/json",
      "x-title": "Gateway",
    });
    await ask("Hello", { apiKey: "sk-own", headers: { Authorization: "Basic abc" } });
    expect(upstream.calls.at(-1)?.headers.authorization).toBe("Basic abc");
  });

  test.each([
    ["/", "/v1/chat/completions"],
    ["/chat/completions", "/v1/chat/completions"],
    ["?api-version=7", "/v1/chat/completions?api-version=7"],
  ])("go to the right place with %s after the base URL", async (suffix, expected) => {
    await ask("Hello", { baseUrl: upstream.baseUrl + suffix });
    expect(upstream.calls.at(-1)?.url).toBe(expected);
  });

  test("follow no redirect", async () => {
    const before = upstream.calls.length;
    upstream.script({ status: 307, headers: { location: `${upstream.baseUrl}/elsewhere` }, steps: [] });
    const { error } = await ask("Hello");
    expect(asError(error).code).toBe("upstream_invalid_response");
    expect(upstream.calls.length).toBe(before + 1);
  });
});

describe.each([true, false])("replies, stream: %p", (stream) => {
  test("are text, a finish and the upstream's own usage", async () => {
    const { parts, text, trace, error } = await ask({ stream });
    expect(error).toBeUndefined();
    expect(text).toBe("Echo: Hello");
    expect(parts.filter(({ type }) => type === "finish")).toEqual([{ type: "finish", reason: "stop" }]);
    expect(parts.at(-1)).toEqual({
      type: "usage",
      usage: {
        promptTokens: 1,
        completionTokens: 7,
        totalTokens: 8,
        details: {
          prompt_tokens_details: { cached_tokens: 0 },
          completion_tokens_details: { reasoning_tokens: 2 },
        },
      },
    });
    expect(trace).toEqual({ attempts: 1, upstreamMs: expect.any(Number), droppedMessages: 0 });
  });

  test("keep fields beside the choices, once each", async () => {
    const { parts } = await ask({ stream });
    expect(parts.filter((part) => part.type === "extension")).toEqual([
      {
        type: "extension",
        scope: "answer",
        fields: { system_fingerprint: "fp_stand_in", service_tier: "default" },
      },
    ]);
  });

  test("reason apart from the text", async () => {
    const { parts, text } = await ask({ stream, model: "reasoner" });
    const reasoning = parts.map((part) => (part.type === "reasoning-delta" ? part.delta : "")).join("");
    expect(reasoning).toBe("First I think about it.");
    expect(text).toBe("Echo: Hello");
  });

  test("may be a refusal", async () => {
    const { parts, text } = await ask({ stream, model: "refuser" });
    expect(parts.map((part) => (part.type === "refusal-delta" ? part.delta : "")).join("")).toBe(
      "I would rather not.",
    );
    expect(text).toBe("");
  });

  test("call tools", async () => {
    const parameters = { type: "object", properties: { city: { type: "string" } } };
    const tools = ["weather", "time"].map((name) => ({ type: "function", function: { name, parameters } }));
    const { parts } = await ask({ stream, tools });
    const calls: { id: string; name: string; text: string }[] = [];
    for (const part of parts) {
      if (part.type !== "tool-call-delta") continue;
      const { index, id, name, delta } = part;
      if (id !== undefined && name !== undefined) calls[index] = { id, name, text: "" };
      if (calls[index] !== undefined) calls[index].text += delta;
    }
    expect(calls).toEqual([
      { id: "call_0_0", name: "weather", text: '{"city":"Paris"}' },
      { id: "call_0_1", name: "time", text: '{"city":"Paris"}' },
    ]);
    expect(parts).toContainEqual({ type: "finish", reason: "tool_calls" });
  });

  test("may be several, with log probabilities", async () => {
    const { parts } = await ask({ stream, n: 2, logprobs: true });
    expect(textOf(parts, 0)).toBe("Echo: Hello");
    expect(textOf(parts, 1)).toBe("Echo 1: Hello");
    expect(parts.filter(({ type }) => type === "finish")).toEqual([
      { type: "finish", reason: "stop" },
      { type: "finish", choice: 1, reason: "stop" },
    ]);
    let tokens = "";
    for (const part of parts) {
      if (part.type !== "extension" || part.scope !== "choice" || part.choice !== 1) continue;
      const { content } = part.fields.logprobs as { content: { token: string }[] };
      tokens += content.map(({ token }) => token).join("");
    }
    expect(tokens).toBe("Echo 1: Hello");
  });

  test("end for the upstream's reason", async () => {
    const { parts } = await ask({ stream, max_tokens: 1 });
    expect(textOf(parts)).toBe("Echo: ");
    expect(parts).toContainEqual({ type: "finish", reason: "length" });
  });
});

/** Texts are joined where they happen to arrive together. */
const withTextsJoined = (parts: readonly StreamPart[]): StreamPart[] => {
  const joined: StreamPart[] = [];
  for (const part of parts) {
    const last = joined.at(-1);
    if (part.type === "text-delta" && last?.type === "text-delta" && last.choice === part.choice) {
      joined[joined.length - 1] = { ...last, delta: last.delta + part.delta };
    } else joined.push(part);
  }
  return joined;
};

describe("streams", () => {
  const text = 'Grüße 👩‍👩‍👧 \u2028 "quoted"\r\n';
  const stream = [
    "\uFEFF: connected\r\n\r\n",
    chunk({ role: "assistant", content: "" }),
    chunk({ content: text.slice(0, 7) }).replaceAll("\n", "\r\n"),
    ": keep-alive\n\n",
    chunk({ content: text.slice(7) }).replaceAll("\n", "\r"),
    chunk({ reasoning: "hm" }),
    chunk({
      tool_calls: [{ index: 0, id: "call_1", type: "function", function: { name: "f", arguments: "" } }],
    }),
    chunk({ tool_calls: [{ index: 0, function: { arguments: '{"ü":1}' } }] }),
    chunk({}, "tool_calls"),
    chunk(null, null, { usage: { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 } }),
    doneEvent,
  ].join("");
  const expected: StreamPart[] = [
    { type: "text-delta", delta: text },
    { type: "reasoning-delta", delta: "hm" },
    { type: "tool-call-delta", index: 0, id: "call_1", name: "f", delta: "" },
    { type: "tool-call-delta", index: 0, delta: '{"ü":1}' },
    { type: "finish", reason: "tool_calls" },
    { type: "usage", usage: { promptTokens: 3, completionTokens: 4, totalTokens: 7 } },
  ];
  const bytes = new TextEncoder().encode(stream);

  /** A fetch that answers with exactly these pieces, since TCP would join them as it likes. */
  const piecewise = (pieces: readonly Uint8Array[]) => async () =>
    new Response(
      new ReadableStream({
        start(controller) {
          for (const piece of pieces) controller.enqueue(piece);
          controller.close();
        },
      }),
      { headers: eventStream },
    );

  test("are the same wherever their bytes are split in two", async () => {
    for (let at = 0; at <= bytes.length; at++) {
      const fetch = piecewise([bytes.subarray(0, at), bytes.subarray(at)]);
      const { parts, error } = await ask("Hello", { fetch });
      expect(error).toBeUndefined();
      expect(withTextsJoined(parts)).toEqual(expected);
    }
  });

  test("are the same byte by byte, and over HTTP", async () => {
    const single = Array.from(bytes, (_, at) => bytes.subarray(at, at + 1));
    expect(withTextsJoined((await ask("Hello", { fetch: piecewise(single) })).parts)).toEqual(expected);
    upstream.script(events(...single.flatMap((byte) => [byte, settle])));
    expect(withTextsJoined((await ask("Hello")).parts)).toEqual(expected);
  });

  test("that arrive together go on with their texts joined, and those of other kinds and choices apart", async () => {
    const other = (content: string) => chunk({ content }).replace('"index":0', '"index":1');
    const pieces = ["Once", " upon", " a", " time"].map((content) => chunk({ content }));
    const reasons = ["hm", ", yes"].map((reasoning) => chunk({ reasoning }));
    const whole = [...pieces, other("Twice"), other("!"), ...reasons, chunk({ content: "End" }), doneEvent];
    const fetch = piecewise([new TextEncoder().encode(whole.join(""))]);
    expect((await ask("Hello", { fetch })).parts).toEqual([
      { type: "text-delta", delta: "Once upon a time" },
      { type: "text-delta", choice: 1, delta: "Twice!" },
      { type: "reasoning-delta", delta: "hm, yes" },
      { type: "text-delta", delta: "End" },
      { type: "finish", reason: "stop" },
      { type: "finish", choice: 1, reason: "stop" },
    ]);
  });

  test("have not begun with their bookkeeping alone", async () => {
    const opening = chunk({ role: "assistant", content: "" }, null, {
      provider: "Some",
      system_fingerprint: "fp",
    });
    const { promise, resolve } = Promise.withResolvers<void>();
    upstream.script(events(opening, () => promise, 'data: {"error":{"code":429,"message":"Slow down"}}\n\n'));
    const asked = ask("Hello");
    await settle();
    resolve();
    const { parts, error } = await asked;
    expect(parts).toEqual([]);
    expect(asError(error)).toMatchObject({ code: "upstream_rate_limited", status: 429 });
  });

  test("pass every part on as it arrives", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    upstream.script(
      events(chunk({ content: "one" }), () => promise, chunk({ content: "two" }, "stop"), doneEvent),
    );
    const parts = provider().stream(chatRequest("Hello"), providerContext());
    const iterator = parts[Symbol.asyncIterator]();
    expect((await iterator.next()).value).toEqual([{ type: "text-delta", delta: "one" }]);
    resolve();
    expect((await iterator.next()).value).toEqual([
      { type: "text-delta", delta: "two" },
      { type: "finish", reason: "stop" },
    ]);
    await iterator.return?.();
  });

  test("need no [DONE], and no line after their last event", async () => {
    upstream.script(events(chunk({ content: "Hi" }), chunk({}, "stop").trimEnd()));
    const { parts, error } = await ask("Hello");
    expect(error).toBeUndefined();
    expect(kinds(parts)).toEqual(["text-delta", "finish"]);
  });

  test("need no finish_reason when they have [DONE]", async () => {
    upstream.script(events(chunk({ content: "Hi" }), doneEvent));
    expect((await ask("Hello")).parts).toEqual([
      { type: "text-delta", delta: "Hi" },
      { type: "finish", reason: "stop" },
    ]);
  });

  test("end with [DONE], though the connection stays open", async () => {
    const clock = fakeClock();
    upstream.script(events(chunk({ content: "Hi" }, "stop"), doneEvent, forever));
    const { parts } = await ask("Hello", { clock });
    expect(kinds(parts)).toEqual(["text-delta", "finish"]);
    await clock.advance(1000);
    await upstream.calls.at(-1)?.over;
    expect(clock.pending).toBe(0);
  });

  test("have taken the time until their last event by the time that it is handed on", async () => {
    const clock = fakeClock();
    const context = providerContext();
    const { promise, resolve } = Promise.withResolvers<void>();
    upstream.script(
      events(chunk({ content: "Hi" }, "stop"), () => promise, chunk(null, null, { usage: {} }), doneEvent),
    );
    const parts = provider({ clock }).stream(chatRequest("Hello"), context)[Symbol.asyncIterator]();
    await parts.next();
    await clock.advance(200);
    resolve();
    expect(kinds((await parts.next()).value)).toEqual(["usage"]);
    // Whoever has all parts asks for no more, and looks now.
    expect(context.trace.upstreamMs).toBe(200);
    await parts.return?.();
  });

  test.each<[string, Step[]]>([
    ["without a finish", [chunk({ content: "Hi" })]],
    ["in the middle of an event", [chunk({ content: "Hi" }), chunk({ content: "there" }).slice(0, 40)]],
    [
      "after the first of two choices",
      [chunk({ content: "Hi" }, "stop"), `data: {"choices":[{"index":1,"delta":{"content":"a"}}]}\n\n`],
    ],
  ])("that end %s were cut", async (_, steps) => {
    upstream.script(events(...steps));
    const { text, error } = await ask("Hello");
    expect(text).toBe("Hi");
    expect(asError(error).code).toBe("upstream_unreachable");
  });

  test("whose connection breaks were cut", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    upstream.script(events(chunk({ content: "Hi" }), () => promise, cut));
    const parts = provider().stream(chatRequest("Hello"), providerContext())[Symbol.asyncIterator]();
    expect((await parts.next()).value).toEqual([{ type: "text-delta", delta: "Hi" }]);
    resolve();
    expect(asError(await parts.next().catch((error) => error)).code).toBe("upstream_unreachable");
  });

  test("that were complete before their connection broke are complete", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    upstream.script(events(chunk({ content: "Hi" }, "stop"), () => promise, cut));
    const parts = provider().stream(chatRequest("Hello"), providerContext())[Symbol.asyncIterator]();
    expect((await parts.next()).value).toEqual([
      { type: "text-delta", delta: "Hi" },
      { type: "finish", reason: "stop" },
    ]);
    resolve();
    expect((await parts.next()).done).toBe(true);
  });

  test.each<[string, string, Partial<ApiError>]>([
    [
      "an error object",
      `data: {"error":{"message":"Overloaded","type":"server_error","code":"busy"}}\n\n`,
      { code: "upstream_error", status: 502, message: "Overloaded", type: "server_error", wireCode: "busy" },
    ],
    [
      "OpenRouter's error with a status",
      chunk({ content: "" }, "error", { error: { code: 429, message: "Slow down" } }),
      { code: "upstream_rate_limited", status: 429, message: "Slow down" },
    ],
    [
      "an error event",
      `event: error\ndata: {"message":"Broken"}\n\n`,
      { code: "upstream_error", message: "Broken" },
    ],
    ["an error event of bare text", "event: error\ndata: Broken\n\n", { code: "upstream_error" }],
    ["a finish_reason that is a failure", chunk({}, "error"), { code: "upstream_error" }],
    ["what is not JSON", "data: {oops\n\n", { code: "upstream_invalid_response" }],
  ])("end with %s after the parts that came before", async (_, event, expectedError) => {
    upstream.script(events(chunk({ content: "Hi" }) + event + doneEvent));
    const { text, error } = await ask("Hello");
    expect(text).toBe("Hi");
    expect(asError(error)).toMatchObject(expectedError);
  });

  test("may come where none was asked for", async () => {
    upstream.script(events(chunk({ content: "Hi" }, "stop"), doneEvent));
    expect((await ask({ stream: false })).text).toBe("Hi");
  });

  test("may be a whole reply, under either Content-Type", async () => {
    const reply = { choices: [{ message: { content: "Hi" }, finish_reason: "stop" }] };
    for (const headers of [eventStream, { "content-type": "application/json" }]) {
      upstream.script({ headers, steps: ["\uFEFF\n  \n", settle, JSON.stringify(reply)] });
      const { parts, error } = await ask("Hello");
      expect(error).toBeUndefined();
      expect(kinds(parts)).toEqual(["text-delta", "finish"]);
    }
  });

  test("may say everything at length: token counts and citations in every event, unknown events, several finishes", async () => {
    const usage = (completion_tokens: number) => ({ prompt_tokens: 1, completion_tokens });
    const citations = ["https://example.com"];
    upstream.script(
      events(
        'event: ping\ndata: {"type":"ping"}\n\ndata: \n\n',
        chunk({ content: "a" }, null, { usage: usage(1), citations }),
        chunk({ content: "b" }, "stop", { usage: usage(2), citations }),
        chunk({ content: "" }, "stop", { usage: usage(2), citations }),
        doneEvent,
      ),
    );
    expect((await ask("Hello")).parts).toEqual([
      { type: "extension", scope: "answer", fields: { citations } },
      { type: "text-delta", delta: "ab" },
      { type: "finish", reason: "stop" },
      { type: "usage", usage: { promptTokens: 1, completionTokens: 2, totalTokens: 3 } },
    ]);
  });

  test("may differ from event to event in one text alone, whatever that text is and whatever stands beside it later", async () => {
    const texts = ["a", "b", '"', "\\", "\n", "", "é😀", "c", "a", "content", 'd","x":"', "e"];
    const seen = { content: "echo", other: { content: "echo" } };
    for (const spaced of [false, true]) {
      const write = (event: string) =>
        spaced ? event.replaceAll('":"', '": "').replace("data: {", 'data:{ "x_": null, ') : event;
      upstream.script(
        events(
          write(chunk({ role: "assistant", content: "" })),
          ...texts.map((content) => write(chunk({ content }))),
          write(chunk({ content: "echo" }, null, { seen })),
          write(chunk({ content: "f" }, null, { seen })),
          write(chunk({ content: "g", reasoning_content: "hm" })),
          write(chunk({ content: "h" }, "length")),
          doneEvent,
        ),
      );
      const { parts, text } = await ask("Hello");
      expect(text).toBe(`${texts.join("")}echofgh`);
      expect(kinds(parts).filter((kind) => kind !== "text-delta")).toEqual([
        "extension",
        "reasoning-delta",
        "finish",
      ]);
      expect(parts.at(-1)).toEqual({ type: "finish", reason: "length" });
    }
  });

  test("may count tokens beside their finish, as Moonshot does, and put blanks around [DONE]", async () => {
    const choice = {
      index: 0,
      delta: {},
      finish_reason: "stop",
      usage: { prompt_tokens: 5, completion_tokens: 6 },
    };
    upstream.script(
      events(
        chunk({ content: "Hi" }),
        `data: ${JSON.stringify({ choices: [choice] })}\n\n`,
        "data:  [DONE] \n\n",
      ),
    );
    expect((await ask("Hello")).parts).toEqual([
      { type: "text-delta", delta: "Hi" },
      { type: "finish", reason: "stop" },
      { type: "usage", usage: { promptTokens: 5, completionTokens: 6, totalTokens: 11 } },
    ]);
  });

  test("pass on what is not modelled", async () => {
    const annotations = [{ type: "url_citation", url_citation: { url: "https://example.com" } }];
    upstream.script(
      events(
        chunk({
          annotations,
          audio: { id: "audio_1" },
          function_call: { name: "f" },
          made_up: 1,
          nothing: null,
        }),
        `data: ${JSON.stringify({ choices: [{ index: 0, delta: {}, finish_reason: "stop", stop_reason: 7 }] })}\n\n`,
        doneEvent,
      ),
    );
    const { parts } = await ask("Hello");
    expect(parts.filter((part) => part.type === "extension")).toEqual([
      {
        type: "extension",
        scope: "message",
        fields: { annotations, audio: { id: "audio_1" }, function_call: { name: "f" }, made_up: 1 },
      },
      { type: "extension", scope: "choice", fields: { stop_reason: 7 } },
    ]);
  });

  test.each<[string, object[][]]>([
    ["that all have index 0", [[{ index: 0, id: "a" }], [{ index: 0, id: "b" }]]],
    ["that have no index", [[{ id: "a" }, { id: "b" }]]],
  ])("tell tool calls apart %s", async (_, deltas) => {
    const call = (fields: object) => ({
      ...fields,
      type: "function",
      function: { name: "f", arguments: { x: 1 } },
    });
    upstream.script(
      events(
        ...deltas.map((calls) => chunk({ tool_calls: calls.map(call) })),
        chunk({}, "tool_calls"),
        doneEvent,
      ),
    );
    const { parts } = await ask("Hello");
    expect(parts.filter((part) => part.type === "tool-call-delta")).toEqual([
      { type: "tool-call-delta", index: 0, id: "a", name: "f", delta: '{"x":1}' },
      { type: "tool-call-delta", index: 1, id: "b", name: "f", delta: '{"x":1}' },
    ]);
  });

  test("keep what vendors add to a tool call", async () => {
    const extra_content = { google: { thought_signature: "c2lnbmF0dXJl" } };
    const call = { id: "a", type: "function", extra_content, function: { name: "f", arguments: "{}" } };
    upstream.script(events(chunk({ tool_calls: [call] }), chunk({}, "tool_calls"), doneEvent));
    const { parts } = await ask("Hello");
    expect(parts[0]).toEqual({
      type: "tool-call-delta",
      index: 0,
      id: "a",
      name: "f",
      delta: "{}",
      fields: { extra_content },
    });
  });

  test("give a tool call an id that has none", async () => {
    const tool_calls = [{ index: 0, function: { name: "f", arguments: "{}" } }];
    upstream.script(events(chunk({ tool_calls }), chunk({}, "tool_calls"), doneEvent));
    const { parts } = await ask("Hello");
    expect(parts[0]).toEqual({
      type: "tool-call-delta",
      index: 0,
      id: expect.stringMatching(/^call_\w{32}$/),
      name: "f",
      delta: "{}",
    });
  });
});

describe("sizes", () => {
  test("of one event are bounded", async () => {
    upstream.script(events(chunk({ content: "Hi" }), `data: ${"x".repeat(600)}`, settle, "x".repeat(600)));
    const { text, error } = await ask("Hello", { maxEventChars: 1000 });
    expect(text).toBe("Hi");
    expect(asError(error).code).toBe("upstream_invalid_response");
    await upstream.calls.at(-1)?.over;
  });

  test("of a whole reply are bounded, whether its length is known or not, or hidden by compression", async () => {
    const reply = JSON.stringify({
      choices: [{ message: { content: "x".repeat(5000) }, finish_reason: "stop" }],
    });
    const json = { "content-type": "application/json" };
    for (const script of [
      { headers: json, steps: [reply] },
      { headers: { ...json, "content-length": String(reply.length) }, steps: [reply] },
      { headers: { ...json, "content-encoding": "gzip" }, steps: [Bun.gzipSync(reply)] },
    ]) {
      upstream.script(script, script);
      expect(asError((await ask({ stream: false }, { maxEventChars: 1000 })).error).code).toBe(
        "upstream_invalid_response",
      );
      expect((await ask({ stream: false })).text).toHaveLength(5000);
    }
  });

  test("of the index of a choice are bounded", async () => {
    upstream.script(events(`data: {"choices":[{"index":1000000000,"delta":{"content":"Hi"}}]}\n\n`));
    expect(asError((await ask("Hello")).error).code).toBe("upstream_invalid_response");
  });
});

describe("errors", () => {
  const openAi = (message: string, code: string | null = null, type = "invalid_request_error") => ({
    error: { message, type, param: null, code },
  });

  test.each<[string, Script, Partial<ApiError>]>([
    [
      "400 of the client's",
      jsonScript(400, {
        error: {
          message: "temperature is too high",
          type: "invalid_request_error",
          param: "temperature",
          code: null,
        },
      }),
      {
        code: "upstream_rejected",
        status: 400,
        message: "temperature is too high",
        param: "temperature",
        wireCode: null,
        type: "invalid_request_error",
      },
    ],
    [
      "404 of a model",
      jsonScript(404, openAi("No such model", "model_not_found")),
      { code: "upstream_rejected", status: 404, wireCode: "model_not_found" },
    ],
    [
      "403 of OpenRouter's moderation, which is not about our key",
      jsonScript(403, {
        error: {
          code: 403,
          message: "Your chosen model requires moderation and your input was flagged.",
          metadata: { reasons: ["violence"], flagged_input: "…", provider_name: "OpenAI" },
        },
      }),
      { code: "upstream_rejected", status: 403, message: expect.stringContaining("your input was flagged") },
    ],
    [
      "403 of a content filter",
      jsonScript(403, openAi("Flagged", "content_policy_violation")),
      { code: "upstream_rejected", status: 403, wireCode: "content_policy_violation" },
    ],
    [
      "500 that says not to retry",
      jsonScript(500, openAi("Oops"), { "x-should-retry": "false" }),
      { code: "upstream_unavailable", headers: { "x-should-retry": "false" } },
    ],
    ["402", jsonScript(402, openAi("Insufficient Balance")), { code: "upstream_rejected", status: 402 }],
    [
      "422 of FastAPI",
      jsonScript(422, { detail: [{ loc: ["body"], msg: "field required" }] }),
      { code: "upstream_rejected", status: 422, message: '[{"loc":["body"],"msg":"field required"}]' },
    ],
    [
      "a context that is too long",
      jsonScript(400, openAi("Too long", "context_length_exceeded")),
      { code: "context_length_exceeded", status: 400, wireCode: "context_length_exceeded" },
    ],
    [
      "a context that is too long for vLLM",
      jsonScript(400, {
        object: "error",
        message: "This model's maximum context length is 4096 tokens.",
        code: 400,
      }),
      { code: "context_length_exceeded", wireCode: "context_length_exceeded" },
    ],
    [
      "429",
      jsonScript(429, openAi("Slow down", "rate_limit_exceeded", "requests"), { "retry-after": "7" }),
      { code: "upstream_rate_limited", status: 429, retryAfterMs: 7000, wireCode: "rate_limit_exceeded" },
    ],
    [
      "429 with milliseconds",
      jsonScript(429, openAi("Slow down"), { "retry-after": "7", "retry-after-ms": "6500" }),
      { retryAfterMs: 6500 },
    ],
    ["408", jsonScript(408, openAi("Too slow")), { code: "upstream_timeout", status: 408 }],
    [
      "500",
      jsonScript(500, openAi("Oops", null, "server_error")),
      { code: "upstream_unavailable", status: 500, message: "Oops", type: "server_error" },
    ],
    ["529", jsonScript(529, openAi("Overloaded")), { code: "upstream_unavailable", status: 529 }],
    [
      "503 as a web page",
      { status: 503, headers: { "content-type": "text/html" }, steps: ["<html>busy</html>"] },
      { code: "upstream_unavailable", status: 503, message: "stand-in answered 503." },
    ],
    [
      "404 as a web page",
      { status: 404, headers: { "content-type": "text/html" }, steps: ["<html>nginx</html>"] },
      { code: "upstream_invalid_response", status: 502 },
    ],
    [
      "Ollama's text",
      jsonScript(400, { error: "model is required" }),
      { code: "upstream_rejected", message: "model is required" },
    ],
    [
      "Gemini's list",
      jsonScript(400, [{ error: { code: 400, message: "Bad", status: "INVALID_ARGUMENT" } }]),
      { code: "upstream_rejected", status: 400, message: "Bad", wireCode: "upstream_rejected" },
    ],
    [
      "an error in a 200",
      jsonScript(200, { error: { code: 502, message: "Provider down" } }),
      { code: "upstream_unavailable", status: 502, message: "Provider down" },
    ],
    [
      "a challenge",
      { status: 403, headers: { "cf-mitigated": "challenge" }, steps: ["<html>"] },
      { code: "upstream_challenge", status: 503 },
    ],
    [
      "a web page",
      { headers: { "content-type": "text/html" }, steps: ["<!doctype html>"] },
      { code: "upstream_invalid_response", status: 502 },
    ],
    ["nothing", { steps: [] }, { code: "upstream_invalid_response" }],
    ["204", { status: 204, steps: [] }, { code: "upstream_invalid_response" }],
    ["half an object", { steps: ['{"choices":[{"mess'] }, { code: "upstream_invalid_response" }],
    ["no choices", jsonScript(200, { choices: [] }), { code: "upstream_invalid_response" }],
    ["JSON that is no object", jsonScript(200, ["a"]), { code: "upstream_invalid_response" }],
    [
      "plain text",
      { headers: { "content-type": "text/plain" }, steps: ["upstream failed"] },
      { code: "upstream_invalid_response" },
    ],
    ["a stream of nothing", events(doneEvent), { code: "upstream_invalid_response" }],
    ["a stream of comments", events(": processing\n\n"), { code: "upstream_unreachable" }],
  ])("%s", async (_, script, expected) => {
    for (const stream of [true, false]) {
      upstream.script(script);
      const { parts, error } = await ask({ stream });
      expect(parts).toEqual([]);
      expect(asError(error)).toMatchObject(expected);
    }
  });

  test.each([401, 403])("%p to our own key is 502 and never shows any of it", async (status) => {
    const apiKey = "sk-live-0123456789abcdef";
    for (const message of [
      `Incorrect API key provided: ${apiKey}`,
      "Incorrect key: ****cdef",
      "sk-live***",
    ]) {
      upstream.script(jsonScript(status, openAi(message, "invalid_api_key")));
      const error = asError((await ask("Hello", { apiKey })).error);
      expect(error).toMatchObject({
        code: "upstream_auth_failed",
        status: 502,
        wireCode: "upstream_auth_failed",
        shouldRetry: false,
      });
      expect(error.message).toBe(`stand-in refused the gateway's own key (answered ${status}).`);
    }
    upstream.script(jsonScript(status, openAi("Country not supported")));
    expect(asError((await ask("Hello", { apiKey })).error).message).toEndWith(
      "It says: Country not supported",
    );
  });

  test("never show a key that came in a header either", async () => {
    upstream.script(jsonScript(400, openAi("Bad request with key azure-key-123456", "azure-key-123456")));
    const error = asError((await ask("Hello", { headers: { "api-key": "azure-key-123456" } })).error);
    expect(error.toBody()).toEqual({
      error: {
        message: "stand-in answered 400.",
        type: "invalid_request_error",
        param: null,
        code: "upstream_rejected",
      },
    });
  });

  test("are one line of at most 300 characters", async () => {
    upstream.script(jsonScript(400, openAi(`a\u0000\r\n\u001b[31m\ud800b${"😀".repeat(400)}`)));
    const { message } = asError((await ask("Hello")).error);
    expect(message).toStartWith("a [31m b😀");
    expect(message).toEndWith("😀…");
    expect(Array.from(message)).toHaveLength(300);
  });

  test("pass on a date to wait for", async () => {
    const clock = fakeClock(Date.parse("2026-01-01T00:00:00Z"));
    upstream.script(jsonScript(503, openAi("Later"), { "retry-after": "Thu, 01 Jan 2026 00:00:20 GMT" }));
    expect(asError((await ask("Hello", { clock })).error).retryAfterMs).toBe(20_000);
  });

  test("tell an unreachable upstream", async () => {
    const { error } = await ask("Hello", { baseUrl: "http://127.0.0.1:1/v1" });
    expect(asError(error)).toMatchObject({
      code: "upstream_unreachable",
      message: "The connection to stand-in failed (ECONNREFUSED).",
    });
    upstream.script({ steps: [cut] });
    expect(asError((await ask("Hello")).error).code).toBe("upstream_unreachable");
  });

  test("tell of a closed connection after one more try where it can have been a kept one that was old", async () => {
    const clock = fakeClock();
    let answer = async (): Promise<Response> => {
      throw Object.assign(new Error("socket closed"), { code: "ECONNRESET" });
    };
    const asked = provider({ fetch: () => answer(), clock });
    const attempts = async () => {
      const context = providerContext();
      const { error } = await partsOf(asked.stream(chatRequest("Hello"), context));
      expect(asError(error).code).toBe("upstream_unreachable");
      return context.trace.attempts;
    };
    expect(await attempts()).toBe(1);

    const cutOff = answer;
    answer = async () => new Response(chunk({ content: "Hi" }, "stop"), { headers: eventStream });
    await partsOf(asked.stream(chatRequest("Hello"), providerContext()));
    answer = cutOff;
    expect(await attempts()).toBe(2);

    answer = async () => {
      await clock.advance(1000);
      return cutOff();
    };
    expect(await attempts()).toBe(1);
  });

  test("tell a connection that timed out", async () => {
    const fetch = () => Promise.reject(new DOMException("The operation timed out.", "TimeoutError"));
    expect(asError((await ask("Hello", { fetch })).error).code).toBe("upstream_timeout");
  });
});

describe("leaving", () => {
  const reason = new ApiError("client_closed_request", "left");

  test.each<[string, Script]>([
    ["before the headers", { steps: [forever] }],
    ["before the first part", events(": processing\n\n", forever)],
    ["after the first part", events(chunk({ content: "Hi" }), forever)],
  ])("by the signal %s ends the upstream's call with the signal's reason", async (when, script) => {
    const controller = new AbortController();
    upstream.script(script);
    const reached = upstream.nextCall();
    const iterator = provider()
      .stream(chatRequest("Hello"), providerContext(controller.signal))
      [Symbol.asyncIterator]();
    let next = iterator.next();
    if (when === "after the first part") {
      await next;
      next = iterator.next();
    }
    const { over } = await reached;
    controller.abort(reason);
    expect(await next.catch((error) => error)).toBe(reason);
    await over;
  });

  test("before the call makes none", async () => {
    const before = upstream.calls.length;
    const parts = provider().stream(chatRequest("Hello"), providerContext(AbortSignal.abort(reason)));
    expect((await partsOf(parts)).error).toBe(reason);
    expect(upstream.calls.length).toBe(before);
  });

  test("the iterator early ends the upstream's call", async () => {
    upstream.script(events(chunk({ content: "Hi" }), forever));
    for await (const part of provider().stream(chatRequest("Hello"), providerContext())) {
      expect(part).toEqual([{ type: "text-delta", delta: "Hi" }]);
      break;
    }
    await upstream.calls.at(-1)?.over;
  });
});

describe("models", () => {
  const list = (options: Partial<OpenAiCompatibleOptions>, signal = new AbortController().signal) => {
    const asked = provider(options);
    return () => Promise.resolve(asked.models({ signal, log: providerContext().log }));
  };
  const modelCalls = () => upstream.calls.filter(({ url }) => url.startsWith("/v1/models")).length;
  const idsOf = (models: readonly { id: string }[]) => models.map(({ id }) => id);

  test("are those that were named", async () => {
    const before = modelCalls();
    const models = await list({
      models: ["a", { id: "b", upstreamId: "vendor/b", aliases: ["c"], createdAt: 5 }],
    })();
    expect(models).toEqual([
      { id: "a", createdAt: 1_735_689_600 },
      { id: "b", aliases: ["c"], createdAt: 5 },
    ]);
    expect(modelCalls()).toBe(before);
  });

  test("are asked for once, by any number of callers, and again after five minutes", async () => {
    const clock = fakeClock();
    const models = list({ clock });
    const before = modelCalls();
    const lists = await Promise.all([models(), models(), models()]);
    for (const each of lists) expect(idsOf(each)).toEqual([...modelIds]);
    await models();
    expect(modelCalls()).toBe(before + 1);
    await clock.advance(5 * 60_000);
    await models();
    expect(modelCalls()).toBe(before + 2);
    expect(clock.pending).toBe(0);
  });

  test("stay as they were while the upstream fails, which is not asked again at once", async () => {
    const clock = fakeClock();
    const models = list({ clock });
    await models();
    await clock.advance(5 * 60_000);
    const before = modelCalls();
    upstream.script(jsonScript(500, {}));
    expect(idsOf(await models())).toEqual([...modelIds]);
    expect(idsOf(await models())).toEqual([...modelIds]);
    expect(modelCalls()).toBe(before + 1);
  });

  test("that never came are an error, for ten seconds the same", async () => {
    const clock = fakeClock();
    const models = list({ clock });
    upstream.script(jsonScript(200, { nothing: true }));
    expect(asError(await models().catch((error) => error)).code).toBe("upstream_invalid_response");
    expect(asError(await models().catch((error) => error)).code).toBe("upstream_invalid_response");
    await clock.advance(10_000);
    expect(idsOf(await models())).toEqual([...modelIds]);
  });

  test("may come as a bare list with rubbish in it", async () => {
    upstream.script(jsonScript(200, [{ id: "a" }, { id: "a" }, null, { id: 7 }, "b"]));
    expect(idsOf(await list({})())).toEqual(["a"]);
  });

  test("are not waited for by who has left, only by the others", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const asked = provider();
    const { log } = providerContext();
    upstream.script({ steps: [() => promise, JSON.stringify({ data: [{ id: "a" }] })] });
    const leaver = new AbortController();
    const left = Promise.resolve(asked.models({ signal: leaver.signal, log })).catch((error) => error);
    const stayed = asked.models({ signal: new AbortController().signal, log });
    leaver.abort("gone");
    expect(await left).toBe("gone");
    resolve();
    expect(idsOf(await stayed)).toEqual(["a"]);
  });

  test("are given up after five seconds", async () => {
    const clock = fakeClock();
    upstream.script({ steps: [forever] });
    const reached = upstream.nextCall();
    const waiting = list({ clock })().catch((error) => error);
    await reached;
    await clock.advance(5_000);
    expect(asError(await waiting).code).toBe("upstream_timeout");
  });
});

describe("the history budget", () => {
  const messages = [
    { role: "system", content: "Stay kind." },
    { role: "assistant", content: "Welcome! ".repeat(20) },
    { role: "user", content: "Old question? ".repeat(20) },
    {
      role: "assistant",
      content: null,
      tool_calls: [{ id: "a", type: "function", function: { name: "f", arguments: "{}" } }],
    },
    { role: "tool", tool_call_id: "a", content: "Tool. ".repeat(20) },
    { role: "assistant", content: "Old answer. ".repeat(20) },
    { role: "user", content: "Newer question?" },
    { role: "assistant", content: "Newer answer." },
    { role: "user", content: "Newest question?" },
  ] as const;

  test("is off by default", async () => {
    const { sent, trace } = await ask({ messages });
    expect(sent.messages).toEqual(messages);
    expect(trace.droppedMessages).toBe(0);
  });

  test("drops the oldest turns whole, and keeps system texts", async () => {
    const { sent, trace } = await ask({ messages }, { contextMaxTokens: 60 });
    expect(sent.messages).toEqual([messages[0], ...messages.slice(6)]);
    expect(trace.droppedMessages).toBe(5);
  });

  test("is a model's own where that is set, and never drops the newest turn", async () => {
    const { sent } = await ask(
      { messages },
      { contextMaxTokens: 9999, models: [{ id: "echo", contextMaxTokens: 1 }] },
    );
    expect(sent.messages).toEqual([messages[0], messages.at(-1)]);
  });

  test("leaves alone what fits", async () => {
    const { sent } = await ask({ messages }, { contextMaxTokens: 9999 });
    expect(sent.messages).toEqual(messages);
  });
});
