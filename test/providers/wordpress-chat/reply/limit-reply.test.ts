import { describe, expect, test } from "bun:test";
import { limitReply } from "../../../../core/providers/wordpress-chat/reply/limit-reply.ts";
import { estimateTokens } from "../../../../core/util/estimate-tokens.ts";

describe("stop texts", () => {
  const stopAt = (text: string, ...stop: string[]): string => {
    const reply = limitReply(text, { stop });
    expect(reply.reason).toBe("stop");
    return reply.text;
  };

  test("end the reply before the earliest of them", () => {
    expect(stopAt("one two three", "three", "two")).toBe("one ");
    expect(stopAt("one two three", "two", "three")).toBe("one ");
    expect(stopAt("one\n\ntwo", "\n\n")).toBe("one");
    expect(stopAt("one", "one")).toBe("");
    expect(stopAt("abcabc", "abcabcabc", "cab", "bca")).toBe("a");
  });

  test("leave a reply without them as it is", () => {
    expect(stopAt("one two three")).toBe("one two three");
    expect(stopAt("one two three", "Two", "", "four")).toBe("one two three");
    expect(stopAt("", "one")).toBe("");
  });

  test("that begin within what a reader sees as one character take it with them", () => {
    expect(stopAt("one\r\ntwo", "\n")).toBe("one");
    expect(stopAt("ne\u0301e", "\u0301")).toBe("n");
    expect(stopAt("a👩‍💻b", "💻")).toBe("a");
    expect(stopAt("a😀b", "\ude00")).toBe("a");
    expect(stopAt("🇩🇪🇫🇷🇮🇹", "🇷🇮")).toBe("🇩🇪");
  });
});

describe("the token limit", () => {
  const text = "The quick brown fox jumps over the lazy dog. ".repeat(20);

  test("ends the reply at about so many tokens, with reason length", () => {
    const reply = limitReply(text, { stop: [], maxTokens: 20 });
    expect(reply.reason).toBe("length");
    expect(text).toStartWith(reply.text);
    expect(estimateTokens(reply.text)).toBeWithin(20, 22);
  });

  test("is no reason for a reply that has no more", () => {
    for (const maxTokens of [estimateTokens(text), text.length, 1_000_000, undefined]) {
      expect(limitReply(text, { stop: [], maxTokens })).toEqual({ text, reason: "stop" });
    }
    expect(limitReply("", { stop: [], maxTokens: 1 })).toEqual({ text: "", reason: "stop" });
  });

  test("counts what is left by the stop texts", () => {
    const limits = { stop: ["jumps"], maxTokens: 4 };
    expect(limitReply(text, limits)).toEqual({
      text: "The quick brown fox ",
      reason: "stop",
      stopSequence: "jumps",
    });
    expect(limitReply(text, { ...limits, maxTokens: 2 })).toEqual({ text: "The quick", reason: "length" });
  });

  test("breaks no character", () => {
    for (const character of ["👩‍👩‍👧‍👦", "🇩🇪", "e\u0301\u0302", "क्षि", "👍🏽", "한"]) {
      for (let maxTokens = 1; maxTokens < 12; maxTokens += 1) {
        const reply = limitReply(character.repeat(40), { stop: [], maxTokens });
        expect(reply.reason).toBe("length");
        expect(reply.text.length % character.length).toBe(0);
        expect(reply.text).not.toBe("");
      }
    }
  });

  test("errs on the long side", () => {
    for (const sample of [text, "今天天气很好，".repeat(50), "a".repeat(500), "😀".repeat(300)]) {
      for (let maxTokens = 1; maxTokens < 40; maxTokens += 1) {
        const reply = limitReply(sample, { stop: [], maxTokens });
        expect(estimateTokens(reply.text)).toBeGreaterThanOrEqual(maxTokens);
      }
    }
  });
});

test("stop texts and the token limit are done with hostile replies", () => {
  for (const unit of ["a", " ", "😀", "🇩🇪", "\u0301", "\ud83d", "中"]) {
    const text = unit.repeat(1_000_000 / unit.length);
    const reply = limitReply(text, { stop: ["b", `${unit}b`], maxTokens: 100 });
    expect(text).toStartWith(reply.text);
  }
});
