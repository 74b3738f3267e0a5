import { afterAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startServer } from "../support/start-server.ts";
import { built, deno, root } from "./support/built.ts";

const folder = await mkdtemp(join(tmpdir(), "kimi-ai-2api-env-"));
await Bun.write(join(folder, ".env"), 'API_MASTER_KEY="sk-of-the-file" # a comment\nAPP_NAME=of the file\n');

afterAll(() => rm(folder, { recursive: true }));

const commands = {
  Bun: () => [process.execPath, `${root}/adapters/bun.ts`],
  "the compiled program": async () => [await built("program")],
  Deno: () => [deno, "run", "-A", "--config", `${root}/deno.json`, `${root}/adapters/deno.ts`],
  "`deno serve`": () => [
    ...[deno, "serve", "-A", "--config", `${root}/deno.json`],
    ...["--host", "127.0.0.1", "--port", "0", `${root}/handler.ts`],
  ],
  Node: async () => ["node", await built("library")],
};

for (const [name, command] of Object.entries(commands)) {
  test(`${name} reads .env where it is started, and what is set outside wins`, async () => {
    const server = await startServer({
      command: (await command()) as [string, ...string[]],
      cwd: folder,
      env: { APP_NAME: "set outside", DENO_KV_PATH: ":memory:" },
    });
    expect(await (await fetch(server.url)).json()).toMatchObject({ name: "set outside" });
    const withKey = { headers: { authorization: "Bearer sk-of-the-file" } };
    expect((await fetch(`${server.url}/v1/models`)).status).toBe(401);
    expect((await fetch(`${server.url}/v1/models`, withKey)).status).toBe(200);
    await server.stop();
  });
}
