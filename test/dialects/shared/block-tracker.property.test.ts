/** Any order of an upstream's parts gives blocks that open, grow and close one after the other, and loses nothing. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { type BlockStep, BlockTracker } from "../../../core/dialects/shared/block-tracker.ts";
import type { StreamPart } from "../../../core/types.ts";

const stepsOf = (parts: readonly StreamPart[]): BlockStep[] => {
  const tracker = new BlockTracker();
  return [...parts.flatMap((part) => tracker.push(part)), ...tracker.end()];
};

/** Throws where the steps are no lifecycle; the blocks with all that their deltas say. */
export function blocksOf(steps: readonly BlockStep[]) {
  const blocks: { kind: string; id?: string; name?: string; said: string }[] = [];
  let isOpen = false;
  for (const { type, index, ...step } of steps) {
    if (type === "open") {
      expect({ isOpen, index }).toEqual({ isOpen: false, index: blocks.length });
      blocks.push({ ...step.block, said: "" });
      isOpen = true;
    } else {
      const block = blocks.at(-1);
      expect({ isOpen, index }).toEqual({ isOpen: true, index: blocks.length - 1 });
      expect(step.block).toMatchObject({ kind: block?.kind });
      if (type === "close") isOpen = false;
      else if (block && "delta" in step) block.said += step.delta;
    }
  }
  expect(isOpen).toBe(false);
  return blocks;
}

const deltaKinds = { text: "text-delta", reasoning: "reasoning-delta", refusal: "refusal-delta" } as const;
type TextKind = keyof typeof deltaKinds;

const textPart = fc.record({
  kind: fc.constantFrom<TextKind>("text", "reasoning", "refusal"),
  delta: fc.string({ maxLength: 4 }),
});

/** The arguments of a call, and in how many pieces they come. */
const call = fc.record({
  value: fc.dictionary(fc.string(), fc.jsonValue()),
  cut: fc.integer({ min: 1, max: 9 }),
});

const piecesOf = (json: string, size: number): string[] =>
  json.match(new RegExp(`.{1,${size}}`, "gsu")) ?? [];

/** Parts of several calls and texts, each in its own order and all of them mixed. */
const mixed = fc
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

test("any order of parts is a valid lifecycle in which nothing is lost", () => {
  fc.assert(
    fc.property(mixed, ({ parts, calls, texts }) => {
      const blocks = blocksOf(stepsOf(parts));
      for (const kind of ["text", "reasoning", "refusal"] as const) {
        const said = blocks.filter((block) => block.kind === kind).map((block) => block.said);
        const sent = texts.filter((part) => part.kind === kind).map(({ delta }) => delta);
        expect(said.join("")).toBe(sent.join(""));
      }
      const called = blocks.filter(({ kind }) => kind === "tool-call");
      expect(called.length).toBe(calls.length);
      for (const [index, { value }] of calls.entries()) {
        const block = called.find(({ id }) => id === `id:${index}`);
        expect(block).toMatchObject({ name: `tool${index}`, said: JSON.stringify(value) });
      }
    }),
    { numRuns: 500 },
  );
});

test("any parts at all are a valid lifecycle, or a failure that is the upstream's", () => {
  const anyPart = fc.oneof(
    textPart.map(({ kind, delta }): StreamPart => ({ type: deltaKinds[kind], delta })),
    fc
      .record({
        index: fc.integer({ min: 0, max: 3 }),
        id: fc.constantFrom("", "a", undefined),
        name: fc.constantFrom("", "f", undefined),
        delta: fc.constantFrom("", "{}", '{"a":', "1}", " ", "x"),
        choice: fc.constantFrom(0, 1),
      })
      .map(
        ({ id, name, ...part }): StreamPart => ({
          type: "tool-call-delta",
          ...part,
          ...(id !== undefined && { id }),
          ...(name !== undefined && { name }),
        }),
      ),
    fc.constant<StreamPart>({ type: "finish", reason: "stop" }),
    fc.constant<StreamPart>({
      type: "usage",
      usage: { promptTokens: 1, completionTokens: 1, totalTokens: 2 },
    }),
  );
  fc.assert(
    fc.property(fc.array(anyPart, { maxLength: 20 }), (parts) => {
      let steps: BlockStep[];
      try {
        steps = stepsOf(parts);
      } catch (error) {
        expect(error).toMatchObject({ code: "upstream_invalid_response" });
        return;
      }
      blocksOf(steps);
    }),
    { numRuns: 500 },
  );
});

test("calls that come one after the other go out at once", () => {
  const tracker = new BlockTracker();
  const push = (index: number, delta: string, first = {}) =>
    tracker.push({ type: "tool-call-delta", index, delta, ...first }).map(({ type }) => type);
  expect(push(0, '{"a"', { id: "a", name: "f" })).toEqual(["open", "delta"]);
  expect(push(0, ":1}")).toEqual(["delta"]);
  expect(push(1, "", { id: "b", name: "f" })).toEqual(["close", "open"]);
  expect(push(1, "{}")).toEqual(["delta"]);
  expect(tracker.end().map(({ type }) => type)).toEqual(["close"]);
});

test("what comes after a call that is not whole waits for it", () => {
  const tracker = new BlockTracker();
  tracker.push({ type: "tool-call-delta", index: 0, id: "a", name: "f", delta: '{"a":' });
  expect(tracker.push({ type: "text-delta", delta: "Late" })).toEqual([]);
  const rest = [...tracker.push({ type: "tool-call-delta", index: 0, delta: "1}" }), ...tracker.end()];
  expect(rest.map(({ type, block }) => `${type} ${block.kind}`)).toEqual([
    "delta tool-call",
    "close tool-call",
    "open text",
    "delta text",
    "close text",
  ]);
});
