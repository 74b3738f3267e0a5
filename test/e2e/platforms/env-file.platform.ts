import { afterAll, expect, test } from "bun:test";
import { mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startServer } from "../../support/start-server.ts";
import { built, deno, root, toolPath } from "./support/built.ts";

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

test.each([
  { nodeEnv: {}, own: "development", other: "production" },
  { nodeEnv: { NODE_ENV: "" }, own: "development", other: "production" },
  { nodeEnv: { NODE_ENV: "production" }, own: "production", other: "development" },
])("`npm start` reads the files that Bun reads of itself, those of $own among them", async (each) => {
  const { nodeEnv, own, other } = each;
  const started = await mkdtemp(join(folder, own));
  for (const name of ["adapters", "core", "handler.ts", "node_modules", "package.json"]) {
    await symlink(join(root, name), join(started, name));
  }
  const write = (file: string, settings: readonly string[]) =>
    Bun.write(join(started, file), settings.map((name) => `${name}=${file}\n`).join(""));
  // Each wins over those before it.
  await write(".env", ["API_MASTER_KEY", "DESCRIPTION", "APP_VERSION", "APP_NAME"]);
  await write(`.env.${own}`, ["DESCRIPTION", "APP_VERSION", "APP_NAME"]);
  await write(".env.local", ["APP_VERSION", "APP_NAME"]);
  await write(`.env.${own}.local`, ["APP_NAME"]);
  await write(`.env.${other}`, ["DESCRIPTION"]);

  const commands = { "npm start": ["npm", "start"], bun: [process.execPath, "adapters/bun.ts"] } as const;
  for (const [name, command] of Object.entries(commands)) {
    const server = await startServer({
      command,
      isLauncher: name === "npm start",
      cwd: started,
      env: { PATH: toolPath, ...nodeEnv },
    });
    expect(await (await fetch(server.url)).json()).toMatchObject({
      description: `.env.${own}`,
      version: ".env.local",
      name: `.env.${own}.local`,
    });
    const withKey = { headers: { authorization: "Bearer .env" } };
    expect((await fetch(`${server.url}/v1/models`)).status).toBe(401);
    expect((await fetch(`${server.url}/v1/models`, withKey)).status).toBe(200);
    await server.stop();
  }
});
