import { afterAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { gatewayContract } from "../../contracts/gateway.ts";
import { hasRedis, redisServer } from "../../support/redis-server.ts";
import { startServer } from "../../support/start-server.ts";
import { copyOfSources, root, run, toolPath } from "./support/built.ts";
import { rememberTogether } from "./support/remember-together.ts";
import { restStore } from "./support/rest-store.ts";
import { alwaysExposed, endsAtOnce } from "./support/skips.ts";
import { missingTools, newestNode, tool } from "./support/tools.ts";

const environment = { PATH: toolPath, VERCEL_TELEMETRY_DISABLED: "1", CI: "1" };
const folders: string[] = [];

afterAll(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

const readJson = (path: string) => Bun.file(path).json();

/** Has `vercel build` make its output in a copy of the sources, changed by `edit`; resolves to the copy. */
async function buildCopy(edit: (sources: string) => unknown = () => {}): Promise<string> {
  const sources = await copyOfSources("vercel");
  await edit(sources);
  // Who runs `vercel link` gets this file; without it the tool asks.
  const project = { projectId: "prj_local", orgId: "team_local", settings: { framework: null } };
  await Bun.write(join(sources, ".vercel/project.json"), JSON.stringify(project));
  await run([...tool("vercel"), "build", "--yes", "--token", "none"], { cwd: sources, env: environment });
  return sources;
}

/** What `vercel build` makes, away from the sources and their node_modules. */
async function build(): Promise<string> {
  const sources = await buildCopy();
  const folder = await mkdtemp(join(tmpdir(), "kimi-ai-2api-output-"));
  folders.push(sources, folder);
  await cp(join(sources, ".vercel/output"), join(folder, "output"), { recursive: true });
  await rm(sources, { recursive: true });
  await mkdir(join(folder, "host"));
  await cp(join(root, "test/e2e/platforms/hosts/vercel-output.mjs"), join(folder, "host/vercel-output.mjs"));
  await cp(join(root, "node_modules/srvx"), join(folder, "host/node_modules/srvx"), { recursive: true });
  return folder;
}

if (missingTools !== undefined) {
  test.skip(`the gateway on Vercel (skipped: ${missingTools})`, () => {});
} else {
  const folder = await build();
  const { env: storeEnv, store } = await restStore();
  const output = join(folder, "output");

  describe("what `vercel build` makes", () => {
    test("is one function with streaming, cancellation and a time limit, for every path", async () => {
      const functions = [...new Bun.Glob("**/.vc-config.json").scanSync({ cwd: output, dot: true })];
      expect(functions).toEqual(["functions/api/index.func/.vc-config.json"]);
      expect(await readJson(join(output, functions[0] as string))).toMatchObject({
        runtime: "nodejs24.x",
        maxDuration: 300,
        supportsCancellation: true,
      });
    });

    test("publishes no source", () => {
      expect([...new Bun.Glob("static/**").scanSync({ cwd: output, dot: true })]).toEqual([
        "static/robots.txt",
      ]);
    });

    test("imports no TypeScript", async () => {
      const scanner = new Bun.Transpiler({ loader: "js" });
      const emitted = [
        ...new Bun.Glob("functions/api/index.func/{api,adapters,core}/**/*.js").scanSync(output),
      ];
      expect(emitted.length).toBeGreaterThan(10);
      for (const file of emitted) {
        const imports = scanner.scanImports(await Bun.file(join(output, file)).text());
        expect(imports.filter(({ path }) => path.endsWith(".ts"))).toEqual([]);
      }
    });
  });

  for (const [name, runtime] of [
    ["Node", newestNode],
    ["Bun", process.execPath],
  ] as const) {
    gatewayContract(`Vercel's ${name} runtime`, {
      start: (env) =>
        startServer({
          command: [runtime, "host/vercel-output.mjs", "output"],
          cwd: folder,
          env: { ...storeEnv, ...env },
        }),
      store,
      skips: { ...alwaysExposed, ...endsAtOnce },
    });
  }

  for (const runtime of [newestNode, process.execPath]) {
    test.skipIf(!hasRedis())(
      `REDIS_URL alone has conversations in Redis, in ${basename(runtime)}`,
      async () => {
        await using redis = await redisServer();
        const command = [runtime, "host/vercel-output.mjs", "output"] as const;
        await rememberTogether("redis", (env) =>
          startServer({ command, cwd: folder, env: { ...env, REDIS_URL: redis.url } }),
        );
      },
    );
  }

  test("Bun is chosen as the docs say", async () => {
    const sources = await buildCopy(async (copy) => {
      const settings = await readJson(join(copy, "vercel.json"));
      await Bun.write(join(copy, "vercel.json"), JSON.stringify({ ...settings, bunVersion: "1.4.x" }));
    });
    folders.push(sources);
    const config = join(sources, ".vercel/output/functions/api/index.func/.vc-config.json");
    expect(await readJson(config)).toMatchObject({ runtime: "bun1.4.x", maxDuration: 300 });
  }, 60_000);

  test("`vercel dev` serves the gateway", async () => {
    const sources = await copyOfSources("vercel-dev");
    folders.push(sources);
    await run([process.execPath, "install", "--production"], { cwd: sources, env: environment });
    const server = await startServer({
      command: [...tool("vercel"), "dev", "--local", "--yes", "--listen", "127.0.0.1:0"] as [
        string,
        ...string[],
      ],
      cwd: sources,
      env: { ...environment, API_MASTER_KEY: "sk-contract" },
      startTimeoutMs: 60_000,
    });
    const models = await fetch(`${server.url}/v1/models`, {
      headers: { authorization: "Bearer sk-contract" },
    });
    expect(models.status).toBe(200);
    expect(await models.json()).toMatchObject({ object: "list" });
    expect(existsSync(join(sources, ".vercel/output"))).toBe(false);
    await server.stop();
  }, 90_000);
}
