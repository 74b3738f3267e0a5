import { describe, expect, test } from "bun:test";
import { ApiError } from "../../../core/errors.ts";
import type { StreamPart } from "../../../core/types.ts";
import { fakeClock, settle } from "../../fakes/fake-clock.ts";
import {
  chunk,
  cut,
  doneEvent,
  eventStream,
  forever,
  type Script,
  type Step,
} from "../../fakes/openai-upstream.ts";
import { chatRequest, partsOf, providerContext } from "../../support/chat-request.ts";
import { asError, askedUpstream, events, kinds } from "./asked-upstream.ts";

const { upstream, provider, ask } = await askedUpstream();

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
