import { describe, expect, test } from "bun:test";
import { endOfTokens, estimateTokens } from "../core/tokens.ts";

const prose = "The quick brown fox jumps over the lazy dog. ";

describe("token estimates", () => {
  test("come close to what real tokenizers count", () => {
    expect(estimateTokens("")).toBe(0);
    expect(estimateTokens("hello")).toBe(1);
    expect(estimateTokens(prose)).toBeWithin(9, 12);
    expect(estimateTokens("今天天气很好，我们去公园散步。")).toBeWithin(8, 18);
  });

  test("say where so many tokens end", () => {
    expect(endOfTokens(prose, 4)).toBe("The quick brown fox".length);
    expect(endOfTokens(prose, estimateTokens(prose))).toBe(prose.length);
    expect(endOfTokens(prose, 1000)).toBe(prose.length);
    expect(endOfTokens("", 1)).toBe(0);
    for (const text of [
      prose.repeat(20),
      "今天天气很好，".repeat(20),
      "if (a<b) {\n  c[d] += 1;\n}\n".repeat(20),
    ]) {
      for (let tokens = 1; tokens < 60; tokens += 1) {
        const end = endOfTokens(text, tokens);
        expect(Math.abs(estimateTokens(text.slice(0, end)) - tokens)).toBeLessThanOrEqual(1);
      }
    }
  });

  test("are done with hostile texts", () => {
    for (const unit of ["a", " ", "\n", "\n ", "中", "中。", "😀", "a.", "é", "\u0301", "1", "\ud83d"]) {
      const text = unit.repeat(1_000_000 / unit.length);
      expect(estimateTokens(text)).toBeLessThanOrEqual(text.length);
      expect(endOfTokens(text, 100)).toBeLessThanOrEqual(text.length);
    }
  });
});
