/** The instructions of the Connect tab and of docs/clients/: those that can be run are, and all hold what was chosen. */
import { afterAll, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { createHandler, parseConfig } from "../../handler.ts";
import { recipes } from "../../web/connect/recipes.ts";
import { recordingLogger } from "../fakes/recording-logger.ts";
import { scriptedProvider } from "../fakes/scripted-provider.ts";
import { watching } from "../support/watch-answers.ts";

const root = join(import.meta.dir, "../..");
const key = "sk-'quoted\"";
const model = 'it\'s a "model"';
const handler = createHandler({
  config: parseConfig({ API_MASTER_KEY: key }),
  providers: [scriptedProvider({ models: [{ id: model, createdAt: 0 }] })],
  log: recordingLogger(),
});
const answer = watching(handler.fetch);
const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: (request) => answer(request) });
const address = server.url.href.replace(/\/$/, "");
const folder = await mkdtemp(join(root, "test/recipes-"));

afterAll(async () => {
  await server.stop(true);
  await rm(folder, { recursive: true });
});

const codeOf = (id: string): string =>
  recipes
    .find((recipe) => recipe.id === id)
    ?.snippets({ address, key, model, hasKey: true })
    .at(-1)?.code ?? "";

const outputOf = async (...command: string[]): Promise<string> => {
  const child = Bun.spawn(command, { stdout: "pipe", stderr: "pipe" });
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return (await child.exited) === 0 ? out : out + err;
};

test("curl's command streams an answer, whatever characters key and model have", async () => {
  const output = await outputOf("sh", "-c", codeOf("curl"));
  expect(output).toContain('"content":"Hello');
  expect(output).toContain("data: [DONE]");
});

test.each(["javascript", "ai-sdk"])("the program of %s prints an answer", async (id) => {
  const file = join(folder, `${id}.mjs`);
  await Bun.write(file, codeOf(id));
  expect(await outputOf(process.execPath, file)).toBe("Hello there");
});

test.each(recipes)("what $name needs holds address and key, and has a page", ({ id, name, snippets }) => {
  const texts = snippets({ address: "https://chat.example", key: "sk-x", model: "kimi", hasKey: true })
    .map(({ code }) => code)
    .join("\n");
  expect(texts).toContain("https://chat.example");
  expect(texts).toContain("sk-x");
  expect(existsSync(join(root, `docs/clients/${id}.md`))).toBe(true);
  expect(name).not.toBe("");
});
