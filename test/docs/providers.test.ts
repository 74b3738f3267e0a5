/** The provider on docs/providers.md is what the page says: whole, short, well-typed and fit for use. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Provider } from "../../core/types.ts";
import { type HangingCall, providerContract } from "../contracts/provider.ts";
import { typeErrors } from "../support/type-check.ts";

const root = join(import.meta.dir, "../..");
const page = readFileSync(join(root, "docs/providers.md"), "utf8");
const [, example = ""] = /```ts ollama\.ts\n(.*?)```/s.exec(page) ?? [];

const folder = mkdtempSync(join(tmpdir(), "docs-providers-"));
afterAll(() => rmSync(folder, { recursive: true }));
const file = join(folder, "ollama.ts");
writeFileSync(file, example.replace('"kimi-ai-2api"', JSON.stringify(join(root, "handler.ts"))));

test("fits on one screen", () => {
  const lines = example.trimEnd().split("\n");
  expect(lines.length).toBeGreaterThan(10);
  expect(lines.length).toBeLessThan(40);
});

test("is well-typed without any platform's types", () => {
  expect(typeErrors({ files: { "ollama.ts": example }, withoutPlatform: true })).toBe("");
});

test("the other programs of the page are well-typed beside it", () => {
  const [openAiCompatible = "", createHandler = ""] = [...page.matchAll(/```ts\n(.*?)```/gs)].map(
    ([, code = ""]) => code,
  );
  const files = { "ollama.ts": example, "moonshot.ts": openAiCompatible, "handler.ts": createHandler };
  expect(typeErrors({ files })).toBe("");
});

providerContract("the one on docs/providers.md", async () => {
  type Mode = "answer" | "fail" | "hang" | "begin and hang";
  let mode: Mode = "answer";
  let arrive = (_released: Promise<void>) => {};
  const line = (content: string, more: object = {}) =>
    `${JSON.stringify({ model: "echo", message: { role: "assistant", content }, done: false, ...more })}\n`;

  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      const asked = mode;
      mode = "answer";
      const { messages } = (await request.json()) as { messages: { content: string }[] };
      arrive(new Promise((resolve) => request.signal.addEventListener("abort", () => resolve())));
      if (asked === "fail") return new Response("out of order", { status: 500 });
      if (asked === "hang") return new Promise<Response>(() => {});
      const text = `You said: ${messages.at(-1)?.content}`;
      const pieces = [...Array.from(text, (character) => line(character)), line("", { done_reason: "stop" })];
      return new Response(
        new ReadableStream({
          start(controller) {
            if (asked === "begin and hang") return controller.enqueue(line("Hi"));
            for (const piece of pieces) controller.enqueue(piece);
            controller.close();
          },
        }),
      );
    },
  });
  const { ollama }: { ollama: (baseUrl: string, model: string) => Provider } = await import(file);
  return {
    provider: ollama(server.url.origin, "echo"),
    hangNext(when): HangingCall {
      mode = when === "before the first event" ? "hang" : "begin and hang";
      const reached = new Promise<{ released: Promise<void> }>((resolve) => {
        arrive = (released) => resolve({ released });
      });
      return { reached, released: reached.then(({ released }) => released) };
    },
    failNext() {
      mode = "fail";
    },
    close: () => server.stop(true),
  };
});
