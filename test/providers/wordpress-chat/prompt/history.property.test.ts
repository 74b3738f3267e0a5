/** Any chat at any limit: what its prompt holds, and what more room adds to it. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import {
  buildPrompt,
  maxMessages,
  type PromptOptions,
} from "../../../../core/providers/wordpress-chat/prompt/prompt.ts";
import { countCodePoints } from "../../../../core/providers/wordpress-chat/prompt/shorten.ts";
import { defaultLabels } from "../../../../core/providers/wordpress-chat/settings.ts";
import type { ChatMessage, Role } from "../../../../core/types.ts";

const options: Omit<PromptOptions, "maxChars"> = {
  labels: defaultLabels,
  overflow: "shorten",
  longInput: "refuse",
};

const anyLength = fc.oneof(
  { weight: 3, arbitrary: fc.integer({ min: 1, max: 90 }) },
  { weight: 3, arbitrary: fc.integer({ min: 1, max: 1500 }) },
  { weight: 1, arbitrary: fc.integer({ min: 1500, max: 7000 }) },
);

const anyRole = fc.constantFrom<Role>(
  "user",
  "user",
  "user",
  "assistant",
  "assistant",
  "assistant",
  "tool",
  "system",
);

/** The character that a message is made of, so that it can be found in the prompt. */
const characterOf = (index: number): string =>
  String.fromCodePoint(index % 2 === 0 ? 0x4e00 + index : 0x1f300 + index);

/** A history of any messages, a newest one of the user that fits into the least limit, and at times an instruction. */
const anyChat = fc
  .tuple(
    fc.array(fc.tuple(anyRole, anyLength), { maxLength: 30 }),
    fc.integer({ min: 1, max: 90 }),
    fc.option(fc.integer({ min: 1, max: 600 }), { nil: undefined, freq: 2 }),
  )
  .map(([history, newest, instruction]) =>
    [
      ...history,
      ["user", newest] as const,
      ...(instruction === undefined ? [] : [["system", instruction] as const]),
    ].map(([role, length], index): ChatMessage => {
      const text = characterOf(index).repeat(length);
      return { role, text, native: { role, content: text } };
    }),
  );

const anyLimit = fc.integer({ min: 100, max: 2500 });

/** How many characters of each message a prompt tells. */
const toldOf = (text: string, messages: readonly ChatMessage[]): number[] => {
  const counts = new Map<string, number>();
  for (const character of text) counts.set(character, (counts.get(character) ?? 0) + 1);
  return messages.map((_, index) => counts.get(characterOf(index)) ?? 0);
};

test("the newest message is whole, the text fits, and the report says what is told", () => {
  fc.assert(
    fc.property(anyChat, anyLimit, (messages, maxChars) => {
      const prompt = buildPrompt(messages, { ...options, maxChars });
      expect(countCodePoints(prompt.text)).toBeLessThanOrEqual(maxChars);
      const newest = messages.findLast(({ role }) => role === "user");
      expect(prompt.text).toContain(newest?.text ?? "");
      if (messages.at(-1) === newest) expect(prompt.text).toEndWith(newest?.text ?? "");
      const told = toldOf(prompt.text, messages);
      const lengths = messages.map(({ text }) => countCodePoints(text));
      expect(prompt.droppedMessages).toBe(told.filter((count) => count === 0).length);
      expect(prompt.shortenedMessages).toBe(
        told.filter((count, index) => count > 0 && count < (lengths[index] ?? 0)).length,
      );
      const whole = messages.map(({ role, text }) => {
        const label = { system: "System: ", user: "User: ", assistant: "Assistant: ", tool: "Tool: " };
        return label[role as keyof typeof label] + text;
      });
      if (countCodePoints(whole.join("\n")) <= maxChars && messages.length > 1)
        expect(prompt.text).toBe(whole.join("\n"));
    }),
    { numRuns: 300 },
  );
});

test("more room never tells less of any message", () => {
  fc.assert(
    fc.property(anyChat, anyLimit, fc.integer({ min: 1, max: 60 }), (messages, maxChars, more) => {
      const told = toldOf(buildPrompt(messages, { ...options, maxChars }).text, messages);
      const toldThen = toldOf(
        buildPrompt(messages, { ...options, maxChars: maxChars + more }).text,
        messages,
      );
      for (const [index, count] of told.entries()) expect(toldThen[index]).toBeGreaterThanOrEqual(count);
    }),
    { numRuns: 500 },
  );
});

test("no fewer messages of a history are told than where whole turns are dropped", () => {
  fc.assert(
    fc.property(anyChat, anyLimit, (messages, maxChars) => {
      const history = messages.filter(({ role }) => role !== "system");
      const isTold = (text: string) => toldOf(text, messages).map((count) => count > 0);
      const count = (text: string) =>
        isTold(text).filter((told, index) => told && history.includes(messages[index] as ChatMessage)).length;
      const shortened = buildPrompt(messages, { ...options, maxChars });
      const dropped = buildPrompt(messages, { ...options, maxChars, overflow: "drop" });
      expect(count(shortened.text)).toBeGreaterThanOrEqual(count(dropped.text));
    }),
    { numRuns: 300 },
  );
});

test("of a question and its replies, the older ones are never told longer than newer ones of the same length", () => {
  const anyReplies = fc.tuple(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 1500 }));
  fc.assert(
    fc.property(anyReplies, fc.integer({ min: 1, max: 70 }), anyLimit, ([turns, length], asked, maxChars) => {
      const messages = Array.from({ length: turns * 2 + 1 }, (_, index): ChatMessage => {
        const role: Role = index % 2 === 0 ? "user" : "assistant";
        const text = characterOf(index).repeat(role === "user" ? asked : length);
        return { role, text, native: { role, content: text } };
      });
      const told = toldOf(buildPrompt(messages, { ...options, maxChars }).text, messages);
      for (let index = 2; index < told.length; index += 1)
        expect(told[index]).toBeGreaterThanOrEqual(told[index - 2] ?? 0);
    }),
  );
});

test("older messages than twice `maxMessages` do not matter to a chat of questions and replies", () => {
  fc.assert(
    fc.property(
      fc.array(anyLength, { minLength: 1, maxLength: 60, size: "max" }),
      fc.integer({ min: 100, max: 300 }),
      (lengths, maxChars) => {
        const messages = [...lengths, 10].map((length, index, all): ChatMessage => {
          const role: Role = (all.length - index) % 2 === 1 ? "user" : "assistant";
          return { role, text: "x".repeat(length), native: { role } };
        });
        const bound = 2 * maxMessages({ maxChars, labels: defaultLabels });
        const whole = buildPrompt(messages, { ...options, maxChars });
        expect(buildPrompt(messages.slice(-bound - 1), { ...options, maxChars }).text).toBe(whole.text);
      },
    ),
  );
});
