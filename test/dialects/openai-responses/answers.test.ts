/** What clients get: response objects and events, by OpenAI's own schemas. */
import { describe, expect, test } from "bun:test";
import { ApiError } from "../../../core/errors.ts";
import type { StreamPart } from "../../../core/types.ts";
import { fakeClock } from "../../fakes/fake-clock.ts";
import { scriptedProvider } from "../../fakes/scripted-provider.ts";
import {
  accumulate,
  eventErrors,
  type Json,
  readEvents,
  responseErrors,
  responsesHandler,
} from "../../support/responses.ts";

const usage: StreamPart = {
  type: "usage",
  usage: { promptTokens: 9, completionTokens: 4, totalTokens: 13, cachedTokens: 3, reasoningTokens: 2 },
};
const finish = (reason: "stop" | "length" | "tool_calls" | "content_filter" = "stop"): StreamPart => ({
  type: "finish",
  reason,
});
const text = (delta: string): StreamPart => ({ type: "text-delta", delta });
const thought = (delta: string): StreamPart => ({ type: "reasoning-delta", delta });
const toolCall = (index: number, name: string, json: string): StreamPart[] => [
  { type: "tool-call-delta", index, id: `call_${index}`, name, delta: json.slice(0, 3) },
  { type: "tool-call-delta", index, delta: json.slice(3) },
];

/** Answers with these parts. */
const answering = (...parts: StreamPart[]) =>
  responsesHandler(
    {},
    {
      providers: [
        scriptedProvider({
          async *answer() {
            yield* parts;
          },
        }),
      ],
    },
  );

const tools = [
  { type: "function", name: "f", parameters: { type: "object", properties: {} } },
  { type: "custom", name: "apply_patch" },
  {
    type: "namespace",
    name: "ns",
    description: "n",
    tools: [{ type: "function", name: "g", parameters: null }],
  },
  { type: "web_search" },
];

/** The same answer whole and as the response that a stream's events make, both right by the schemas. */
async function bothWays(parts: StreamPart[], body: object = {}): Promise<{ response: Json; events: Json[] }> {
  const { create, stream } = answering(...parts);
  const whole = await create({ input: "Hi", tools, ...body });
  expect(responseErrors(whole)).toEqual([]);
  const events = await stream({ input: "Hi", tools, ...body });
  expect(eventErrors(events)).toEqual([]);
  const streamed = accumulate(events);
  const done = events.filter(({ type }) => type === "response.output_item.done").map(({ item }) => item);
  expect(streamed.output).toEqual(done);
  const alike = ({ output, ...response }: Json) => ({
    ...response,
    id: "",
    created_at: 0,
    completed_at: 0,
    output: output.map((item: Json) => ({ ...item, id: item.id.replace(/_.*/, "") })),
  });
  expect(alike(streamed)).toEqual(alike(whole));
  return { response: whole, events };
}

describe("an answer", () => {
  test("has every key, what was asked, and the whole usage", async () => {
    const { response } = await bothWays([text("Hel"), text("lo"), finish(), usage], {
      instructions: "Be brief.",
      metadata: { a: "b" },
      user: "ann",
      temperature: 0.5,
      text: { format: { type: "json_object" } },
      reasoning: { effort: "low" },
    });
    expect(response).toEqual({
      id: expect.stringMatching(/^resp_[0-9a-f]{32}$/),
      object: "response",
      created_at: expect.any(Number),
      completed_at: expect.any(Number),
      status: "completed",
      background: false,
      error: null,
      incomplete_details: null,
      instructions: "Be brief.",
      max_output_tokens: null,
      max_tool_calls: null,
      model: "test-model",
      output: [
        {
          type: "message",
          id: expect.stringMatching(/^msg_[0-9a-f]+$/),
          status: "completed",
          role: "assistant",
          content: [{ type: "output_text", text: "Hello", annotations: [], logprobs: [] }],
        },
      ],
      parallel_tool_calls: true,
      previous_response_id: null,
      prompt_cache_key: null,
      reasoning: { effort: "low", summary: null },
      safety_identifier: null,
      service_tier: "default",
      store: true,
      temperature: 0.5,
      text: { format: { type: "json_object" } },
      tool_choice: "auto",
      tools: [{ ...tools[0], description: null, strict: null }, tools[1], tools[2]],
      top_logprobs: 0,
      top_p: 1,
      presence_penalty: 0,
      frequency_penalty: 0,
      truncation: "disabled",
      user: "ann",
      metadata: { a: "b" },
      usage: {
        input_tokens: 9,
        input_tokens_details: { cached_tokens: 3, cache_write_tokens: 0 },
        output_tokens: 4,
        output_tokens_details: { reasoning_tokens: 2 },
        total_tokens: 13,
      },
    });
  });

  test("of thoughts, text and calls of every kind of tool has an item for each", async () => {
    const { response, events } = await bothWays([
      thought("Let me "),
      thought("see."),
      text("I look."),
      ...toolCall(0, "f", '{"x":1}'),
      ...toolCall(1, "apply_patch", '{"input":"*** Begin Patch"}'),
      ...toolCall(2, "ns__g", "{}"),
      finish("tool_calls"),
    ]);
    expect(response.output.map(({ id: _, ...item }: Json) => item)).toEqual([
      { type: "reasoning", summary: [{ type: "summary_text", text: "Let me see." }] },
      expect.objectContaining({ type: "message" }),
      { type: "function_call", call_id: "call_0", name: "f", arguments: '{"x":1}', status: "completed" },
      {
        type: "custom_tool_call",
        call_id: "call_1",
        name: "apply_patch",
        input: "*** Begin Patch",
        status: "completed",
      },
      {
        type: "function_call",
        call_id: "call_2",
        name: "g",
        namespace: "ns",
        arguments: "{}",
        status: "completed",
      },
    ]);
    expect(events.map(({ type }) => type.replace("response.", ""))).toEqual([
      "created",
      "in_progress",
      "output_item.added",
      "reasoning_summary_part.added",
      "reasoning_summary_text.delta",
      "reasoning_summary_text.delta",
      "reasoning_summary_text.done",
      "reasoning_summary_part.done",
      "output_item.done",
      "output_item.added",
      "content_part.added",
      "output_text.delta",
      "output_text.done",
      "content_part.done",
      "output_item.done",
      "output_item.added",
      "function_call_arguments.delta",
      "function_call_arguments.delta",
      "function_call_arguments.done",
      "output_item.done",
      "output_item.added",
      "custom_tool_call_input.delta",
      "custom_tool_call_input.done",
      "output_item.done",
      "output_item.added",
      "function_call_arguments.delta",
      "function_call_arguments.done",
      "output_item.done",
      "completed",
    ]);
  });

  test.each([
    ['{"input":"a"}', "a"],
    ['{"patch":"a"}', "a"],
    ['{"anything":"a"}', "a"],
    ['"a"', "a"],
    ["*** Begin Patch", "*** Begin Patch"],
    ['{"a":"b","c":"d"}', '{"a":"b","c":"d"}'],
  ])("gives a custom tool the text in %s", async (json, input) => {
    const { response } = await bothWays([...toolCall(0, "apply_patch", json), finish("tool_calls")]);
    expect(response.output[0]).toMatchObject({ type: "custom_tool_call", input });
  });

  test("that refuses has a refusal", async () => {
    const { response } = await bothWays([{ type: "refusal-delta", delta: "No." }, finish()]);
    expect(response.output[0].content).toEqual([{ type: "refusal", refusal: "No." }]);
  });

  test("of nothing is an empty message", async () => {
    const { response } = await bothWays([finish()]);
    expect(response.output).toMatchObject([
      { type: "message", content: [{ type: "output_text", text: "" }] },
    ]);
  });

  test.each([
    ["length", "max_output_tokens"],
    ["content_filter", "content_filter"],
  ] as const)("that %s ended is incomplete, as is its last item", async (reason, told) => {
    const { response, events } = await bothWays([thought("Hm."), text("Once upon"), finish(reason)]);
    expect(response).toMatchObject({
      status: "incomplete",
      completed_at: null,
      incomplete_details: { reason: told },
      output: [{ type: "reasoning" }, { status: "incomplete" }],
    });
    expect(events.at(-1).type).toBe("response.incomplete");
  });

  test("has its thoughts a second time where the client asks for that", async () => {
    const { response } = await bothWays([thought("Schön."), text("Hi"), finish()], {
      include: ["reasoning.encrypted_content", "from.next.year"],
      store: false,
    });
    expect(Buffer.from(response.output[0].encrypted_content, "base64").toString()).toBe("Schön.");
    const { response: plain } = await bothWays([thought("Schön."), text("Hi"), finish()]);
    expect(plain.output[0]).not.toHaveProperty("encrypted_content");
  });
});

describe("a stream that fails", () => {
  const failing = (error: ApiError) =>
    responsesHandler(
      {},
      {
        providers: [
          scriptedProvider({
            async *answer() {
              yield text("Once");
              throw error;
            },
          }),
        ],
      },
    );

  test("says so in an error and in a failed response, which holds what was sent", async () => {
    const { stream } = failing(new ApiError("upstream_error", "Out of ink."));
    const [error, failed] = (await stream({ input: "Hi" })).slice(-2);
    const fields = { code: "upstream_error", message: "Out of ink.", param: null };
    expect(error).toMatchObject({ type: "error", ...fields, error: { type: "upstream_error", ...fields } });
    expect(failed).toMatchObject({
      type: "response.failed",
      sequence_number: error.sequence_number + 1,
      response: {
        status: "failed",
        error: { code: "upstream_error", message: "Out of ink." },
        output: [{ status: "incomplete", content: [{ text: "Once" }] }],
      },
    });
  });

  test.each([
    ["upstream_rate_limited", "rate_limit_exceeded"],
    ["overloaded", "server_is_overloaded"],
    ["context_length_exceeded", "context_length_exceeded"],
  ] as const)("calls %s what Codex knows: %s", async (code, known) => {
    const events = await failing(new ApiError(code, "No.")).stream({ input: "Hi" });
    expect(events.at(-1).response.error.code).toBe(known);
  });

  test("is not kept", async () => {
    const { stream, send } = failing(new ApiError("upstream_error", "Out of ink."));
    const [{ response }] = await stream({ input: "Hi" });
    expect((await send(`/v1/responses/${response.id}`)).status).toBe(404);
  });
});

test("after a minute without text there is an event, since comments are nothing to Codex", async () => {
  const clock = fakeClock();
  let end = () => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const provider = scriptedProvider({
    async *answer() {
      yield text("Once");
      await ended;
      yield finish();
    },
  });
  const env = { STREAM_KEEPALIVE_MS: "20000" };
  const { post } = responsesHandler(env, { clock, providers: [provider] });
  const reader = (await post({ input: "Hi", stream: true })).body
    ?.pipeThrough(new TextDecoderStream())
    .getReader();
  const read = async () => (await reader?.read())?.value ?? "";
  expect(await read()).toContain("Once");
  const signs: string[] = [];
  for (let sign = 0; sign < 6; sign++) {
    const next = read();
    await Promise.resolve();
    clock.advance(20_000);
    signs.push(await next);
  }
  expect(signs.map((sign) => sign.split(/[:\n]/)[0] || "comment")).toEqual([
    "comment",
    "comment",
    "event",
    "comment",
    "comment",
    "event",
  ]);
  expect(readEvents(signs[5] ?? "")[0]).toEqual({ type: "keepalive", sequence_number: 6 });
  end();
  let rest = "";
  for (let piece = await read(); piece !== ""; piece = await read()) rest += piece;
  expect(readEvents(rest)[0].sequence_number).toBe(7);
});

test("a WebSocket is refused, so that Codex goes on over HTTP; a GET alone too", async () => {
  const { send } = answering(text("Hi"), finish());
  const upgrade = await send("/v1/responses", { headers: { upgrade: "websocket", connection: "Upgrade" } });
  expect(upgrade.status).toBe(426);
  const plain = await send("/v1/responses");
  expect(plain.status).toBe(405);
  expect(plain.headers.get("allow")).toBe("POST");
});

test("Codex finds its own list beside that of the models", async () => {
  const { send } = answering(text("Hi"), finish());
  const list = await (await send("/v1/models?client_version=0.171.0")).json();
  expect(list).toMatchObject({ object: "list", data: [{ id: "test-model" }], models: [] });
  expect(await (await send("/v1/models")).json()).not.toHaveProperty("models");
});
