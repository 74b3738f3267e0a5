import { describe, expect, test } from "bun:test";
import type { KimiWebOptions } from "../../../../core/providers/wordpress-chat/provider.ts";
import type { ChatMessage } from "../../../../core/types.ts";
import { chatWithSite, message } from "./site-chat.ts";

const { site, chat, seen, expectTraffic } = await chatWithSite();

describe("the prompt that reaches the site", () => {
  async function sent(messages: readonly ChatMessage[], options?: Partial<KimiWebOptions>) {
    const { droppedMessages } = await chat(options).ask(messages);
    const text = (await seen()).ajax.at(-1)?.seen;
    return { text, dropped: droppedMessages };
  }

  test("is a lone user message as it is", async () => {
    expect(await sent([message("user", "What is\nPHP?")])).toEqual({ text: "What is\nPHP?", dropped: 0 });
  });

  test("has leading system and developer texts first and then the labelled turns in order", async () => {
    const { text } = await sent([
      message("system", "Be brief."),
      message("developer", "Be kind."),
      message("user", "One"),
      message("assistant", "Two"),
      message("tool", "22 C"),
      message("user", "Three"),
    ]);
    const order = [
      "System: Be brief.",
      "Be kind.",
      "User: One",
      "Assistant: Two",
      "Tool: 22 C",
      "User: Three",
    ];
    const places = order.map((part) => text?.indexOf(part) ?? -1);
    expect(places).toEqual([...places].sort((a, b) => a - b));
    expect(places[0]).toBe(0);
    expect(text).toEndWith("User: Three");
  });

  test("ends with a trailing assistant message when the client sends one", async () => {
    const { text } = await sent([message("user", "Count"), message("assistant", "One, two,")]);
    expect(text).toBe("User: Count\nAssistant: One, two,");
  });

  test("has the operator's labels", async () => {
    const { text } = await sent([message("user", "一"), message("assistant", "二"), message("user", "三")], {
      labels: { system: "系统: ", user: "用户: ", assistant: "模型: ", tool: "工具: " },
    });
    expect(text).toStartWith("用户: 一");
    expect(text).toContain("模型: 二");
    expect(text).toEndWith("用户: 三");
  });

  test.each(["a", "世", "😀", "👨‍👩‍👧‍👦"])(
    "may have 1000 code points and no more, counted in %s",
    async (character) => {
      const size = [...character].length;
      const fitting = character
        .repeat(Math.floor(1000 / size))
        .padEnd(character.length * Math.floor(1000 / size) + (1000 % size), "x");
      const { ask, failure } = chat();
      expect((await ask(fitting)).text).toContain("chars=1000 ");
      const error = await failure(`${fitting}x`);
      expect(error).toMatchObject({ code: "context_length_exceeded", status: 400, param: "messages" });
      expect(error.message).toContain("1000");
      expect(error.message).toContain("1001");
      expect((await seen()).messages).toBe(1);
    },
  );

  test("loses its oldest turns first where whole ones are dropped, each question with its reply, and never the system text", async () => {
    const turns = Array.from({ length: 20 }, (_, index) => [
      message("user", `question ${index} ${"世".repeat(50)}`),
      message("assistant", `reply ${index} ${"😀".repeat(50)}`),
    ]).flat();
    const { text, dropped } = await sent(
      [message("system", "Be brief."), ...turns, message("user", "The newest one")],
      { overflow: "drop" },
    );
    expect(text).toStartWith("System: Be brief.");
    expect(text).toEndWith("User: The newest one");
    expect([...(text ?? "")].length).toBeLessThanOrEqual(1000);
    expect(dropped).toBeGreaterThan(0);
    expect(dropped % 2).toBe(0);
    const kept = [...(text ?? "").matchAll(/(question|reply) (\d+) /g)].map(
      ([, kind, index]) => `${kind} ${index}`,
    );
    expect(kept).toHaveLength(turns.length - dropped);
    expect(kept).toEqual(
      Array.from({ length: kept.length / 2 }, (_, index) => 20 - kept.length / 2 + index).flatMap((index) => [
        `question ${index}`,
        `reply ${index}`,
      ]),
    );
    // The next older turn would not have fitted.
    expect([...(text ?? "")].length).toBeGreaterThan(1000 - 2 * 80);
  });

  test("has long replies shortened before any question is lost, and never more than the limit", async () => {
    const turns = Array.from({ length: 4 }, (_, index) => [
      message("user", `question ${index} 世`),
      message("assistant", `reply ${index} ${"😀".repeat(1200)}`),
    ]).flat();
    const { text: seenText, dropped } = await sent([...turns, message("user", "The newest one")]);
    const text = seenText ?? "";
    expect(dropped).toBe(0);
    for (let index = 0; index < 4; index += 1) {
      expect(text).toContain(`User: question ${index} 世\nAssistant: reply ${index} 😀`);
    }
    expect([...text].length).toBeLessThanOrEqual(1000);
  });

  test("is shortened, not refused, when system text and newest message together are too long", async () => {
    const { text } = await sent([
      message("system", "s".repeat(600)),
      message("user", "old"),
      message("user", "u".repeat(600)),
    ]);
    expect(text).toEndWith(`\nUser: ${"u".repeat(600)}`);
    expect(text).toStartWith("System: sss");
    expect([...(text ?? "")].length).toBeLessThanOrEqual(1000);
  });

  test("is refused with both numbers when the newest message is too long by itself", async () => {
    const error = await chat().failure([message("user", "old"), message("user", "u".repeat(1200))]);
    expect(error.code).toBe("context_length_exceeded");
    expect(error.message).toMatch(/\b1200\b.*\b1000\b/);
    await expectTraffic({ messages: 0, fetches: 0 });
  });

  test("leaves a line with its sizes in the debug log", async () => {
    const asked = chat();
    await asked.ask([message("system", "Be brief."), message("user", "One"), message("user", "Two")]);
    const lines = asked
      .logged()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines.find(({ event }) => event === "prompt.built")).toMatchObject({
      system: 18,
      history: 10,
      newest: 10,
      maxChars: 1000,
      droppedMessages: 0,
      shortenedMessages: 0,
    });
  });
});

describe("text that was written with look-alikes", () => {
  const code = "if (a<b) { print('100%25'); }";

  test("comes back as it went", async () => {
    expect((await chat().ask(code)).text).toStartWith(`You said: ${code}\n`);
  });

  test("stays in a reply where the client's own text has such a look-alike", async () => {
    const { text } = await chat().ask("a＜b and a<c, 100％25 but not %25 %26");
    expect(text).toStartWith("You said: a＜b and a＜c, 100％25 but not ％25 ％26\n");
  });

  test("is turned back for each kind apart", async () => {
    expect((await chat().ask("a<b ％25 %26")).text).toStartWith("You said: a<b ％25 ％26\n");
  });

  test("stays where nothing was written with look-alikes", async () => {
    expect((await chat().ask("plain ＜ and ％25")).text).toStartWith("You said: plain ＜ and ％25\n");
  });
});

describe("text that WordPress would eat", () => {
  const texts = [
    'if (a<b && c>d) { printf("%25d\\n", x%20); }',
    "<!doctype html>\n<div class=\"a\">Hi <b>there</b></div>\n<script>alert('1 < 2')</script>",
    "#include <stdio.h>\nint main(void) { return 1<<3 > 2; }",
    "a lone < and a <b without end & an &amp; entity",
    "https://example.com/a%20b%2Fc?d=100%25#%E4%B8%96 50% off, 5 % of %zz %2",
    "<?php echo '<!-- x -->'; ?> <style>a{}</style> Vec<Vec<u8>> <- -> <= >= <> </",
    "%%2525 %2%2525 nested octets",
    "emoji 👨‍👩‍👧‍👦 世界 ＜already＞ ％25 “quotes” it's \\o/",
  ];
  const lookAlikes = (text: string) => text.replaceAll("＜", "<").replaceAll("％", "%").replaceAll("＞", ">");

  test.each(texts)("reaches the model whole through sanitize_textarea_field: %j", async (text) => {
    await site.set({ sanitize: "textarea" });
    await chat().ask(text);
    const [row] = (await seen()).ajax;
    expect(row?.seen).toBe(row?.message ?? "");
    expect(lookAlikes(row?.seen ?? "")).toBe(lookAlikes(text));
    expect(row?.chars).toBe([...text].length);
  });

  test.each(texts)(
    "reaches the model through sanitize_text_field, but for its line breaks: %j",
    async (text) => {
      await site.set({ sanitize: "text" });
      await chat().ask(text);
      const [row] = (await seen()).ajax;
      expect(lookAlikes(row?.seen ?? "")).toBe(lookAlikes(text).replace(/[\r\n\t ]+/g, " "));
    },
  );

  test("is left alone where nothing would be eaten", async () => {
    const text = "5 > 4, 100% sure, a -> b, 50 % off & \"more\" 'things' \\ back";
    await chat().ask(text);
    expect((await seen()).ajax[0]).toMatchObject({ message: text, seen: text });
  });

  test("still fits the budget", async () => {
    const text = "a<b>%20".repeat(142).padEnd(1000, "<");
    await site.set({ sanitize: "textarea" });
    expect((await chat().ask(text)).text).toContain("chars=1000 ");
  });

  test("is protected in every message of a history, and its labels stay", async () => {
    await chat().ask([
      message("system", "Use <b>."),
      message("user", "<i>1</i>"),
      message("assistant", "%20"),
      message("user", "done"),
    ]);
    const [row] = (await seen()).ajax;
    expect(row?.seen).toBe(row?.message ?? "");
    expect(lookAlikes(row?.seen ?? "")).toContain("Use <b>.");
  });

  test("survives a lone surrogate, which is no UTF-8", async () => {
    await chat().ask("broken \ud83d emoji");
    expect((await seen()).ajax[0]?.seen).toBe("broken \ufffd emoji");
  });

  test("is eaten when the operator wants it as it is", async () => {
    await chat({ safeText: false }).ask("a <b>bold</b> 100%25 claim");
    expect((await seen()).ajax[0]).toMatchObject({
      message: "a <b>bold</b> 100%25 claim",
      seen: "a bold 100 claim",
    });
  });
});
