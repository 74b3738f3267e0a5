/** A stream's events reach the client as the upstream sent them, one for one, but for what OpenAI's format needs. */
import { describe, expect, test } from "bun:test";
import { chunk, doneEvent } from "../fakes/openai-upstream.ts";
import { handlerBeforeUpstream } from "../support/scripted-upstream.ts";
import { sseData } from "../support/test-handler.ts";

const { answer, ask } = handlerBeforeUpstream();

// biome-ignore lint/suspicious/noExplicitAny: what came is for tests to look at
type Event = any;

/** The events that the client gets, without what is the gateway's own. */
const streamed = async (steps: readonly string[], body: object = {}): Promise<Event[]> => {
  answer([steps.join("")]);
  const events = sseData(await ask({ stream: true, ...body }));
  expect(events.pop()).toBe("[DONE]");
  return (events as Event[]).map(({ id, object, created, model, ...rest }) => {
    expect(id).toMatch(/^chatcmpl-\w{32}$/);
    expect([object, model]).toEqual(["chat.completion.chunk", "echo"]);
    expect(created).toBeGreaterThan(1_700_000_000);
    return rest;
  });
};

const usage = { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 };
const opening = chunk({ role: "assistant", content: "" });

describe("a stream's event", () => {
  test("stays one event, with all that is in it, where it was", async () => {
    const sources = [{ url: "https://example.com" }];
    const events = await streamed([
      opening,
      chunk({ content: "Hi", token_id: 7 }, null, { system_fingerprint: "fp", sources }),
      chunk({ content: "!" }, "stop", { usage, citations: ["a"] }),
      doneEvent,
    ]);
    expect(events).toEqual([
      { choices: [{ index: 0, delta: { role: "assistant", content: "" }, finish_reason: null }] },
      {
        choices: [{ index: 0, delta: { content: "Hi", token_id: 7 }, finish_reason: null }],
        system_fingerprint: "fp",
        sources,
      },
      {
        choices: [{ index: 0, delta: { content: "!" }, finish_reason: "stop" }],
        usage,
        citations: ["a"],
      },
    ]);
  });

  test("loses known padding, at its top and in the choice", async () => {
    const padded = { index: 0, delta: { content: "Hi" }, finish_reason: null, p: "abc", obfuscation: "x" };
    const [first] = await streamed([
      `data: ${JSON.stringify({ choices: [padded], p: "abcd", obfuscation: "y" })}\n\n`,
      chunk({}, "stop"),
      doneEvent,
    ]);
    expect(first).toEqual({
      choices: [{ index: 0, delta: { role: "assistant", content: "Hi" }, finish_reason: null }],
    });
  });

  test.each(["reasoning", "reasoning_text", "thinking"])(
    "keeps its own name for thoughts, %s, with reasoning_content beside it",
    async (name) => {
      const events = await streamed([
        opening,
        chunk({ [name]: "Hm." }),
        chunk({ content: "Hi" }, "stop"),
        doneEvent,
      ]);
      expect(events.map(({ choices }) => choices[0].delta)).toEqual([
        { role: "assistant", content: "" },
        { [name]: "Hm.", reasoning_content: "Hm." },
        { content: "Hi" },
      ]);
      answer({ choices: [{ index: 0, message: { content: "Hi", [name]: "Hm." }, finish_reason: "stop" }] });
      expect(JSON.parse(await ask()).choices[0].message).toMatchObject({
        [name]: "Hm.",
        reasoning_content: "Hm.",
      });
    },
  );

  test("is not told its thoughts twice where they have both names, nor has empty ones", async () => {
    const deltas = [
      { reasoning: "Hm.", reasoning_content: "Hm." },
      { reasoning: "", content: "a" },
      { reasoning: null, content: "b" },
    ];
    const events = await streamed([
      opening,
      ...deltas.map((delta) => chunk(delta)),
      chunk({}, "stop"),
      doneEvent,
    ]);
    expect(events.slice(1, -1).map(({ choices }) => choices[0].delta)).toEqual(deltas);
  });

  test("keeps the empty name of a continued tool call", async () => {
    const piece = (fields: object, called: object) =>
      chunk({ tool_calls: [{ index: 0, ...fields, function: called }] });
    const events = await streamed([
      piece({ id: "a", type: "function" }, { name: "f", arguments: "" }),
      piece({}, { name: "", arguments: "{}" }),
      chunk({}, "tool_calls"),
      doneEvent,
    ]);
    expect(events[1].choices[0].delta.tool_calls).toEqual([
      { index: 0, function: { name: "", arguments: "{}" } },
    ]);
  });

  test("has one finish_reason of all that came", async () => {
    const events = await streamed([
      chunk({ content: "a" }, "stop"),
      chunk({ content: "b" }, "stop"),
      chunk({ content: "c" }, "max_tokens", { usage }),
      doneEvent,
    ]);
    expect(events.map(({ choices }) => choices[0].finish_reason)).toEqual([null, null, "length"]);
    expect(events[2].choices[0].native_finish_reason).toBe("max_tokens");
    expect(events[2].usage).toEqual(usage);
  });
});

describe("token counts", () => {
  const beside = [opening, chunk({ content: "Hi" }, "stop", { usage }), doneEvent];
  const alone = [opening, chunk({ content: "Hi" }, "stop"), chunk(null, null, { usage }), doneEvent];

  test("stay in the chunk in which they came, asked for or not", async () => {
    expect((await streamed(beside)).at(-1)).toMatchObject({ choices: [{ finish_reason: "stop" }], usage });
    const events = await streamed(beside, { stream_options: { include_usage: true } });
    expect(events.at(-2)).toMatchObject({ choices: [{ finish_reason: "stop" }], usage });
  });

  test.each([{ stream_options: { include_usage: true } }, { usage: { include: true } }])(
    "have a chunk of their own where they are asked for: %j",
    async (asked) => {
      for (const steps of [beside, alone]) {
        const events = await streamed(steps, asked);
        expect(events.filter(({ choices }) => choices.length === 0)).toEqual([{ choices: [], usage }]);
        expect(events.at(-1)?.choices).toEqual([]);
      }
    },
  );

  test("have none unasked", async () => {
    for (const steps of [beside, alone]) {
      expect((await streamed(steps)).every(({ choices }) => choices.length === 1)).toBe(true);
    }
  });
});

test("a line separator in a text is escaped in a stream, and stays itself", async () => {
  const content = "one\u2028two\u2029three";
  answer([
    opening,
    chunk({ content }),
    chunk({ content }),
    chunk({ content, note: content }, "stop"),
    doneEvent,
  ]);
  const text = await ask({ stream: true });
  expect(text).not.toMatch(/[\u2028\u2029]/);
  const deltas = (sseData(text).slice(1, -1) as Event[]).map(({ choices }) => choices[0].delta);
  expect(deltas).toEqual([{ content }, { content }, { content, note: content }]);
});

describe("a whole answer", () => {
  test.each<[string, object]>([
    [
      "an empty delta",
      { message: { role: "assistant", content: "Hi" }, delta: { role: "assistant", content: "" } },
    ],
    ["its text in the delta", { message: { role: "assistant", content: "" }, delta: { content: "Hi" } }],
    ["its text alone", { text: "Hi" }],
  ])("with %s has its text", async (_, choice) => {
    answer({ choices: [{ index: 0, ...choice, finish_reason: "stop" }] });
    const whole = JSON.parse(await ask());
    expect(whole.choices[0].message).toMatchObject({ role: "assistant", content: "Hi" });
  });
});
