/** A reply is cut where the first stop text begins, however it came in pieces. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { cutAtStops } from "../../core/providers/shared/cut-at-stops.ts";
import type { StreamPart } from "../../core/types.ts";

async function* eventsOf(parts: readonly StreamPart[]) {
  for (const part of parts) yield [{ parts: [part] }];
}

const cut = async (pieces: readonly string[], stops: readonly string[]) => {
  const parts: StreamPart[] = pieces.map((delta) => ({ type: "text-delta", delta }));
  parts.push({ type: "finish", reason: "length" });
  const batches = await Array.fromAsync(cutAtStops(eventsOf(parts), stops));
  const got = batches.flat().flatMap((event) => event.parts);
  const text = got.map((part) => (part.type === "text-delta" ? part.delta : "")).join("");
  return { text, finish: got.filter(({ type }) => type === "finish") };
};

const few = fc.string({ unit: fc.constantFrom("a", "b", "c"), minLength: 1, maxLength: 4 });

test("a reply ends before the first stop text, or not at all", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(few, { maxLength: 8 }),
      fc.array(few, { minLength: 1, maxLength: 6 }),
      async (pieces, stops) => {
        const whole = pieces.join("");
        const places = stops.map((stop) => whole.indexOf(stop)).filter((at) => at >= 0);
        const { text, finish } = await cut(pieces, stops);
        if (places.length === 0) {
          expect({ text, finish }).toEqual({ text: whole, finish: [{ type: "finish", reason: "length" }] });
          return;
        }
        const at = Math.min(...places);
        expect(text).toBe(whole.slice(0, at));
        expect(finish).toMatchObject([{ reason: "stop" }]);
        const [{ stopSequence = "" } = {}] = finish as { stopSequence?: string }[];
        expect(stops).toContain(stopSequence);
        expect(whole.startsWith(stopSequence, at)).toBe(true);
      },
    ),
    {
      numRuns: 1000,
      examples: [
        [
          ["ab", "c"],
          ["abc", "b"],
        ],
        [["ab"], ["abc", "b"]],
      ],
    },
  );
});
