/**
 * A short conversation without any network: the stand-in of the chat site, the gateway before it, and the official
 * `openai` package as the client. Both servers stay until Ctrl-C; with `--once` they end with the conversation.
 *
 *     npm run demo
 *
 * With `--memory` it measures instead how much of longer chats the site still knows: docs/limits.md has the figures.
 *
 *     npm run demo -- --memory
 */
import OpenAI from "openai";
import { parseConfig } from "../core/config/config.ts";
import { createHandler } from "../handler.ts";
import { startChatSite } from "../test/fakes/chat-site.ts";
import { printMemory } from "./demo/memory.ts";

if (process.argv.includes("--memory")) {
  await printMemory();
  process.exit();
}

/** What the stand-in says; like the real site it knows nothing but the one text that it is sent. */
function reply(message: string): string {
  const asked = [...message.matchAll(/^User: (.*)$/gm)].map(([, text]) => text);
  switch (asked.length) {
    case 0:
      return `You said: “${message}”. I am no model, only a stand-in of the chat site with a few prepared sentences. 🙂`;
    case 2:
      return `You first said: “${asked[0]}”. The gateway put our conversation into one text, or I could not know that.`;
    default:
      return `That was text number ${asked.length} of yours. 再见 👋🏽`;
  }
}

const model = "kimi-k2-instruct-0905";
const questions = ["Hello! Who are you?", "Do you remember what I said first?", "Thank you, that is all."];

const site = startChatSite({ reply, delayMs: 300 });
const config = parseConfig({
  PORT: process.env.PORT ?? "0",
  CHAT_PAGE_URL: site.pageUrl,
  UPSTREAM_URL: site.ajaxUrl,
  STREAM_DELAY_MS: process.env.STREAM_DELAY_MS ?? "20",
  LOG_LEVEL: "warn",
});
const handler = createHandler({ config });
const gateway = Bun.serve({
  hostname: config.hostname,
  port: config.port,
  idleTimeout: 0,
  fetch: (request) => handler.fetch(request),
});

// Site and gateway live in this process, so they end with it, in the middle of a sentence too.
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    console.log("\nBoth have ended.");
    process.exit();
  });
}

const baseURL = `${gateway.url.href}v1`;
console.log(`stand-in chat site  ${site.pageUrl}\ngateway             ${baseURL}\n`);

const client = new OpenAI({ baseURL, apiKey: "none" });
const messages: OpenAI.ChatCompletionMessageParam[] = [];
for (const content of questions) {
  console.log(`you   ${content}`);
  messages.push({ role: "user", content });
  const stream = await client.chat.completions.create({ model, messages, stream: true });
  let answer = "";
  process.stdout.write("kimi  ");
  for await (const chunk of stream) {
    const text = chunk.choices[0]?.delta.content ?? "";
    process.stdout.write(text);
    answer += text;
  }
  console.log("\n");
  messages.push({ role: "assistant", content: answer });
}

if (process.argv.includes("--once")) process.exit();

console.log(`Your turn:
  curl -N ${baseURL}/chat/completions -H "Content-Type: application/json" \\
    -d '{"messages":[{"role":"user","content":"Hi!"}],"stream":true}'

Ctrl-C ends both.`);
