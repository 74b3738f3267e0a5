import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { condense, cutForCondensing } from "../../../../core/providers/wordpress-chat/prompt/condense.ts";
import { countCodePoints } from "../../../../core/providers/wordpress-chat/prompt/shorten.ts";

const maxChars = 1000;

/** The size that a request asks for, and the piece after it. */
const readRequest = (text: string) => {
  const [, size = "", piece = ""] =
    /^Condense to at most (\d+) characters\. [^\n]*\n\n(.*)$/s.exec(text) ?? [];
  return { size: Number(size), piece };
};

/** A model that keeps the beginning; of small sizes it makes bigger ones. */
const model = (least = 0) => {
  const requests: string[] = [];
  return {
    requests,
    ask: async (text: string) => {
      requests.push(text);
      const { size, piece } = readRequest(text);
      return piece.trim().slice(0, Math.max(size, least));
    },
  };
};

const cut = (text: string, maxCalls = 8) => cutForCondensing(text, maxChars, maxCalls);

describe("a text that is to be condensed", () => {
  test("is cut at paragraphs where they are near the end of a piece", () => {
    const paragraphs = ["a", "b", "c"].map((letter) => `${letter.repeat(700)}\n\n`);
    expect(cut(paragraphs.join(""))).toEqual(paragraphs);
  });

  test("is cut at lines, sentences or words where there is no better place", () => {
    expect(cut(`${"a".repeat(850)}\n${"b".repeat(100)}`)?.[0]).toBe(`${"a".repeat(850)}\n`);
    expect(cut(`${"a".repeat(850)}. ${"b".repeat(100)}`)?.[0]).toBe(`${"a".repeat(850)}. `);
    expect(cut(`${"a".repeat(850)} ${"b".repeat(100)}`)?.[0]).toBe(`${"a".repeat(850)} `);
  });

  test("of 6,163 characters takes seven pieces, or as many as it may where that makes for better cuts", () => {
    const text = "word ".repeat(1233).slice(0, 6163);
    expect(cut(text, 7)).toHaveLength(7);
    expect(cut(text, 6)).toBeUndefined();
  });

  test("is not cut where the limit leaves no room beside the request", () => {
    expect(cutForCondensing("x".repeat(300), 200, 1000)).toBeUndefined();
  });

  test("is in its pieces as it was, each with room for the request", () => {
    const text = fc.string({
      unit: fc.constantFrom("a", "b ", "中", "😀", "\n", "\n\n", ". "),
      maxLength: 3000,
    });
    fc.assert(
      fc.property(text, (original) => {
        const pieces = cut(original, 1000) ?? [];
        expect(pieces.join("")).toBe(original);
        for (const piece of pieces) {
          expect(countCodePoints(piece)).toBeLessThanOrEqual(896);
          expect(piece.isWellFormed()).toBe(true);
        }
      }),
    );
  });
});

describe("condensing", () => {
  const text = "some words ".repeat(400);
  const pieces = cut(text) ?? [];

  test("asks once for each piece, for a share of the room, and never for more than the site takes", async () => {
    const { requests, ask } = model();
    const { text: condensed, calls } = await condense(pieces, 400, 8, { maxChars, ask });
    expect(calls).toBe(pieces.length);
    expect(requests.map((request) => readRequest(request).piece).sort()).toEqual([...pieces].sort());
    expect(countCodePoints(condensed)).toBeLessThanOrEqual(400);
    expect(condensed).toStartWith("some words ");
    for (const request of requests) expect(countCodePoints(request)).toBeLessThanOrEqual(maxChars);
  });

  test("asks again about what is still too long, within the calls that it may make", async () => {
    const { ask } = model(120);
    const again = await condense(pieces, 400, 8, { maxChars, ask });
    expect(again.calls).toBe(pieces.length + 1);
    const once = await condense(pieces, 400, pieces.length, { maxChars, ask });
    expect(once.calls).toBe(pieces.length);
    for (const { text: condensed } of [again, once])
      expect(countCodePoints(condensed)).toBeLessThanOrEqual(400);
    expect(once.text).toContain(" characters left out …] ");
  });

  test("gives up on a model that repeats what it is given", async () => {
    const ask = async (request: string) => readRequest(request).piece;
    const { text: condensed, calls } = await condense(pieces, 400, 100, { maxChars, ask });
    expect(calls).toBe(pieces.length);
    expect(countCodePoints(condensed)).toBe(400);
  });

  test("makes as many calls at once as there are slots, and gives them back", async () => {
    let running = 0;
    let most = 0;
    let slots = 2;
    const ask = async () => {
      running += 1;
      most = Math.max(most, running);
      await new Promise((resolve) => setImmediate(resolve));
      running -= 1;
      return "short";
    };
    const extraSlot = () => {
      if (slots === 0) return undefined;
      slots -= 1;
      return { release: () => slots++ };
    };
    await condense(pieces, 400, 8, { maxChars, ask, extraSlot });
    expect({ most, slots }).toEqual({ most: 3, slots: 2 });
  });

  test("fails with the first call that does, begins no other, and waits for those that run", async () => {
    let calls = 0;
    let slots = 1;
    const ask = async () => {
      calls += 1;
      if (calls === 1) throw new Error("It failed.");
      await new Promise((resolve) => setImmediate(resolve));
      return "short";
    };
    const extraSlot = () => {
      if (slots === 0) return undefined;
      slots -= 1;
      return { release: () => slots++ };
    };
    await expect(condense(pieces, 400, 8, { maxChars, ask, extraSlot })).rejects.toThrow("It failed.");
    expect({ calls, slots }).toEqual({ calls: 2, slots: 1 });
    await expect(condense(pieces, 400, 8, { maxChars, ask: async () => " " })).rejects.toThrow("empty");
  });
});
