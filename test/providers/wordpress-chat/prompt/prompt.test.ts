import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ApiError } from "../../../../core/errors.ts";
import {
  buildPrompt,
  maxMessages,
  type Prompt,
  type PromptOptions,
} from "../../../../core/providers/wordpress-chat/prompt/prompt.ts";
import { defaultLabels } from "../../../../core/providers/wordpress-chat/settings.ts";
import type { Attachment, ChatMessage, Role } from "../../../../core/types.ts";

type Line = readonly [role: Role, text: string, native?: Record<string, unknown>];

/** Turns go as a whole; history.test.ts has the other way. */
const options: PromptOptions = {
  maxChars: 1000,
  labels: defaultLabels,
  overflow: "drop",
  longInput: "refuse",
};

function prompt(
  lines: readonly Line[],
  changes: Partial<PromptOptions> = {},
): Pick<Prompt, "text" | "droppedMessages"> {
  const messages = lines.map(
    ([role, text, native]): ChatMessage => ({ role, text, native: { role, content: text, ...native } }),
  );
  const { text, droppedMessages, shortenedMessages } = buildPrompt(messages, { ...options, ...changes });
  expect(shortenedMessages).toBe(0);
  return { text, droppedMessages };
}

function refusal(lines: readonly Line[], maxChars = options.maxChars): ApiError {
  try {
    prompt(lines, { maxChars });
  } catch (error) {
    if (error instanceof ApiError) return error;
  }
  throw new Error("was not refused");
}

const chat: readonly Line[] = [
  ["system", "Be brief."],
  ["user", "One?"],
  ["assistant", "1"],
  ["user", "Two?"],
  ["assistant", "2"],
  ["user", "Three?"],
];

describe("a prompt's text", () => {
  test("is a lone user message as it is", () => {
    expect(prompt([["user", "  User: hi\n"]])).toEqual({ text: "  User: hi\n", droppedMessages: 0 });
  });

  test("has the leading system texts first, then the turns in order, each with its label", () => {
    expect(prompt(chat)).toEqual({
      text: "System: Be brief.\nUser: One?\nAssistant: 1\nUser: Two?\nAssistant: 2\nUser: Three?",
      droppedMessages: 0,
    });
    expect(
      prompt([
        ["user", "a"],
        ["system", "b"],
        ["assistant", "c"],
        ["developer", "d"],
        ["tool", "e"],
        ["function", "f"],
      ]).text,
    ).toBe("User: a\nSystem: b\nAssistant: c\nSystem: d\nTool: e\nTool: f");
  });

  test("leaves a later system text where it is, and the last one last", () => {
    expect(
      prompt([
        ["system", "Card."],
        ["system", "Rules."],
        ["user", "Hi"],
        ["system", "Note."],
        ["assistant", "Hello"],
        ["system", "Continue."],
      ]).text,
    ).toBe("System: Card.\nSystem: Rules.\nUser: Hi\nSystem: Note.\nAssistant: Hello\nSystem: Continue.");
  });

  test("has an attachment of an older message as a mark, with a file's name", () => {
    const said = (role: Role, text: string, ...attachments: Attachment[]): ChatMessage => ({
      role,
      text,
      attachments,
      native: { role },
    });
    const { text } = buildPrompt(
      [
        said("user", "Look", { type: "image_url" }, { type: "file", name: "report.pdf" }),
        said("assistant", "", { type: "audio" }),
        said("user", "", { type: "input_audio" }, { type: "file", name: `[a]\n${"b".repeat(200)}` }),
        said("user", "Well?"),
      ],
      options,
    );
    expect(text).toBe(
      `User: Look [image] [file report.pdf]\nAssistant: [audio]\nUser: [audio] [file a ${"b".repeat(98)}]\nUser: Well?`,
    );
  });

  test("has other labels where they are set", () => {
    const labels = { system: "系统：", user: "用户: ", assistant: "模型: ", tool: "工具: " };
    expect(prompt(chat.slice(0, 4), { labels }).text).toBe(
      "系统：Be brief.\n用户: One?\n模型: 1\n用户: Two?",
    );
  });

  test("is labelled when there is a system text alone, or one message that is not the user's", () => {
    expect(prompt([["developer", "Hello"]]).text).toBe("System: Hello");
    expect(prompt([["assistant", "Hello"]]).text).toBe("Assistant: Hello");
    expect(prompt([["tool", "Hello"]]).text).toBe("Tool: Hello");
  });

  test("ends with an assistant's or a tool's message where the chat does", () => {
    expect(prompt([...chat.slice(1, 2), ["assistant", "It is "]]).text).toBe("User: One?\nAssistant: It is ");
    expect(prompt([...chat.slice(1, 2), ["tool", "1"]]).text).toBe("User: One?\nTool: 1");
  });

  test("leaves out messages without text, which count as nothing", () => {
    const blank = " \t\r\n\0\v";
    expect(
      prompt([
        ["system", blank],
        ["assistant", ""],
        ["user", "hi"],
        ["tool", ""],
      ]),
    ).toEqual({ text: "hi", droppedMessages: 0 });
    expect(prompt([["user", "\u00a0"]]).text).toBe("\u00a0");
  });

  test("has an assistant's tool calls as text", () => {
    const calls = [
      { id: "1", type: "function", function: { name: "weather", arguments: '{"city":"Rome"}' } },
      { id: "2", type: "function", function: { name: "time", arguments: "" } },
    ];
    expect(
      prompt([
        ["user", "How is it?"],
        ["assistant", "", { content: null, tool_calls: calls }],
        ["tool", "sunny"],
        ["assistant", "Let me see.", { function_call: { name: "old", arguments: "{}" } }],
      ]).text,
    ).toBe(
      'User: How is it?\nAssistant: weather({"city":"Rome"})\ntime()\nTool: sunny\nAssistant: Let me see.\nold({})',
    );
  });

  test("takes tool calls of any shape", () => {
    const shapes = [
      null,
      [],
      {},
      "x",
      1,
      [null],
      [1],
      [{ function: null }],
      [{ function: { name: 1 } }],
      [[]],
    ];
    for (const shape of [...shapes, [{ function: { name: "", arguments: { toString: 1 } } }]]) {
      const native = { content: null, tool_calls: shape, function_call: shape };
      expect(
        prompt([
          ["user", "hi"],
          ["assistant", "ok", native],
        ]).text,
      ).toStartWith("User: hi\nAssistant: ok");
    }
  });
});

describe("a prompt's budget", () => {
  const full = prompt(chat).text.length;

  test("drops the oldest turns first, question and reply together", () => {
    expect(prompt(chat, { maxChars: full }).droppedMessages).toBe(0);
    const two = "System: Be brief.\nUser: Two?\nAssistant: 2\nUser: Three?";
    expect(prompt(chat, { maxChars: full - 1 })).toEqual({ text: two, droppedMessages: 2 });
    expect(prompt(chat, { maxChars: two.length })).toEqual({ text: two, droppedMessages: 2 });
    const one = "System: Be brief.\nUser: Three?";
    expect(prompt(chat, { maxChars: two.length - 1 })).toEqual({ text: one, droppedMessages: 4 });
    expect(prompt(chat, { maxChars: one.length })).toEqual({ text: one, droppedMessages: 4 });
  });

  test("counts code points, not UTF-16 units", () => {
    const lines: readonly Line[] = [
      ["user", "😀".repeat(10)],
      ["assistant", "\ud83d\ud83d\ude00\ude00"],
      ["user", "👨‍👩‍👧"],
    ];
    const chars = 6 + 10 + 1 + 11 + 3 + 1 + 6 + 5;
    expect(prompt(lines, { maxChars: chars }).droppedMessages).toBe(0);
    expect(prompt(lines, { maxChars: chars - 1 })).toEqual({ text: "👨‍👩‍👧", droppedMessages: 2 });
    expect(prompt([["user", "😀".repeat(1000)]]).droppedMessages).toBe(0);
    expect(refusal([["user", "😀".repeat(1001)]]).message).toContain("1001");
  });

  test("sends the newest message as it is when nothing else is left", () => {
    expect(prompt(chat.slice(1), { maxChars: 6 })).toEqual({ text: "Three?", droppedMessages: 4 });
    expect(prompt([...chat.slice(1, 3), ["user", "x".repeat(999)]])).toEqual({
      text: "x".repeat(999),
      droppedMessages: 2,
    });
  });

  test("does not skip a turn that is too long to keep an older one", () => {
    const lines: readonly Line[] = [
      ["user", "old"],
      ["assistant", "old"],
      ["user", "x".repeat(2000)],
      ["assistant", "fine"],
      ["user", "new"],
    ];
    expect(prompt(lines)).toEqual({ text: "new", droppedMessages: 4 });
  });

  test("keeps a greeting that no question came before, or drops it alone", () => {
    const lines: readonly Line[] = [
      ["assistant", "Hello!"],
      ["user", "Hi"],
    ];
    const text = "Assistant: Hello!\nUser: Hi";
    expect(prompt(lines, { maxChars: text.length })).toEqual({ text, droppedMessages: 0 });
    expect(prompt(lines, { maxChars: text.length - 1 })).toEqual({ text: "Hi", droppedMessages: 1 });
  });

  test("counts what it leaves out, messages without text too where others go with them", () => {
    const lines: readonly Line[] = [
      ["user", " "],
      ["user", "One?"],
      ["assistant", ""],
      ["user", "Two?"],
      ["assistant", " "],
      ["user", "Three?"],
    ];
    const text = "User: Two?\nUser: Three?";
    expect(prompt(lines, { maxChars: text.length })).toEqual({ text, droppedMessages: 3 });
    const all = `User: One?\n${text}`;
    expect(prompt(lines, { maxChars: all.length })).toEqual({ text: all, droppedMessages: 0 });
  });

  test("is the same without the older messages that `maxMessages` says can't matter", () => {
    const noLabels = { system: "", user: "", assistant: "", tool: "" };
    const emoji = { system: "⚙️", user: "🧑‍🦰: ", assistant: "🤖", tool: "🔧🔧" };
    const said = fc.tuple(
      fc.constantFrom<Role>("user", "user", "assistant", "tool"),
      fc.constantFrom("x", "x", "y", "some more"),
    );
    fc.assert(
      fc.property(
        fc.array(said, { minLength: 1, maxLength: 60, size: "max" }),
        fc.integer({ min: 20, max: 200 }),
        fc.constantFrom(noLabels, emoji, defaultLabels),
        (lines, maxChars, labels) => {
          const bound = maxMessages({ maxChars, labels });
          const whole = prompt(lines, { maxChars, labels });
          const some = prompt(lines.slice(-bound - 1), { maxChars, labels });
          expect(some.text).toBe(whole.text);
          expect(whole.text.split("\n").length).toBeLessThanOrEqual(bound);
        },
      ),
    );
  });

  test("drops a turn's tool messages with its question", () => {
    const lines: readonly Line[] = [
      ["user", "q"],
      ["assistant", "call"],
      ["tool", "result"],
      ["assistant", "answer"],
      ["user", "next"],
    ];
    const text = "User: q\nAssistant: call\nTool: result\nAssistant: answer\nUser: next";
    expect(prompt(lines, { maxChars: text.length }).text).toBe(text);
    expect(prompt(lines, { maxChars: text.length - 1 })).toEqual({ text: "next", droppedMessages: 4 });
  });

  test("keeps what led to a trailing tool message as a whole, or the tool message alone", () => {
    const lines: readonly Line[] = [
      ["user", "old"],
      ["assistant", "old"],
      ["user", "q"],
      ["assistant", "call"],
      ["tool", "result"],
    ];
    const turn = "User: q\nAssistant: call\nTool: result";
    expect(prompt(lines, { maxChars: turn.length })).toEqual({ text: turn, droppedMessages: 2 });
    expect(prompt(lines, { maxChars: turn.length - 1 })).toEqual({
      text: "Tool: result",
      droppedMessages: 4,
    });
  });

  test("never exceeds the budget and never loses system text or the newest message", () => {
    const history: readonly Line[] = Array.from({ length: 40 }, (_, index): Line => {
      const roles: readonly Role[] = ["user", "assistant", "user", "assistant", "tool", "assistant"];
      return [roles[index % roles.length] as Role, "x".repeat((index * 7) % 23) + index];
    });
    for (let maxChars = 60; maxChars < 1200; maxChars += 7) {
      for (const length of [40, 39, 38, 37]) {
        const { text, droppedMessages } = prompt([["system", "stay"], ...history.slice(0, length)], {
          maxChars,
        });
        expect(text.length).toBeLessThanOrEqual(maxChars);
        expect(text).toStartWith("System: stay\n");
        expect(text).toEndWith(history[length - 1]?.[1] ?? "");
        expect(text.split("\n").length - 1).toBe(length - droppedMessages);
      }
    }
  });

  test("refuses a newest message that cannot fit, with both numbers and the ways out", () => {
    const tooLong = refusal(chat, 5);
    expect(tooLong.code).toBe("context_length_exceeded");
    expect(tooLong.param).toBe("messages");
    expect(tooLong.message).toMatch(/\b6\b.*\b5\b.*LONG_INPUT.*another upstream/);
    expect(refusal([["user", "x".repeat(1001)]]).message).toContain("1001");
    expect(refusal([...chat.slice(1), ["user", "x".repeat(1001)]]).message).toContain("1001");
  });

  test("refuses a chat without any text", () => {
    for (const lines of [
      [],
      [["user", ""]],
      [
        ["system", " "],
        ["user", "\n"],
        ["assistant", ""],
      ],
    ] as Line[][]) {
      expect(refusal(lines)).toMatchObject({ code: "invalid_request", param: "messages" });
    }
  });

  test("is found in a long history without reading all of it", () => {
    let reads = 0;
    const message = (index: number): ChatMessage => ({
      role: index % 2 === 0 ? "user" : "assistant",
      get text() {
        reads += 1;
        return `message ${index}`;
      },
      native: {},
    });
    const messages = Array.from({ length: 10_001 }, (_, index) => message(index));
    const { text, droppedMessages } = buildPrompt(messages, options);
    expect(text).toEndWith("User: message 10000");
    expect(text.split("\n").length + droppedMessages).toBe(10_001);
    expect(reads).toBeLessThan(10_001 * 2);
  });
});
