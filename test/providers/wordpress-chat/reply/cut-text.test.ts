import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { cutText } from "../../../../core/providers/wordpress-chat/reply/cut-text.ts";
import { graphemeAt } from "../../../../core/providers/wordpress-chat/reply/grapheme.ts";

const segmenter = new Intl.Segmenter("en", { granularity: "grapheme" });

/** All places where a grapheme cluster ends, as the segmenter sees the whole text. */
function boundaries(text: string): number[] {
  return [0, ...Array.from(segmenter.segment(text), ({ index, segment }) => index + segment.length)];
}

/** Where the pieces ended; checks that they are the text. */
function cuts(text: string, chunkChars: number): number[] {
  const pieces = [...cutText(text, chunkChars)];
  expect(pieces.join("")).toBe(text);
  let end = 0;
  return pieces.map((piece) => {
    end += piece.length;
    return end;
  });
}

/** Every kind of character that has a say in the rules, and some that have none. */
const characters = [
  ..." aZ.\0\t\n\r",
  ..."é中。ｱ가각ㄱ",
  ..."\u00ad\u200b\u200c\u200d\u2028\ufe0f\u20e3\ufeff",
  ..."\u0301\u0308\u036f\uff9e\u3099\u0e33\u0eb3\u0903\u093f",
  ..."\u1100\u1160\u11a8\ua960\ud7b0\ud7cb",
  ..."\u0915\u0937\u094d\u09cd\u0995\u0d4d\u0d15\u0d4e\u0600\u06dd\u070f",
  ..."©☀☺❤",
  ..."😀👩💻👍🏽🇩🇪🇫🏴\u{e0067}\u{e007f}\u{110bd}\u{1f9d1}",
  "\ud83d",
  "\udc69",
];
const anyText = fc.string({ unit: fc.constantFrom(...characters), maxLength: 80 });

describe("pieces of a text", () => {
  test("are as long as asked for", () => {
    expect([...cutText("abcdefgh", 3)]).toEqual(["abc", "def", "gh"]);
    expect([...cutText("abcdef", 3)]).toEqual(["abc", "def"]);
    expect([...cutText("abc", 1000)]).toEqual(["abc"]);
    expect([...cutText("", 3)]).toEqual([]);
    expect([...cutText("今天天气很好，我们走。", 4)]).toEqual(["今天天气", "很好，我", "们走。"]);
  });

  test("are longer where a cut would break what a reader sees as one character", () => {
    expect([...cutText("a😀b", 2)]).toEqual(["a😀", "b"]);
    expect([...cutText("ab\r\ncd", 3)]).toEqual(["ab\r\n", "cd"]);
    expect([...cutText("👩‍👩‍👧‍👦👩‍👩‍👧‍👦", 1)]).toEqual(["👩‍👩‍👧‍👦", "👩‍👩‍👧‍👦"]);
    expect([...cutText("🇩🇪🇫🇷🇮🇹", 2)]).toEqual(["🇩🇪", "🇫🇷", "🇮🇹"]);
    expect([...cutText("e\u0301e\u0301\u0302e", 1)]).toEqual(["e\u0301", "e\u0301\u0302", "e"]);
    expect([...cutText("👍🏽1️⃣", 1)]).toEqual(["👍🏽", "1️⃣"]);
    expect([...cutText("\u1112\u1161\u11ab한", 1)]).toEqual(["\u1112\u1161\u11ab", "한"]);
    expect([...cutText("नमस्ते", 1)]).toEqual(Array.from(segmenter.segment("नमस्ते"), ({ segment }) => segment));
  });

  test("end where the segmenter, seeing the whole text, ends the character", () => {
    fc.assert(
      fc.property(anyText, fc.integer({ min: 1, max: 12 }), (text, chunkChars) => {
        const all = boundaries(text);
        let start = 0;
        for (const end of cuts(text, chunkChars)) {
          const wanted = Math.min(start + chunkChars, text.length);
          expect(end).toBe(all.find((boundary) => boundary >= wanted) as number);
          start = end;
        }
      }),
      { numRuns: 5000 },
    );
  });

  test("stay whole in long runs that the segmenter is shown only in part", () => {
    for (const unit of ["🇩🇪", "👩‍💻", "e\u0301", "👍🏽", "क्ष", "\u0600", "\u1112\u1161\u11ab", "\r\n"]) {
      const text = `a${unit.repeat(300)}`;
      const all = new Set(boundaries(text));
      for (const chunkChars of [1, 7, 33, 500]) {
        expect(cuts(text, chunkChars).filter((end) => !all.has(end))).toEqual([]);
      }
    }
  });

  test("hold a character of any length", () => {
    const zalgo = `a${"\u0301".repeat(100_000)}`;
    expect([...cutText(`${zalgo}bc`, 20)]).toEqual([zalgo, "bc"]);
    const family = "👩".concat("\u200d👩".repeat(20_000));
    expect([...cutText(family, 20)]).toEqual([family]);
  });

  test("are made of hostile texts too", () => {
    for (const unit of [
      "a",
      "😀",
      "🇩🇪",
      "\u0301",
      "\u200d",
      "\ud83d",
      "\ude00",
      "\u0600",
      "\u094d",
      "\r",
      "ा",
    ]) {
      expect(cuts(unit.repeat(100_000 / unit.length), 20).at(-1)).toBe(100_000);
    }
  });
});

describe("graphemeAt", () => {
  test("finds the cluster around any place, as the segmenter does that sees the whole text", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const all = boundaries(text);
        for (let index = 0; index <= text.length; index += 1) {
          const start = all.findLast((boundary) => boundary <= index) as number;
          const end = all.find((boundary) => boundary >= index) as number;
          expect(graphemeAt(text, index)).toEqual([start, end]);
        }
      }),
      { numRuns: 3000 },
    );
  });
});
