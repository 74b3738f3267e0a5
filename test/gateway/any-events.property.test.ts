/** Any stream that is valid by OpenAI's format is the same answer to clients, directly and through the gateway. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { streamText } from "../recordings/mends.ts";
import { comparable, readers, type Send } from "../recordings/readers.ts";
import type { Json } from "../recordings/vendors.ts";
import { schemaErrors } from "../support/openai-schema.ts";
import { handlerBeforeUpstream, replyResponse } from "../support/scripted-upstream.ts";

const gateway = handlerBeforeUpstream();

const anyText = fc.oneof(
  fc.string({ unit: "grapheme", minLength: 1, maxLength: 8 }),
  fc.constantFrom(
    "word ",
    "word ",
    '"',
    "\\",
    "\n\n",
    "data: [DONE]",
    "\u2028",
    '","content":"',
    "世",
    "<think>",
  ),
);
/** Fields that nobody knows, of the kinds that vendors add. */
const anyMore = fc.option(
  fc.dictionary(
    fc.constantFrom("x_one", "sources", "token_ids", "matched_stop"),
    fc.oneof(fc.integer(), anyText, fc.constant(null), fc.array(anyText, { maxLength: 2 })),
    { minKeys: 1, maxKeys: 2 },
  ),
  { nil: {}, freq: 3 },
);

const anyPiece = fc.record({
  field: fc.constantFrom("content", "content", "content", "reasoning_content", "refusal"),
  text: fc.oneof({ weight: 9, arbitrary: anyText }, { weight: 1, arbitrary: fc.constant("") }),
  inDelta: anyMore,
  inChoice: anyMore,
  atTop: anyMore,
});

const anyCall = fc.record({
  name: fc.constantFrom("f", "g", "look_up"),
  args: fc.dictionary(anyText, anyText, { maxKeys: 2 }).map((value) => JSON.stringify(value)),
  cut: fc.nat({ max: 12 }),
});

const anyReply = fc.record({
  pieces: fc.array(anyPiece, { maxLength: 8 }),
  calls: fc.array(anyCall, { maxLength: 3 }),
  reason: fc.constantFrom("stop", "length", "content_filter"),
  finishesAlone: fc.boolean(),
});

const anyStream = fc.record({
  replies: fc.array(anyReply, { minLength: 1, maxLength: 3 }),
  /** Whose event comes next, where there are several replies. */
  order: fc.array(fc.nat({ max: 2 }), { maxLength: 60 }),
  isUsageAsked: fc.boolean(),
});

type Reply = typeof anyReply extends fc.Arbitrary<infer Value> ? Value : never;

/** The events of one reply. */
function* replyEvents({ pieces, calls, reason, finishesAlone }: Reply, index: number): Generator<Json> {
  const event = (
    delta: object,
    finish_reason: string | null = null,
    choice: object = {},
    top: object = {},
  ) => ({
    ...top,
    choices: [{ ...choice, index, delta, finish_reason }],
  });
  yield event({ role: "assistant", content: "" });
  const finish = calls.length > 0 ? "tool_calls" : reason;
  const hasLast = !finishesAlone && calls.length === 0 && pieces.length > 0;
  for (const [at, { field, text, inDelta, inChoice, atTop }] of pieces.entries()) {
    const isLast = hasLast && at === pieces.length - 1;
    yield event({ ...inDelta, [field]: text }, isLast ? finish : null, inChoice, atTop);
  }
  for (const [place, { name, args, cut }] of calls.entries()) {
    const call = { index: place, id: `call_${index}_${place}`, type: "function" };
    yield event({ tool_calls: [{ ...call, function: { name, arguments: "" } }] });
    for (const part of [args.slice(0, cut), args.slice(cut)])
      yield event({ tool_calls: [{ index: place, function: { arguments: part } }] });
  }
  if (!hasLast) yield event({}, finish);
}

function streamOf({
  replies,
  order,
  isUsageAsked,
}: typeof anyStream extends fc.Arbitrary<infer Value> ? Value : never) {
  const left = replies.map((reply, index) => [...replyEvents(reply, index)]);
  const events: Json[] = [];
  for (const turn of [...order, 0, 1, 2].map((place) => left[place % left.length] as Json[])) {
    const next = turn.shift();
    if (next !== undefined) events.push(next);
  }
  for (const rest of left) events.push(...rest);
  const head = {
    id: "chatcmpl-0",
    object: "chat.completion.chunk",
    created: 0,
    model: "echo",
    system_fingerprint: "fp",
  };
  const all = events.map((event) => ({ ...head, ...event, ...(isUsageAsked && { usage: null }) }));
  if (isUsageAsked) {
    all.push({ ...head, choices: [], usage: { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 } });
  }
  return all;
}

const readerOf = (name: string) => readers.find((reader) => reader.name === name) as (typeof readers)[number];

/** Directly, and through the gateway. */
const waysTo = (events: readonly Json[]): readonly [Send, Send] => {
  const bytes = streamText([...events, "data: [DONE]"]);
  const through: Send = async (request) => {
    const body = await request.json();
    gateway.answer([bytes]);
    return gateway.chat(body);
  };
  return [async () => replyResponse([bytes]), through];
};

test("any valid stream is the same to `openai` and the AI SDK", async () => {
  await fc.assert(
    fc.asyncProperty(anyStream, async (stream) => {
      const events = streamOf(stream);
      const [direct, through] = waysTo(events);
      const raw = readerOf(stream.isUsageAsked ? "openai, with token counts" : "openai");
      const received = comparable(await raw.read(through, true));
      expect(received).toEqual(comparable(await raw.read(direct, true)));
      expect(received).toEqual(comparable(events));
      // The AI SDK knows of one choice alone.
      if (stream.isUsageAsked && stream.replies.length === 1) {
        const sdk = readerOf("@ai-sdk/openai-compatible");
        expect(comparable(await sdk.read(through, true))).toEqual(comparable(await sdk.read(direct, true)));
      }
      const helper = readerOf("openai's stream helper");
      const [expected, put] = await Promise.all(
        waysTo(streamOf({ ...stream, isUsageAsked: false })).map((send) =>
          helper.read(send, true).catch((error) => ({ thrown: (error as Error).name })),
        ),
      );
      expect(comparable(put)).toEqual(comparable(expected));
    }),
    { numRuns: 200 },
  );
}, 60_000);

test("any valid stream is one answer where the client wants it whole", async () => {
  await fc.assert(
    fc.asyncProperty(anyReply, async (reply) => {
      gateway.answer([streamText([...replyEvents(reply, 0), "data: [DONE]"])]);
      const answer = JSON.parse(await gateway.ask());
      expect(schemaErrors("CreateChatCompletionResponse", answer)).toEqual([]);
      const [choice] = answer.choices;
      const told = (field: string) =>
        reply.pieces.map((piece) => (piece.field === field ? piece.text : "")).join("");
      expect(choice.message.content ?? "").toBe(told("content"));
      expect(choice.message.reasoning_content ?? "").toBe(told("reasoning_content"));
      expect(choice.message.refusal ?? "").toBe(told("refusal"));
      expect((choice.message.tool_calls ?? []).map((call: Json) => call.function)).toEqual(
        reply.calls.map(({ name, args }) => ({ name, arguments: args })),
      );
      expect(choice.finish_reason).toBe(reply.calls.length > 0 ? "tool_calls" : reply.reason);
    }),
    { numRuns: 200 },
  );
}, 60_000);
