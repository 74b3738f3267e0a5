import { expect, test } from "bun:test";
import fc from "fast-check";
import { utf8Length } from "../../core/util/utf8.ts";

test("counts the bytes of any text as an encoder writes them", () => {
  const units = fc.constantFrom(
    "a",
    "\u007f",
    "\u0080",
    "\u07ff",
    "\u0800",
    "\ud7ff",
    "\ud800",
    "\udbff",
    "\udc00",
    "\udfff",
    "\ue000",
    "\uffff",
    "😀",
  );
  fc.assert(
    fc.property(fc.oneof(fc.string({ unit: "binary" }), fc.string({ unit: units })), (text) => {
      expect(utf8Length(text)).toBe(new TextEncoder().encode(text).length);
    }),
    { numRuns: 2000 },
  );
});
