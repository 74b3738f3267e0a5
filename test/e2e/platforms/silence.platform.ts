import { expect, test } from "bun:test";
import { startChatSite } from "../../fakes/chat-site.ts";
import { startServer } from "../../support/start-server.ts";
import { built, deno } from "./support/built.ts";
import { missingTools, workerd } from "./support/tools.ts";

/** Longer than the idle time-outs that servers and their runtimes have by default. */
const silentMs = 30_000;

type Command = readonly [string, ...string[]];

const serveWithDeno: Command = [deno, "serve", "-A", "--host", "127.0.0.1", "--port", "0"];
const commands: Readonly<Record<string, () => Promise<Command> | Command>> = {
  Bun: () => [process.execPath, "--no-env-file", "adapters/bun.ts"],
  "bun dist/handler.js": async () => [process.execPath, "--no-env-file", await built("single-file")],
  Deno: () => [deno, "run", "-A", "adapters/deno.ts"],
  "deno serve handler.ts": () => [...serveWithDeno, "handler.ts"],
  Node: async () => ["node", await built("library")],
  "the compiled program": async () => [await built("program")],
  ...(missingTools === undefined && {
    Workers: async (): Promise<Command> => [...workerd, await built("single-file")],
  }),
};

for (const [name, command] of Object.entries(commands)) {
  test.concurrent(`${name} waits for a site that is silent for half a minute, streaming or not`, async () => {
    const site = startChatSite({ delayMs: silentMs });
    const server = await startServer({
      command: await command(),
      env: {
        CHAT_PAGE_URL: site.pageUrl,
        UPSTREAM_URL: site.ajaxUrl,
        API_MASTER_KEY: "sk-contract",
        DENO_KV_PATH: ":memory:",
        // The site's own default leaves no time for a sign of life before its answer.
        STREAM_COMMIT_MS: "5000",
      },
    });
    const ask = async (stream: boolean) => {
      const response = await fetch(`${server.url}/v1/chat/completions`, {
        method: "POST",
        headers: { authorization: "Bearer sk-contract" },
        body: JSON.stringify({ stream, messages: [{ role: "user", content: "Hello" }] }),
      });
      return response.text();
    };
    const [whole, streamed] = await Promise.all([ask(false), ask(true)]);
    expect(whole).toContain("You said: Hello");
    expect(streamed).toContain("\n: keep-alive\n");
    expect(streamed).toEndWith("data: [DONE]\n\n");
    await server.stop();
    await site.stop();
  }, 90_000);
}
