/** Why a reply ended: in the words of vendors, said once and at the end, or again and again. */
import { describe, expect, test } from "bun:test";
import type { FinishReason, StreamPart } from "../../../core/types.ts";
import { chunk, doneEvent, jsonScript } from "../../fakes/openai-upstream.ts";
import { asError, askedUpstream, events, nativeEvents } from "./asked-upstream.ts";

const { upstream, ask } = await askedUpstream();

const finishes = (parts: readonly StreamPart[]) => parts.filter((part) => part.type === "finish");

const whole = (finish_reason: string, message: object = { content: "Hi" }) =>
  jsonScript(200, { choices: [{ index: 0, message, finish_reason }] });

const call = { id: "a", type: "function", function: { name: "f", arguments: "{}" } };

describe("a finish_reason", () => {
  test.each<[string, FinishReason]>([
    ["stop", "stop"],
    ["STOP", "stop"],
    ["end_turn", "stop"],
    ["eos_token_id", "stop"],
    ["stop_sequence", "stop"],
    ["COMPLETE", "stop"],
    ["completed", "stop"],
    ["length", "length"],
    ["max_tokens", "length"],
    ["MAX_TOKENS", "length"],
    ["model_length", "length"],
    ["model_context_window_exceeded", "length"],
    ["max_output_tokens", "length"],
    ["tool_use", "tool_calls"],
    ["function_call", "function_call"],
    ["content_filter", "content_filter"],
    ["sensitive", "content_filter"],
    ["RECITATION", "content_filter"],
    ["SAFETY", "content_filter"],
    ["content_filter: PROHIBITED_CONTENT", "content_filter"],
    ["refusal", "content_filter"],
  ])("%s means %s, and stays readable", async (word, reason) => {
    for (const stream of [true, false]) {
      upstream.script(stream ? events(chunk({ content: "Hi" }), chunk({}, word), doneEvent) : whole(word));
      const { parts, events: read, error } = await ask({ stream });
      expect(error).toBeUndefined();
      expect(finishes(parts).map((part) => part.reason)).toEqual([reason]);
      expect(nativeEvents(read).at(-1).choices[0].native_finish_reason).toBe(
        (word === reason ? undefined : word) as string,
      );
    }
  });

  test.each([
    "error",
    "abort",
    "network_error",
    "time_limit",
    "timeout",
    "insufficient_system_resource",
    "function_call_filter: MALFORMED_FUNCTION_CALL",
  ])("%s is a failure that another upstream may mend", async (word) => {
    upstream.script(events(chunk({ content: "Hi" }), chunk({}, word), doneEvent), whole(word));
    const streamed = await ask({ stream: true });
    expect(streamed.text).toBe("Hi");
    for (const { error } of [streamed, await ask({ stream: false })]) {
      expect(asError(error)).toMatchObject({
        code: "upstream_error",
        message: expect.stringContaining(word),
      });
    }
  });

  test("that nobody knows is passed on beside a stop", async () => {
    upstream.script(whole("moon_phase"));
    const { parts, events: read } = await ask({ stream: false });
    expect(finishes(parts).map(({ reason }) => reason)).toEqual(["stop"]);
    expect(nativeEvents(read)[0].choices[0].native_finish_reason).toBe("moon_phase");
  });

  test("that nobody knows, without anything of a reply, is a failure", async () => {
    upstream.script(whole("moon_phase", { content: null }), events(chunk({}, "moon_phase"), doneEvent));
    for (const stream of [false, true])
      expect(asError((await ask({ stream })).error)).toMatchObject({
        code: "upstream_error",
        message: "stand-in broke off its reply: moon_phase.",
      });
  });

  test("of an upstream's upstream is not replaced", async () => {
    const choice = {
      index: 0,
      delta: { content: "Hi" },
      finish_reason: "STOP",
      native_finish_reason: "completed",
    };
    upstream.script(events(`data: ${JSON.stringify({ choices: [choice] })}\n\n`, doneEvent));
    expect(nativeEvents((await ask("Hello")).events)[0].choices).toEqual([choice]);
  });
});

describe("a stop beside tool calls means tool_calls", () => {
  test("in a whole answer", async () => {
    upstream.script(whole("stop", { content: null, tool_calls: [call] }));
    expect(finishes((await ask({ stream: false })).parts)).toEqual([
      { type: "finish", reason: "tool_calls" },
    ]);
  });

  test.each<[string, string[]]>([
    ["after the calls", [chunk({ tool_calls: [call] }), chunk({}, "stop")]],
    ["beside the calls", [chunk({ tool_calls: [call] }, "stop")]],
    [
      "in every chunk, and the right word last",
      [chunk({ content: "I call" }, "stop"), chunk({ tool_calls: [call] }, "stop"), chunk({}, "tool_calls")],
    ],
    ["before the calls", [chunk({}, "stop"), chunk({ tool_calls: [call] })]],
  ])("in a stream, %s", async (_, chunks) => {
    upstream.script(events(...chunks, doneEvent));
    const { parts, error } = await ask("Hello");
    expect(error).toBeUndefined();
    expect(finishes(parts).map(({ reason }) => reason)).toEqual(["tool_calls"]);
    expect(parts.at(-1)?.type).toBe("finish");
  });
});

describe("a finish that turns out not to be the last", () => {
  test("is none, however often it comes", async () => {
    const words = ["Once", " upon", " a", " time"];
    upstream.script(events(...words.map((content) => chunk({ content }, "stop")), doneEvent));
    const read = await ask("Hello");
    expect(read.text).toBe(words.join(""));
    expect(read.events.map(({ parts }) => parts.map(({ type }) => type))).toEqual([
      ["text-delta"],
      ["text-delta"],
      ["text-delta"],
      ["text-delta", "finish"],
    ]);
  });

  test("holds back no event of another choice", async () => {
    const other = (content: string) => chunk({ content }).replace('"index":0', '"index":1');
    const { promise, resolve } = Promise.withResolvers<void>();
    upstream.script(
      events(chunk({ content: "a" }), chunk({}, "stop"), other("b"), () => promise, other("c"), doneEvent),
    );
    const asked = ask("Hello");
    resolve();
    const { parts } = await asked;
    expect(parts.map((part) => [part.type, "choice" in part ? part.choice : 0])).toEqual([
      ["text-delta", 0],
      ["finish", 0],
      ["text-delta", 1],
      ["text-delta", 1],
      ["finish", 1],
    ]);
  });

  test("said twice is the word that says more than stop", async () => {
    for (const words of [
      ["stop", "length"],
      ["length", "stop"],
    ]) {
      upstream.script(events(chunk({ content: "Hi" }), ...words.map((word) => chunk({}, word)), doneEvent));
      expect(finishes((await ask("Hello")).parts).map(({ reason }) => reason)).toEqual(["length"]);
    }
  });

  test("keeps its text where a failure follows", async () => {
    upstream.script(events(chunk({ content: "Hi" }, "stop"), 'data: {"error":{"message":"Gone"}}\n\n'));
    const { text, parts, error } = await ask("Hello");
    expect([text, finishes(parts)]).toEqual(["Hi", []]);
    expect(asError(error).message).toBe("Gone");
  });
});
