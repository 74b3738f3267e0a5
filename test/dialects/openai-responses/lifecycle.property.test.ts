/** Whatever parts a reply comes in, its events open and close in order, and say what the parts said. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { addEvent, emptyAnswer } from "../../../core/chat/collect-answer.ts";
import type { StreamPart } from "../../../core/types.ts";
import { scriptedProvider } from "../../fakes/scripted-provider.ts";
import { accumulate, eventErrors, type Json, responsesHandler } from "../../support/responses.ts";

/** What happens next in a reply: a piece of text, or one of a call's arguments. */
type Step =
  | { readonly kind: "text" | "reasoning" | "refusal"; readonly delta: string }
  | { readonly call: number };

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    kind: fc.constantFrom("text" as const, "reasoning" as const, "refusal" as const),
    delta: fc.string({ unit: "grapheme", maxLength: 8 }),
  }),
  fc.record({ call: fc.nat({ max: 2 }) }),
);

const names = ["f", "apply_patch", "ns__g"] as const;
const tools = [
  { type: "function", name: "f", parameters: null },
  { type: "custom", name: "apply_patch" },
  {
    type: "namespace",
    name: "ns",
    description: "n",
    tools: [{ type: "function", name: "g", parameters: null }],
  },
];

/** The parts of a reply; the arguments of a call come in as many pieces as it has steps. */
const partsOf = (steps: readonly Step[], inputs: readonly string[]): StreamPart[] => {
  const places = [...new Set(steps.flatMap((step) => ("call" in step ? [step.call] : [])))];
  const sent = new Map<number, number>();
  const parts = steps.map((step): StreamPart => {
    if (!("call" in step)) return { type: `${step.kind}-delta`, delta: step.delta };
    const index = places.indexOf(step.call);
    const json = JSON.stringify({ input: inputs[step.call] });
    const total = steps.filter((each) => "call" in each && each.call === step.call).length;
    const piece = sent.get(index) ?? 0;
    sent.set(index, piece + 1);
    const at = (share: number) => Math.floor((json.length * share) / total);
    const head = piece === 0 ? { id: `call_${index}`, name: names[step.call] as string } : {};
    return { type: "tool-call-delta", index, ...head, delta: json.slice(at(piece), at(piece + 1)) };
  });
  return [...parts, { type: "finish", reason: places.length > 0 ? "tool_calls" : "stop" }];
};

const said = (output: readonly Json[], type: string, field: string): string =>
  output
    .flatMap((item) => item.content ?? item.summary ?? [])
    .map((part: Json) => (part.type === type ? part[field] : ""))
    .join("");

test("any order of parts makes events that OpenAI's client takes, and the same answer", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(anyStep, { maxLength: 14 }),
      fc.tuple(fc.string(), fc.string(), fc.string()),
      async (steps, inputs) => {
        const parts = partsOf(steps, inputs);
        const provider = scriptedProvider({
          async *answer() {
            yield* parts;
          },
        });
        const { stream } = responsesHandler({ LOG_LEVEL: "silent" }, { providers: [provider] });
        const events = await stream({ input: "Hi", tools });
        expect(eventErrors(events)).toEqual([]);
        const { status, output, usage } = accumulate(events);
        expect(status).toBe("completed");
        expect(usage.total_tokens).toBe(usage.input_tokens + usage.output_tokens);

        const answer = emptyAnswer();
        for (const part of parts) addEvent(answer, { parts: [part] });
        const [reply] = answer.replies;
        expect(said(output, "output_text", "text")).toBe(reply?.text ?? "");
        expect(said(output, "summary_text", "text")).toBe(reply?.reasoning ?? "");
        expect(said(output, "refusal", "refusal")).toBe(reply?.refusal ?? "");
        const calls = output.filter(({ call_id }: Json) => call_id !== undefined);
        expect(
          calls
            .map((item: Json) => [item.call_id, item.arguments ?? JSON.stringify({ input: item.input })])
            .sort(),
        ).toEqual((reply?.toolCalls ?? []).map((call) => [call.id, call.arguments]).sort());
        expect(new Set(output.map(({ id }: Json) => id)).size).toBe(output.length);
      },
    ),
    { numRuns: 300 },
  );
});
