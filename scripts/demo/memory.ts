/**
 * How much of a chat the site still knows: 50 chats of six turns each, made up but of the lengths of real ones, are held
 * through the gateway, and the last turn's prompt is searched for a word that was said five turns before.
 */
import { parseConfig } from "../../core/config/config.ts";
import { createHandler } from "../../handler.ts";
import { startChatSite } from "../../test/fakes/chat-site.ts";

interface Kind {
  readonly name: string;
  readonly systemChars: number;
  /** The least and the most characters. */
  readonly question: readonly [number, number];
  readonly reply: readonly [number, number];
}

/** Ten chats of each. */
const kinds: readonly Kind[] = [
  { name: "small talk", systemChars: 0, question: [20, 80], reply: [80, 300] },
  { name: "questions and answers", systemChars: 120, question: [30, 120], reply: [700, 850] },
  { name: "code", systemChars: 200, question: [60, 250], reply: [900, 1500] },
  { name: "stories", systemChars: 0, question: [40, 160], reply: [700, 1500] },
  { name: "a character of 6,163 characters", systemChars: 6163, question: [40, 200], reply: [500, 1200] },
];
const chatsOfKind = 10;
const turns = 6;

/** The same numbers in each run. */
function createRandom(seed: number): (least: number, most: number) => number {
  let state = seed;
  return (least, most) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return least + Math.floor((state / 2 ** 32) * (most - least + 1));
  };
}

const vocabulary =
  "the river runs past old houses and nobody in town can say who built them or why they stand so close to water".split(
    " ",
  );

const filler = (chars: number, random: ReturnType<typeof createRandom>): string => {
  let text = "";
  while (text.length < chars) text += `${vocabulary[random(0, vocabulary.length - 1)]} `;
  return text.slice(0, chars).trim();
};

interface Knowledge {
  readonly name: string;
  readonly chats: number;
  /** Chats whose last turn was answered. */
  answered: number;
  /** Chats whose last prompt has the word of the user's first question. */
  askedWord: number;
  /** Chats whose last prompt has the word at the beginning of the first reply. */
  repliedWord: number;
}

/** Holds the chats with the settings given. */
export async function measureMemory(settings: Readonly<Record<string, string>>): Promise<Knowledge[]> {
  let reply = "";
  let prompt = "";
  const site = startChatSite({
    reply: (message) => {
      prompt = message;
      return reply;
    },
  });
  const config = parseConfig({
    CHAT_PAGE_URL: site.pageUrl,
    UPSTREAM_URL: site.ajaxUrl,
    LOG_LEVEL: "silent",
    ...settings,
  });
  const handler = createHandler({ config });
  const ask = async (messages: readonly unknown[]) => {
    const body = JSON.stringify({ messages });
    const request = new Request("http://127.0.0.1/v1/chat/completions", { method: "POST", body });
    const response = await handler.fetch(request);
    await response.text();
    return response.ok;
  };

  const results: Knowledge[] = [];
  for (const [place, { name, systemChars, question, reply: replyChars }] of kinds.entries()) {
    const known: Knowledge = { name, chats: chatsOfKind, answered: 0, askedWord: 0, repliedWord: 0 };
    for (let chat = 0; chat < chatsOfKind; chat++) {
      const random = createRandom(1000 * place + chat + 1);
      const asked = `quartz${place}x${chat}`;
      const replied = `basalt${place}x${chat}`;
      const messages: { readonly role: string; readonly content: string }[] = [];
      if (systemChars > 0) messages.push({ role: "system", content: filler(systemChars, random) });
      let isAnswered = false;
      for (let turn = 0; turn < turns; turn++) {
        const text = filler(random(...question), random);
        messages.push({ role: "user", content: turn === 0 ? `${asked}: ${text}` : text });
        reply = `${turn === 0 ? `${replied} ` : ""}${filler(random(...replyChars), random)}`;
        prompt = "";
        isAnswered = await ask(messages);
        messages.push({ role: "assistant", content: reply });
      }
      known.answered += Number(isAnswered);
      known.askedWord += Number(prompt.includes(asked));
      known.repliedWord += Number(prompt.includes(replied));
    }
    results.push(known);
  }
  await handler.close();
  await site.stop();
  return results;
}

const total = (results: readonly Knowledge[], key: "answered" | "askedWord" | "repliedWord"): number =>
  results.reduce((sum, result) => sum + result[key], 0);

/** Prints what is known after five more turns, turns dropped as a whole and replies shortened first. */
export async function printMemory(): Promise<void> {
  console.log("Chats (of 50) that still know a word said five turns ago:\n");
  for (const overflow of ["drop", "shorten"]) {
    const results = await measureMemory({ CONTEXT_OVERFLOW: overflow });
    console.log(`CONTEXT_OVERFLOW=${overflow}`);
    for (const { name, chats, answered, askedWord, repliedWord } of results) {
      console.log(
        `  ${name}: the user's ${askedWord}, a reply's ${repliedWord} (answered ${answered} of ${chats})`,
      );
    }
    console.log(
      `  all: the user's ${total(results, "askedWord")}, a reply's ${total(results, "repliedWord")} ` +
        `(answered ${total(results, "answered")} of ${kinds.length * chatsOfKind})\n`,
    );
  }
}
