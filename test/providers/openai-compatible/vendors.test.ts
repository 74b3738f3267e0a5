import { describe, expect, test } from "bun:test";
import type { StreamPart } from "../../../core/types.ts";
import { settle } from "../../fakes/fake-clock.ts";
import { chunk, doneEvent, eventStream } from "../../fakes/openai-upstream.ts";
import { textOf } from "../../support/chat-request.ts";
import { askedUpstream, events, kinds, nativeEvents } from "./asked-upstream.ts";

const { upstream, ask } = await askedUpstream();

describe("an upstream's streams, as vendors differ,", () => {
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
    const read = await ask("Hello");
    const counted = (completionTokens: number) => ({
      type: "usage",
      usage: { promptTokens: 1, completionTokens, totalTokens: 1 + completionTokens },
    });
    expect(read.events.map(({ parts }) => parts)).toEqual([
      [{ type: "text-delta", delta: "a" }, counted(1)],
      [{ type: "text-delta", delta: "b" }, { type: "finish", reason: "stop" }, counted(2)],
      [counted(2)],
    ] as StreamPart[][]);
    expect(nativeEvents(read.events).map((event) => event.citations)).toEqual([
      citations,
      citations,
      citations,
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
      const { events: read, parts, text } = await ask("Hello");
      expect(text).toBe(`${texts.join("")}echofgh`);
      expect(kinds(parts).filter((kind) => kind !== "text-delta")).toEqual(["reasoning-delta", "finish"]);
      const withSeen = nativeEvents(read).filter((event) => "seen" in event);
      expect(withSeen.map((event) => [event.choices[0].delta.content, event.seen])).toEqual([
        ["echo", seen],
        ["f", seen],
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
    const audio = { id: "audio_1" };
    const delta = { annotations, audio, function_call: { name: "f" }, made_up: 1, nothing: null };
    const end = { choices: [{ index: 0, delta: {}, finish_reason: "stop", stop_reason: 7 }], made_up: 2 };
    upstream.script(events(chunk(delta), `data: ${JSON.stringify(end)}\n\n`, doneEvent));
    const { events: read, parts } = await ask("Hello");
    expect(parts).toEqual([{ type: "finish", reason: "stop" }]);
    const [first, last] = nativeEvents(read);
    expect(first.choices).toEqual([{ index: 0, delta, finish_reason: null }]);
    expect(last).toEqual(end);
  });

  test.each<[string, unknown]>([
    ["is absent", undefined],
    ["is negative", -1],
    ["is no number", "0"],
  ])("count choices whose index %s, and leave out what is no choice", async (_, index) => {
    const choices = ["a", "b"].map((content) => ({ index, delta: { content }, finish_reason: "stop" }));
    upstream.script(events(`data: ${JSON.stringify({ choices: [...choices, null] })}\n\n`, doneEvent));
    const { events: read, parts, error } = await ask("Hello");
    expect(error).toBeUndefined();
    expect([textOf(parts, 0), textOf(parts, 1)]).toEqual(["a", "b"]);
    expect(nativeEvents(read).map((event) => event.choices)).toEqual([
      choices.map((choice, position) => ({ ...choice, index: position })),
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
    const { events: read, parts } = await ask("Hello");
    expect(parts.filter((part) => part.type === "tool-call-delta")).toEqual([
      { type: "tool-call-delta", index: 0, id: "a", name: "f", delta: '{"x":1}' },
      { type: "tool-call-delta", index: 1, id: "b", name: "f", delta: '{"x":1}' },
    ]);
    const called = { name: "f", arguments: '{"x":1}' };
    expect(nativeEvents(read).flatMap(({ choices: [choice] }) => choice.delta.tool_calls ?? [])).toEqual([
      { index: 0, id: "a", type: "function", function: called },
      { index: 1, id: "b", type: "function", function: called },
    ]);
  });

  test("give a tool call's arguments as text, though they come as an object, or as null first", async () => {
    const call = (fields: object, args: unknown) =>
      chunk({ tool_calls: [{ index: 0, ...fields, function: { ...fields, arguments: args } }] });
    upstream.script(
      events(call({ id: "a", name: "f" }, null), call({}, { x: 1 }), chunk({}, "tool_calls"), doneEvent),
    );
    const { events: read, parts } = await ask("Hello");
    expect(parts).toMatchObject([{ delta: "" }, { delta: '{"x":1}' }, { type: "finish" }]);
    const calls = nativeEvents(read).flatMap(({ choices: [choice] }) => choice.delta.tool_calls ?? []);
    expect(calls).toMatchObject([{ function: { arguments: "" } }, { function: { arguments: '{"x":1}' } }]);
  });

  test("keep what vendors add to a tool call", async () => {
    const extra_content = { google: { thought_signature: "c2lnbmF0dXJl" } };
    const call = { id: "a", type: "function", extra_content, function: { name: "f", arguments: "{}" } };
    upstream.script(events(chunk({ tool_calls: [call] }), chunk({}, "tool_calls"), doneEvent));
    const { events: read, parts } = await ask("Hello");
    expect(nativeEvents(read)[0].choices[0].delta.tool_calls).toEqual([{ index: 0, ...call }]);
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
    const { events: read, parts } = await ask("Hello");
    const [{ id }] = nativeEvents(read)[0].choices[0].delta.tool_calls;
    expect(id).toMatch(/^call_\w{32}$/);
    expect(parts[0]).toEqual({ type: "tool-call-delta", index: 0, id, name: "f", delta: "{}" });
  });
});
