/** Parts of an answer in any order that an upstream may send them in, for property tests. */
import fc from "fast-check";
import type { StreamPart } from "../../core/types.ts";

export const deltaKinds = {
  text: "text-delta",
  reasoning: "reasoning-delta",
  refusal: "refusal-delta",
} as const;
type TextKind = keyof typeof deltaKinds;

export const textPart = fc.record({
  kind: fc.constantFrom<TextKind>("text", "reasoning", "refusal"),
  delta: fc.string({ maxLength: 4 }),
});

/** The arguments of a call, and in how many pieces they come. */
const call = fc
  .record({ value: fc.dictionary(fc.string(), fc.jsonValue()), cut: fc.integer({ min: 1, max: 9 }) })
  // Clients that put objects together key by key lose this one.
  .filter(({ value }) => !JSON.stringify(value).includes("__proto__"));

const piecesOf = (json: string, size: number): string[] =>
  json.match(new RegExp(`.{1,${size}}`, "gsu")) ?? [];

/** Parts of several calls and texts, each in its own order and all of them mixed. */
export const mixedParts = fc
  .record({ texts: fc.array(textPart, { maxLength: 8 }), calls: fc.array(call, { maxLength: 4 }) })
  .chain(({ texts, calls }) => {
    const lanes: StreamPart[][] = calls.map(({ value, cut }, index) => {
      const [first = "", ...rest] = piecesOf(JSON.stringify(value), cut);
      return [
        { type: "tool-call-delta", index, id: `id:${index}`, name: `tool${index}`, delta: first },
        ...rest.map((delta): StreamPart => ({ type: "tool-call-delta", index, delta })),
      ];
    });
    lanes.push(texts.map(({ kind, delta }) => ({ type: deltaKinds[kind], delta })));
    const slots = lanes.flatMap((lane, at) => lane.map(() => at));
    return fc.shuffledSubarray(slots, { minLength: slots.length }).map((order) => {
      const queues = lanes.map((lane) => [...lane]);
      return { calls, texts, parts: order.flatMap((at) => queues[at]?.shift() ?? []) };
    });
  });
