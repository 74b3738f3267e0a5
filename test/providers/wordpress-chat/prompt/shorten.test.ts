import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  countCodePoints,
  leastShortened,
  shorten,
} from "../../../../core/providers/wordpress-chat/prompt/shorten.ts";

describe("shorten", () => {
  test("leaves a text that fits as it is", () => {
    expect(shorten("x".repeat(60), 60)).toBe("x".repeat(60));
    expect(shorten("😀".repeat(60), 60)).toBe("😀".repeat(60));
  });

  test("keeps head and tail, with a mark that says how much is missing", () => {
    expect(shorten(`${"a".repeat(400)}${"z".repeat(400)}`, 189)).toBe(
      `${"a".repeat(95)} [… 642 characters left out …] ${"z".repeat(63)}`,
    );
  });

  test("says the truth of any text, within its room, and keeps no less where there is more room", () => {
    const text = fc.string({ unit: fc.constantFrom("a", "中", "😀", "\n"), minLength: 1, maxLength: 300 });
    const room = fc.integer({ min: leastShortened, max: 400 });
    fc.assert(
      fc.property(text, room, (original, maxChars) => {
        const shortened = shorten(original, maxChars);
        const chars = countCodePoints(original);
        expect(countCodePoints(shortened)).toBeLessThanOrEqual(maxChars);
        expect(shortened.isWellFormed()).toBe(true);
        if (chars <= maxChars) return expect(shortened).toBe(original);
        const [, head = "", leftOut, tail = ""] =
          /^(.*) \[… (\d+) characters left out …\] (.*)$/s.exec(shortened) ?? [];
        expect(countCodePoints(head) + Number(leftOut) + countCodePoints(tail)).toBe(chars);
        expect(original).toStartWith(head);
        expect(original).toEndWith(tail);
        // No room is wasted but what a shorter number leaves.
        expect(countCodePoints(shortened)).toBeGreaterThanOrEqual(maxChars - 1);
        const [, longerHead = "", , longerTail = ""] =
          /^(.*) \[… (\d+) characters left out …\] (.*)$/s.exec(shorten(original, maxChars + 1)) ?? [];
        if (longerHead === "") return;
        expect(longerHead).toStartWith(head);
        expect(longerTail).toEndWith(tail);
      }),
    );
  });
});
