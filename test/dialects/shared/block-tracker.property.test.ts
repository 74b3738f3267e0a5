/** Any order of an upstream's parts gives blocks that open, grow and close one after the other, and loses nothing. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { type Block, BlockTracker } from "../../../core/dialects/shared/block-tracker.ts";
import type { StreamPart } from "../../../core/types.ts";
import { deltaKinds, mixedParts, textPart } from "../../support/stream-parts.ts";

interface BlockStep {
  readonly type: "open" | "delta" | "close";
  readonly index: number;
  readonly block: Block;
  readonly delta?: string;
  readonly isLast?: boolean;
}

/** A tracker that gives what it has written. */
function stepping() {
  const steps: BlockStep[] = [];
  const tracker = new BlockTracker({
    open: (index, block) => steps.push({ type: "open", index, block }),
    delta: (index, block, delta) => steps.push({ type: "delta", index, block, delta }),
    close: (index, block, isLast) => steps.push({ type: "close", index, block, isLast }),
  });
  const push = (part: StreamPart): BlockStep[] => {
    tracker.push(part);
    return steps.splice(0);
  };
  const end = (): BlockStep[] => {
    tracker.end();
    return steps.splice(0);
  };
  return { push, end };
}

const stepsOf = (parts: readonly StreamPart[]): BlockStep[] => {
  const tracker = stepping();
  return [...parts.flatMap(tracker.push), ...tracker.end()];
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
      // Only of the last block is it said that it is the last.
      if (type === "close") expect(step.isLast).toBe(steps.at(-1)?.index === index);
      if (type === "close") isOpen = false;
      else if (block) block.said += step.delta;
    }
  }
  expect(isOpen).toBe(false);
  return blocks;
}

test("any order of parts is a valid lifecycle in which nothing is lost", () => {
  fc.assert(
    fc.property(mixedParts, ({ parts, calls, texts }) => {
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
  const tracker = stepping();
  const push = (index: number, delta: string, first = {}) =>
    tracker.push({ type: "tool-call-delta", index, delta, ...first }).map(({ type }) => type);
  expect(push(0, '{"a"', { id: "a", name: "f" })).toEqual(["open", "delta"]);
  expect(push(0, ":1}")).toEqual(["delta"]);
  expect(push(1, "", { id: "b", name: "f" })).toEqual(["close", "open"]);
  expect(push(1, "{}")).toEqual(["delta"]);
  expect(tracker.end().map(({ type }) => type)).toEqual(["close"]);
});

test("what comes after a call that is not whole waits for it", () => {
  const tracker = stepping();
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
