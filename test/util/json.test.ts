import { expect, test } from "bun:test";
import fc from "fast-check";
import { aroundText, isDeeperThan, isRecord, tryParseJson } from "../../core/util/json.ts";

const depthOf = (value: unknown): number => {
  if (typeof value !== "object" || value === null) return 0;
  return 1 + Math.max(0, ...Object.values(value).map(depthOf));
};

test("knows the depth of any JSON", () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 8 }), fc.nat(9), (value, levels) => {
      for (const json of [JSON.stringify(value), JSON.stringify(value, null, 2)]) {
        expect(isDeeperThan(levels, json)).toBe(depthOf(value) > levels);
      }
    }),
    { numRuns: 500 },
  );
});

test.each([String.raw`["\"[[[[["]`, String.raw`["\\","[[[["]`, String.raw`{"\\\"{{{":"}}}\\"}`, '["[[['])(
  "counts no bracket of a text: %s",
  (json) => {
    expect(isDeeperThan(1, json)).toBe(false);
  },
);

test("a record is an object with fields, no list and not null", () => {
  expect([{}, { a: 1 }, Object.create(null)].map(isRecord)).toEqual([true, true, true]);
  expect([null, undefined, [], "text", 1, () => {}].filter(isRecord)).toEqual([]);
});

test("JSON that may fail gives its value, or undefined", () => {
  expect(tryParseJson('{"a":[1]}')).toEqual({ a: [1] });
  expect(["", "{", "undefined", "{'a':1}"].map(tryParseJson)).toEqual(Array(4).fill(undefined));
});

test("writes any text as JSON has it, between what stands around it", () => {
  const text = fc.oneof(
    fc.string(),
    fc.string({ unit: "binary" }),
    fc.string({
      unit: fc.constantFrom(
        "a",
        '"',
        "\\",
        "\n",
        "\u0000",
        "\u001f",
        "\u007f",
        "\u2028",
        "\ud800",
        "\udc00",
        "é",
        "你",
      ),
    }),
  );
  fc.assert(
    fc.property(text, (written) => {
      expect(aroundText('{"a":', written, "}")).toBe(`{"a":${JSON.stringify(written)}}`);
    }),
    { numRuns: 500 },
  );
});
