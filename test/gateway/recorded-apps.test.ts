/**
 * Requests as chat apps were seen to send them, their texts replaced by others of the same length: SillyTavern 1.19 with its
 * default character, BetterChatGPT 1.0.5.
 */
import { afterAll, beforeEach, expect, test } from "bun:test";
import { startChatSite } from "../fakes/chat-site.ts";
import { siteControl } from "../fakes/site-control.ts";
import { testHandler } from "../support/test-handler.ts";

const site = startChatSite({ reply: "Fine." });
const control = siteControl(site.url);
afterAll(() => site.stop());
beforeEach(() => control.reset());

const gateway = (env: Record<string, string> = {}) =>
  testHandler(
    { CHAT_PAGE_URL: site.pageUrl, UPSTREAM_URL: site.ajaxUrl, ...env },
    { providers: undefined as never },
  );

const filler = (word: string, length: number): string => `${word} `.repeat(length).slice(0, length);
const system = (content: string) => ({ role: "system", content });
const user = (content: unknown) => ({ role: "user", content });
const assistant = (content: string) => ({ role: "assistant", content });

/** The text that the site was sent, by its lines. */
const send = async (messages: readonly unknown[], env: Record<string, string> = {}) => {
  const response = await gateway(env).chat({ messages, stream: true });
  await response.text();
  const { ajax } = await control.log();
  const text = ajax.at(-1)?.seen ?? "";
  expect([...text].length).toBeLessThanOrEqual(1000);
  return { response, lines: text.split("\n") };
};

const start = [
  system("Write Mara's next reply in a fictional chat between Mara and Tom."),
  system(filler("character", 2836)),
  system("[Start a new Chat]"),
  assistant(filler("greeting", 785)),
  user("Where am I? My lantern is called Zephyrine."),
];
const turns = [
  ...start,
  assistant(filler("first", 912)),
  user("Who brought me here?"),
  assistant(filler("second", 1123)),
  user("What is the harbour like?"),
  assistant(filler("third", 1334)),
  user("Tell me about the keeper."),
  assistant(filler("fourth", 745)),
  user("What was my lantern called?"),
];
const questions = turns.flatMap(({ role, content }) => (role === "user" ? [`User: ${content}`] : []));

test("SillyTavern's first message, with a character card and its examples", async () => {
  const { response, lines } = await send([
    ...start.slice(0, 1),
    system(filler("example", 3161)),
    ...start.slice(1),
  ]);
  expect(response.status).toBe(200);
  expect(response.headers.get("x-context-shortened-messages")).toBe("3");
  expect(lines[0]).toBe("System: Write Mara's next reply in a fictional chat between Mara and Tom.");
  expect(lines.at(-1)).toBe("User: Where am I? My lantern is called Zephyrine.");
});

test("SillyTavern's fifth turn still knows what was said in the first", async () => {
  const { lines } = await send(turns);
  expect(lines.filter((line) => line.startsWith("User: "))).toEqual(questions);
  expect(lines.at(-2)).toStartWith("Assistant: fourth ");
});

test("SillyTavern's Continue: its instruction is last and whole, the text to go on with before it", async () => {
  const instruction = "[Continue your last message without repeating its original content.]";
  const { lines } = await send([...turns, assistant(filler("fifth", 956)), system(instruction)]);
  expect(lines.at(-1)).toBe(`System: ${instruction}`);
  expect(lines.at(-2)).toStartWith("Assistant: fifth fifth ");
  expect(lines.at(-2)?.length).toBeGreaterThan(300);
  expect(lines.filter((line) => line.startsWith("User: "))).toEqual(questions);
});

test("SillyTavern's Impersonate: its instruction of two lines is last and whole", async () => {
  const instruction = `[Write your next reply from the point of view of Tom, ${filler("guideline", 160)}.]`;
  const { lines } = await send([...turns, assistant(filler("fifth", 2124)), system(instruction)]);
  expect(lines.at(-1)).toBe(`System: ${instruction}`);
});

test("a picture is refused in words that fit a chat app, and the next text is answered", async () => {
  const picture = user([
    { type: "text", text: "Look at this picture." },
    { type: "image_url", image_url: { url: "data:image/png;base64,AAAA", detail: "auto" } },
  ]);
  const refused = await gateway().chat({ messages: [...turns.slice(0, -1), picture], stream: true });
  expect(refused.status).toBe(400);
  expect((await refused.json()).error.message).toBe(
    "The chat site takes text only: no images. Send the message as text alone.",
  );
  const { response, lines } = await send([...turns.slice(0, -1), picture, user("Never mind.")]);
  expect(response.status).toBe(200);
  expect(lines.slice(-2)).toEqual(["User: Look at this picture. [image]", "User: Never mind."]);
});

test("BetterChatGPT's system text three messages before the end stays there", async () => {
  const prompt = "You are a large language model.";
  const { lines } = await send([
    user("One?"),
    assistant(filler("first", 912)),
    system(prompt),
    user("Two?"),
    assistant(filler("second", 1334)),
    user("Three?"),
  ]);
  expect(lines.map((line) => line.slice(0, 16))).toEqual([
    "User: One?",
    "Assistant: first",
    "System: You are ",
    "User: Two?",
    "Assistant: secon",
    "User: Three?",
  ]);
});

test("BetterChatGPT's request for a title, which has the first reply in it, is written where LONG_INPUT allows it", async () => {
  const title = `Generate a title in less than 6 words for the following message (language: en):\n"""\nUser: Hi\nAssistant: ${filler("reply", 1200)}\n"""`;
  expect((await gateway().chat({ messages: [user(title)] })).status).toBe(400);
  const { response, lines } = await send([user(title)], { LONG_INPUT: "shorten" });
  expect(response.status).toBe(200);
  expect(lines[0]).toStartWith("Generate a title in less than 6 words");
});
