/** Messages and system texts that are too long by themselves, and what a conversation keeps of what no longer fits. */
import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import { startChatSite } from "../fakes/chat-site.ts";
import { fakeClock } from "../fakes/fake-clock.ts";
import { siteControl } from "../fakes/site-control.ts";
import { testHandler } from "../support/test-handler.ts";
import { until } from "../support/until.ts";

/** A model that condenses by keeping the beginning, and otherwise says how much it has read. */
const reply = (message: string): string => {
  const [, size, piece = ""] = /^Condense to at most (\d+) [^\n]*\n\n(.*)$/s.exec(message) ?? [];
  return size === undefined
    ? `I have read ${[...message].length} characters.`
    : piece.trim().slice(0, Number(size));
};

const site = startChatSite({ reply });
const control = siteControl(site.url);
afterAll(() => site.stop());
beforeEach(() => control.reset());

const gateway = (env: Record<string, string> = {}) =>
  testHandler(
    { CHAT_PAGE_URL: site.pageUrl, UPSTREAM_URL: site.ajaxUrl, ...env },
    { providers: undefined as never, clock: fakeClock(Date.now()) },
  );

const condensing = (env: Record<string, string> = {}) => gateway({ LONG_INPUT: "condense", ...env });

const seen = async () => (await control.log()).ajax.map(({ seen: text }) => text ?? "");
const isRequest = (text: string) => text.startsWith("Condense to at most ");

const card = { role: "system", content: "Ann is a pilot. ".repeat(386).slice(0, 6163) };
const user = (content: string) => ({ role: "user", content });
const assistant = (content: string) => ({ role: "assistant", content });

describe("a newest message that is too long by itself", () => {
  const long = { messages: [user("Tell me what this is about. ".repeat(60).trim())] };

  test("is refused by default, before any call, with the ways out", async () => {
    const response = await gateway().chat(long);
    expect(response.status).toBe(400);
    const { error } = await response.json();
    expect(error.code).toBe("context_length_exceeded");
    expect(error.message).toMatch(/1679 characters.*1000.*LONG_INPUT.*MODEL_FALLBACKS/);
    expect(await seen()).toEqual([]);
  });

  test("is sent with a mark for what is missing where LONG_INPUT is shorten", async () => {
    const response = await gateway({ LONG_INPUT: "shorten" }).chat(long);
    expect(response.headers.get("x-context-shortened-messages")).toBe("1");
    const [text = ""] = await seen();
    expect([...text]).toHaveLength(1000);
    expect(text).toMatch(/ \[… \d+ characters left out …\] /);
  });

  test("is condensed by the model where LONG_INPUT is condense, and usage counts all calls", async () => {
    const { chat, records } = condensing();
    const response = await chat(long);
    expect(response.status).toBe(200);
    expect(response.headers.get("x-context-condensed")).toMatch(/^1679>\d+; calls=2$/);
    const texts = await seen();
    expect(texts.filter(isRequest)).toHaveLength(2);
    expect(texts.at(-1)).toStartWith("[condensed from 1679 characters] Tell me what this is about.");
    for (const text of texts) expect([...text].length).toBeLessThanOrEqual(1000);
    const { usage } = await response.json();
    expect(usage.prompt_tokens).toBeGreaterThan(400);
    expect(records[0]).toMatchObject({ attempts: 3, droppedMessages: 0, shortenedMessages: 0 });
  });

  test("is refused before any call where that takes more than LONG_INPUT_MAX_CALLS", async () => {
    const { chat } = condensing({ LONG_INPUT_MAX_CALLS: "2" });
    const response = await chat({ messages: [user("x ".repeat(1500))] });
    expect(response.status).toBe(400);
    expect((await response.json()).error.message).toMatch(
      /3000 characters.*1000.*2 calls.*LONG_INPUT_MAX_CALLS/,
    );
    expect(await seen()).toEqual([]);
  });

  test("is shortened where a call fails, which a header says", async () => {
    const { chat, log } = condensing();
    const text = `${"begin ".repeat(150)} [[sim:error]] ${"end ".repeat(250)}.`;
    const response = await chat({ messages: [user(text)] });
    expect(response.status).toBe(200);
    expect(response.headers.get("x-context-condensed")).toMatch(/^\d+>0; calls=\d; failed$/);
    expect(response.headers.get("x-context-shortened-messages")).toBe("1");
    expect((await seen()).at(-1)).toMatch(/^begin .* characters left out …\] .*end \.$/s);
    expect(log.lines.find(({ event }) => event === "condensing.failed")).toBeDefined();
  });
});

describe("a long character card", () => {
  const body = { messages: [card, assistant("Welcome aboard!"), user("Hello")] };

  test("is condensed once, within half of the limit, and then known", async () => {
    const { chat } = condensing();
    const first = await chat(body);
    expect(first.headers.get("x-context-condensed")).toMatch(/^6163>\d+; calls=[78]$/);
    const [prompt = ""] = (await seen()).filter((text) => !isRequest(text));
    expect(prompt).toStartWith("System: [condensed from 6163 characters] Ann is a pilot.");
    expect(prompt).toEndWith("\nAssistant: Welcome aboard!\nUser: Hello");
    expect([...(prompt.split("\nAssistant: ")[0] ?? "")].length).toBeLessThanOrEqual(500);

    const later = [...body.messages, assistant("Hi! ".repeat(200)), user("And now?")];
    const second = await chat({ messages: later });
    expect(second.headers.get("x-context-condensed")).toMatch(/^6163>\d+; calls=0$/);
    expect((await seen()).filter((text) => !isRequest(text)).at(-1)).toContain(
      "[condensed from 6163 characters]",
    );
  });

  test("is shortened where it takes more calls than there may be: it never ends a chat", async () => {
    const { chat } = condensing({ LONG_INPUT_MAX_CALLS: "3" });
    const response = await chat(body);
    expect(response.status).toBe(200);
    expect(response.headers.get("x-context-condensed")).toBeNull();
    expect((await seen())[0]).toMatch(/^System: Ann is a pilot\. .* characters left out …\] /);
  });

  test("goes as it is where all fits", async () => {
    const { chat } = condensing();
    const response = await chat({
      messages: [{ ...card, content: card.content.slice(0, 700) }, user("Hello")],
    });
    expect(response.headers.get("x-context-condensed")).toBeNull();
    expect(await seen()).toHaveLength(1);
  });
});

describe("the running summary of a conversation", () => {
  const headers = { "x-session-id": "trip" };
  const say = async (chat: ReturnType<typeof gateway>["chat"], content: string, stream = false) => {
    const response = await chat({ messages: [user(content)], stream }, { headers });
    expect(response.status).toBe(200);
    await response.text();
  };
  const fill = "We talked about many things on the way. ".repeat(20);

  test.each([false, true])(
    "is made after the answer, and told in the next turn (stream: %p)",
    async (stream) => {
      const clock = fakeClock(Date.now());
      const waited: Promise<unknown>[] = [];
      const { handler } = testHandler(
        { CHAT_PAGE_URL: site.pageUrl, UPSTREAM_URL: site.ajaxUrl, LONG_INPUT: "condense" },
        { providers: undefined as never, clock },
      );
      const chat = (body: unknown, init: RequestInit = {}) =>
        handler.fetch(
          new Request("http://127.0.0.1:8088/v1/chat/completions", {
            method: "POST",
            body: JSON.stringify(body),
            ...init,
          }),
          { waitUntil: (task) => void waited.push(task) },
        );
      await say(chat, `My name is Ann. ${fill}`, stream);
      await say(chat, `We fly to Rome. ${fill}`, stream);
      // Nothing is asked before the answer has gone out.
      expect((await seen()).filter(isRequest)).toEqual([]);
      await clock.advance(0);
      await until(async () => (await seen()).some(isRequest));
      await Promise.all(waited);
      await say(chat, "What is my name?", stream);
      expect((await seen()).filter((text) => !isRequest(text)).at(-1)).toContain(
        "Summary of what was said before: User: My name is Ann.",
      );
    },
  );

  test("is not made for chats that the gateway does not keep, nor unless LONG_INPUT is condense", async () => {
    for (const { chat } of [condensing(), gateway()]) {
      const messages = [user(`One. ${fill}`), assistant(fill), user("Two?")];
      await chat({ messages });
      await chat({ messages }, { headers: { "x-session-id": crypto.randomUUID() } });
    }
    const { chat } = gateway();
    await say(chat, `One. ${fill}`);
    await say(chat, `Two. ${fill}`);
    expect((await seen()).filter(isRequest)).toEqual([]);
  });

  test("that fails is logged, and harms nothing", async () => {
    const clock = fakeClock(Date.now());
    const { chat, log } = testHandler(
      { CHAT_PAGE_URL: site.pageUrl, UPSTREAM_URL: site.ajaxUrl, LONG_INPUT: "condense" },
      { providers: undefined as never, clock },
    );
    await say(chat, `One. ${fill}`);
    await say(chat, `Two. ${fill}`);
    await control.set({ ajax: "error" });
    await clock.advance(0);
    await until(async () => log.lines.some(({ event }) => event === "summary.failed"));
    await control.set({ ajax: "ok" });
    await say(chat, "Three?");
    expect((await seen()).at(-1)).toEndWith("\nUser: Three?");
  });
});
