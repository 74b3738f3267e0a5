import { describe, expect, test } from "bun:test";
import { countTokens } from "gpt-tokenizer/encoding/o200k_base";
import { endOfTokens, estimateTokens } from "../../core/util/estimate-tokens.ts";

const prose = "The quick brown fox jumps over the lazy dog. ";

describe("token estimates", () => {
  test.each([
    [
      "English",
      "Sunlight is made of all colours, and the molecules of the atmosphere scatter short wavelengths, such as blue, far more strongly than long ones. At sunset the light has travelled through much more air, so that most of the blue is gone and the reds remain.",
    ],
    [
      "German",
      "Das Wetter ist heute sehr schön, deshalb gehen wir im Park spazieren. Die Rayleigh-Streuung ist der Grund dafür, dass der Himmel blau erscheint.",
    ],
    [
      "Russian",
      "Сегодня очень хорошая погода, поэтому мы идём гулять в парк. Рэлеевское рассеяние объясняет, почему небо голубое.",
    ],
    [
      "Chinese",
      "今天天气很好，我们去公园散步。瑞利散射是天空呈蓝色的原因：太阳光由各种颜色组成，大气分子对短波长的光散射更强。",
    ],
    ["Japanese", "今日はとても良い天気なので、公園を散歩しましょう。空が青いのはレイリー散乱のためです。"],
    ["Korean", "오늘은 날씨가 아주 좋아서 공원을 산책합시다. 하늘이 파란 것은 레일리 산란 때문입니다."],
    [
      "Python",
      "def fib(n):\n    if n < 2:\n        return n\n    return fib(n - 1) + fib(n - 2)\n\nfor i in range(10):\n    print(i, fib(i))\n",
    ],
    [
      "Markdown",
      "# Title\n\n- **one**: `a`\n- two\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```ts\nconst x = 1;\n```\n",
    ],
    ["numbers", "Pi is 3.14159265358979 and e is 2.718281828; in 2024 there were 1,234,567 cases (12.5%)."],
    ["emoji", "plain 😀 family 👨‍👩‍👧‍👦 flag 🇯🇵 skin 👍🏽 heart ❤️ rainbow 🏳️‍🌈 end"],
  ])("of %s are within 15 % of what a real tokenizer counts", (_, text) => {
    const real = countTokens(text);
    expect(estimateTokens(text)).toBeWithin(Math.floor(real * 0.85), Math.ceil(real * 1.15) + 1);
  });

  test("of small texts are exact where that is easy", () => {
    expect(estimateTokens("")).toBe(0);
    expect(estimateTokens("hello")).toBe(1);
    expect(estimateTokens(prose.trimEnd())).toBe(10);
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
