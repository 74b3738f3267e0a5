/** Every id of an upstream has a safe one, which leads back to it. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { fromSafeToolId, toSafeToolId } from "../../../core/dialects/shared/tool-ids.ts";

const anyId = fc.oneof(
  fc.string(),
  fc.string({ unit: "binary" }),
  fc.string().map((id) => `toolu_x-${id}`),
  fc.string().map((name) => `functions.${name}:0`),
  fc.constant("\ud83d"),
);

test("an id is safe, and comes back as it was", () => {
  fc.assert(
    fc.property(anyId, (id) => {
      const safe = toSafeToolId(id);
      expect(safe).toMatch(/^[a-zA-Z0-9_-]+$/);
      expect(fromSafeToolId(safe)).toBe(id);
    }),
    { numRuns: 1000 },
  );
});

test("two ids never become one, and the other way round", () => {
  fc.assert(
    fc.property(anyId, anyId, (one, other) => {
      if (one === other) return;
      expect(toSafeToolId(one)).not.toBe(toSafeToolId(other));
    }),
  );
  fc.assert(
    fc.property(anyId, (id) => {
      const original = fromSafeToolId(id);
      if (original !== id) expect(toSafeToolId(original)).toBe(id);
    }),
  );
});

test("an id that is safe is left alone; Kimi's stays short enough for Anthropic", () => {
  expect(toSafeToolId("call_a-B9")).toBe("call_a-B9");
  expect(fromSafeToolId("toolu_01A")).toBe("toolu_01A");
  expect(toSafeToolId("functions.mcp__files__read:12")).toBe("toolu_x-functions-2emcp__files__read-3a12");
});
