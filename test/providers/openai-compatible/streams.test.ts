import { describe, expect, test } from "bun:test";
import { ApiError } from "../../../core/errors.ts";
import type { StreamPart, UpstreamEvent } from "../../../core/types.ts";
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
import { chatRequest, eventsOf, providerContext, readAnswer } from "../../support/chat-request.ts";
import { asError, askedUpstream, events, kinds } from "./asked-upstream.ts";

const { upstream, provider, ask } = await askedUpstream();

const meanings = (read: readonly UpstreamEvent[] | undefined) => read?.map(({ parts }) => parts);

describe("an upstream's streams", () => {
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
    { type: "text-delta", delta: text.slice(0, 7) },
    { type: "text-delta", delta: text.slice(7) },
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
      expect(parts).toEqual(expected);
    }
  });

  test("are the same byte by byte, and over HTTP", async () => {
    const single = Array.from(bytes, (_, at) => bytes.subarray(at, at + 1));
    expect((await ask("Hello", { fetch: piecewise(single) })).parts).toEqual(expected);
    upstream.script(events(...single.flatMap((byte) => [byte, settle])));
    expect((await ask("Hello")).parts).toEqual(expected);
  });

  test("go on event by event, those that arrive together at once", async () => {
    const other = (content: string) => chunk({ content }).replace('"index":0', '"index":1');
    const pieces = [chunk({ content: "Once" }), chunk({ content: " upon" }), other("Twice")];
    const reasons = ["hm", ", yes"].map((reasoning) => chunk({ reasoning }));
    const fetch = piecewise([
      new TextEncoder().encode([...pieces, ...reasons].join("")),
      new TextEncoder().encode(chunk({ content: "End" }) + doneEvent),
    ]);
    const batches: unknown[] = [];
    for await (const some of eventsOf(provider({ fetch }).answer(chatRequest("Hello"), providerContext())))
      batches.push(meanings(some));
    expect(batches).toEqual([
      [
        [{ type: "text-delta", delta: "Once" }],
        [{ type: "text-delta", delta: " upon" }],
        [{ type: "text-delta", choice: 1, delta: "Twice" }],
        [{ type: "reasoning-delta", delta: "hm" }],
        [{ type: "reasoning-delta", delta: ", yes" }],
      ],
      [
        [{ type: "text-delta", delta: "End" }],
        [
          { type: "finish", reason: "stop" },
          { type: "finish", choice: 1, reason: "stop" },
        ],
      ],
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

  test("pass every event on as it arrives", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    upstream.script(
      events(chunk({ content: "one" }), () => promise, chunk({ content: "two" }, "stop"), doneEvent),
    );
    const iterator = eventsOf(provider().answer(chatRequest("Hello"), providerContext()));
    expect(meanings((await iterator.next()).value)).toEqual([[{ type: "text-delta", delta: "one" }]]);
    resolve();
    expect(meanings((await iterator.next()).value)).toEqual([
      [
        { type: "text-delta", delta: "two" },
        { type: "finish", reason: "stop" },
      ],
    ]);
    await iterator.return(undefined);
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
    const iterator = eventsOf(provider().answer(chatRequest("Hello"), providerContext()));
    expect(meanings((await iterator.next()).value)).toEqual([[{ type: "text-delta", delta: "Hi" }]]);
    resolve();
    expect(asError(await iterator.next().catch((error) => error)).code).toBe("upstream_unreachable");
  });

  test("that were complete before their connection broke are complete", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    upstream.script(events(chunk({ content: "Hi" }), chunk({}, "stop"), () => promise, cut));
    const iterator = eventsOf(provider().answer(chatRequest("Hello"), providerContext()));
    expect(meanings((await iterator.next()).value)).toEqual([[{ type: "text-delta", delta: "Hi" }]]);
    resolve();
    expect(meanings((await iterator.next()).value)).toEqual([[{ type: "finish", reason: "stop" }]]);
    expect((await iterator.next()).done).toBe(true);
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

describe("leaving an upstream's answer", () => {
  const reason = new ApiError("client_closed_request", "left");

  test.each<[string, Script]>([
    ["before the headers", { steps: [forever] }],
    ["before the first event", events(": processing\n\n", forever)],
    ["after the first event", events(chunk({ content: "Hi" }), forever)],
  ])("by the signal %s ends the upstream's call with the signal's reason", async (when, script) => {
    const controller = new AbortController();
    upstream.script(script);
    const reached = upstream.nextCall();
    const context = providerContext(controller.signal);
    const iterator = eventsOf(provider().answer(chatRequest("Hello"), context));
    let next = iterator.next();
    if (when === "after the first event") {
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
    const context = providerContext(AbortSignal.abort(reason));
    expect((await readAnswer(provider().answer(chatRequest("Hello"), context))).error).toBe(reason);
    expect(upstream.calls.length).toBe(before);
  });

  test("by its iterator ends the upstream's call", async () => {
    upstream.script(events(chunk({ content: "Hi" }), forever));
    for await (const some of eventsOf(provider().answer(chatRequest("Hello"), providerContext()))) {
      expect(meanings(some)).toEqual([[{ type: "text-delta", delta: "Hi" }]]);
      break;
    }
    await upstream.calls.at(-1)?.over;
  });
});
