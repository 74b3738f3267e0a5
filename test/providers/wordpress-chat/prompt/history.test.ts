import { describe, expect, test } from "bun:test";
import { ApiError } from "../../../../core/errors.ts";
import {
  buildPrompt,
  type Prompt,
  type PromptOptions,
} from "../../../../core/providers/wordpress-chat/prompt/prompt.ts";
import { countCodePoints } from "../../../../core/providers/wordpress-chat/prompt/shorten.ts";
import { defaultLabels } from "../../../../core/providers/wordpress-chat/settings.ts";
import type { ChatMessage, Role } from "../../../../core/types.ts";

type Line = readonly [role: Role, text: string];

const options: PromptOptions = {
  maxChars: 1000,
  labels: defaultLabels,
  overflow: "shorten",
  longInput: "refuse",
};

const messagesOf = (lines: readonly Line[]): ChatMessage[] =>
  lines.map(([role, text]) => ({ role, text, native: { role, content: text } }));

const prompt = (lines: readonly Line[], changes: Partial<PromptOptions> = {}): Prompt =>
  buildPrompt(messagesOf(lines), { ...options, ...changes });

/** Words that can be told apart, up to a length. */
const words = (word: string, length: number): string =>
  Array.from({ length }, (_, index) => `${word}${index} `)
    .join("")
    .slice(0, length);

const linesOf = (text: string, label: string): string[] =>
  text.split("\n").filter((line) => line.startsWith(label));

describe("a history that does not fit", () => {
  test("loses the middle of its replies, and no question", () => {
    const { text, droppedMessages, shortenedMessages } = prompt([
      ["user", "What is the capital of France?"],
      ["assistant", words("paris", 900)],
      ["user", "And what is its river called?"],
      ["assistant", words("seine", 900)],
      ["user", "How long is it, from the spring to the sea?"],
    ]);
    expect(countCodePoints(text)).toBeLessThanOrEqual(1000);
    expect(text).toStartWith("User: What is the capital of France?\nAssistant: paris0 ");
    expect(text).toEndWith("\nUser: How long is it, from the spring to the sea?");
    expect(text).toContain("\nUser: And what is its river called?\nAssistant: seine0 ");
    expect(text).toMatch(/ \[… \d+ characters left out …\] /);
    expect({ droppedMessages, shortenedMessages }).toEqual({ droppedMessages: 0, shortenedMessages: 2 });
  });

  test("loses more of older replies than of newer ones", () => {
    const { text } = prompt([
      ["user", "One?"],
      ["assistant", words("a", 900)],
      ["user", "Two?"],
      ["assistant", words("b", 900)],
      ["user", "Three?"],
    ]);
    const [older = "", newer = ""] = linesOf(text, "Assistant: ");
    expect(older.length).toBeLessThan(newer.length);
  });

  test("keeps what users wrote longer than replies", () => {
    const questions = Array.from({ length: 10 }, (_, index) => words(`question${index}`, 65));
    const { text } = prompt([
      ...questions.flatMap((question): Line[] => [
        ["user", question],
        ["assistant", words("reply", 700)],
      ]),
      ["user", "Now?"],
    ]);
    for (const question of questions) expect(text).toContain(`User: ${question}`);
    expect(linesOf(text, "Assistant: ").length).toBeLessThan(10);
  });

  test("shortens a long question of old only after the replies", () => {
    const { text } = prompt([
      ["user", words("q", 300)],
      ["assistant", words("r", 900)],
      ["user", "Two?"],
      ["assistant", words("s", 900)],
      ["user", "Three?"],
    ]);
    expect(text).toContain(`User: ${words("q", 300)}`);
  });

  test("has two lines of its newest reply, also where a question without one came after it", () => {
    const { text } = prompt([
      ...Array.from({ length: 12 }, (_, index): Line[] => [
        ["user", words(`question${index}`, 60)],
        ["assistant", words(`reply${index}`, 1200)],
      ]).flat(),
      ["user", "A picture."],
      ["user", "Or none?"],
    ]);
    const [newest = ""] = linesOf(text, "Assistant: reply110 ");
    expect(newest.length).toBe(159);
  });

  test("loses its oldest turns once not even a line of each has room", () => {
    const lines = Array.from({ length: 100 }, (_, index): Line[] => [
      ["user", words(`question${index}`, 300)],
      ["assistant", words(`reply${index}`, 900)],
    ]).flat();
    const { text, droppedMessages } = prompt([...lines, ["user", "Now?"]]);
    const told = linesOf(text, "User: ");
    expect(told.length).toBeGreaterThan(5);
    expect(told[0]).toStartWith(`User: question${100 - (told.length - 1)}0 `);
    expect(droppedMessages).toBe(200 - (text.split("\n").length - 1));
  });

  test("has its short replies as they are beside long ones", () => {
    const { text } = prompt([
      ["user", "Say something long."],
      ["assistant", words("long", 1500)],
      ["user", "Thanks. Bye?"],
      ["assistant", "Bye!"],
      ["user", "Hello again"],
    ]);
    expect(text).toContain("\nAssistant: Bye!\n");
  });

  test("keeps the question and the calls that led to a tool's result", () => {
    const { text } = prompt([
      ["user", "Old?"],
      ["assistant", words("old", 900)],
      ["user", "What does the file say?"],
      ["assistant", "read(file)"],
      ["tool", words("first", 800)],
      ["tool", words("second", 300)],
    ]);
    expect(text).toContain("User: What does the file say?\nAssistant: read(file)\nTool: first0 ");
    expect(text).toEndWith(words("second", 300));
  });

  test("is told from a summary first, once there is one", () => {
    const lines: Line[] = [
      ["system", "Be brief."],
      ["user", "My name is Ann."],
      ["assistant", words("a", 900)],
      ["user", "Two?"],
      ["assistant", words("b", 400)],
      ["user", "Three?"],
    ];
    const summary = { text: "The user is called Ann.", recentMessages: 3 };
    const { text } = prompt(lines, { summary });
    // The messages that it covers may be too old to be handed over at all.
    const recent = prompt([...lines.slice(0, 1), ...lines.slice(3, -1), ["user", words("q", 700)]], {
      summary,
    });
    expect(recent.text).toContain("Summary of what was said before: The user is called Ann.\n");
    expect(text).toStartWith(
      "System: Be brief.\nSystem: Summary of what was said before: The user is called Ann.\n",
    );
    expect(text).toContain("User: My name is Ann.\n");
    expect(text).toEndWith("\nUser: Three?");
    expect(
      prompt(
        lines.filter(([, said]) => said.length < 100),
        { summary },
      ).text,
    ).not.toContain("Summary");
  });
});

describe("system text that is too long", () => {
  const card = words("card", 6163);

  test("has half of the limit at most while there is history", () => {
    const { text, shortenedMessages } = prompt([
      ["system", card],
      ["assistant", "Welcome!"],
      ["user", "Hello"],
    ]);
    expect(text).toMatch(
      /^System: card0 .* \[… \d+ characters left out …\] .*\nAssistant: Welcome!\nUser: Hello$/,
    );
    expect(countCodePoints(text.split("\n")[0] ?? "")).toBe(499);
    expect(shortenedMessages).toBe(1);
  });

  test("has all of the room where there is no history", () => {
    const { text } = prompt([
      ["system", card],
      ["user", "Hello"],
    ]);
    expect(text).toEndWith("\nUser: Hello");
    expect(countCodePoints(text)).toBe(1000);
  });

  test("makes room for the newest message", () => {
    const newest = words("n", 800);
    const { text } = prompt([
      ["system", words("s", 600)],
      ["user", newest],
    ]);
    expect(text).toEndWith(`\nUser: ${newest}`);
    expect(countCodePoints(text)).toBe(1000);
    expect(
      prompt([
        ["system", card],
        ["user", words("n", 1000)],
      ]),
    ).toMatchObject({
      text: words("n", 1000),
      droppedMessages: 1,
    });
  });

  test("is shortened where whole turns are dropped, too", () => {
    const { text, droppedMessages } = prompt(
      [
        ["system", card],
        ["user", "Old?"],
        ["user", "Hello"],
      ],
      { overflow: "drop" },
    );
    expect(text).toStartWith("System: card0 ");
    expect(text).toEndWith("\nUser: Hello");
    expect(droppedMessages).toBe(1);
  });

  test("leaves a short instruction at the end whole", () => {
    const { text } = prompt([
      ["system", card],
      ["user", "Tell me a story."],
      ["assistant", words("story", 1400)],
      ["system", "[Continue your last message without repeating its content.]"],
    ]);
    expect(text).toEndWith("\nSystem: [Continue your last message without repeating its content.]");
    expect(text).toContain("\nUser: Tell me a story.\nAssistant: story0 ");
    expect(countCodePoints(text)).toBeGreaterThan(950);
  });

  test("leaves the reply to go on with longer than it would otherwise be", () => {
    const chat: Line[] = [
      ["system", card],
      ...Array.from({ length: 6 }, (_, index): Line[] => [
        ["user", words(`question${index}`, 60)],
        ["assistant", words(`reply${index}`, 1200)],
      ]).flat(),
    ];
    const [continued = ""] = linesOf(
      prompt([...chat, ["system", "[Continue.]"]]).text,
      "Assistant: reply50 ",
    );
    const [answered = ""] = linesOf(prompt([...chat, ["user", "Go on."]]).text, "Assistant: reply50 ");
    expect(continued.length).toBeGreaterThan(300);
    expect(answered.length).toBeLessThan(200);
  });

  test("leaves an instruction of some lines at the end whole, too", () => {
    const instruction = words("write", 250);
    const chat: Line[] = [
      ["system", card],
      ["system", words("example", 3000)],
      ["user", "Hi"],
      ["assistant", "Hello"],
    ];
    expect(prompt([...chat, ["system", instruction]]).text).toEndWith(`\nSystem: ${instruction}`);
  });

  test("is sent as well as it fits when it is all there is", () => {
    expect(countCodePoints(prompt([["system", card]]).text)).toBe(1000);
  });
});

describe("a newest message that is too long by itself", () => {
  const refusal = (lines: readonly Line[], changes: Partial<PromptOptions> = {}): ApiError => {
    try {
      prompt(lines, changes);
    } catch (error) {
      if (error instanceof ApiError) return error;
    }
    throw new Error("was not refused");
  };

  test("is refused by default, if it is the user's", () => {
    expect(refusal([["user", "x".repeat(1001)]]).code).toBe("context_length_exceeded");
  });

  test("is shortened where that is set, beside what system text there is", () => {
    const { text, shortenedMessages } = prompt([["user", words("w", 3000)]], { longInput: "shorten" });
    expect(text).toMatch(/^w0 .* \[… 20\d\d characters left out …\] /);
    expect(countCodePoints(text)).toBe(1000);
    expect(shortenedMessages).toBe(1);
    const both = prompt(
      [
        ["system", "Translate into French."],
        ["user", words("w", 3000)],
      ],
      { longInput: "shorten" },
    );
    expect(both.text).toStartWith("System: Translate into French.\nUser: w0 ");
    expect(countCodePoints(both.text)).toBe(1000);
  });

  test("is shortened anyway, if it is a tool's or a reply to go on with", () => {
    for (const role of ["tool", "assistant"] as const) {
      const { text } = prompt([
        ["user", "Go on"],
        [role, words("w", 3000)],
      ]);
      expect(countCodePoints(text)).toBe(1000);
      expect(text).toContain(" characters left out …] ");
    }
  });

  test("is refused where the limit is too small to say that something is missing", () => {
    const limits = { maxChars: 30, longInput: "shorten" } as const;
    expect(refusal([["user", "x".repeat(31)]], limits).code).toBe("context_length_exceeded");
    expect(refusal([["system", "x".repeat(31)]], limits).code).toBe("context_length_exceeded");
  });
});
