import { afterAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expectManyCallsAtOnce } from "../../contracts/connection-limit.ts";
import { startServer } from "../../support/start-server.ts";
import { root, run, toolPath } from "./support/built.ts";

const folder = await mkdtemp(join(tmpdir(), "kimi-ai-2api-package-"));
afterAll(() => rm(folder, { recursive: true }));

const env = { PATH: toolPath };
await Bun.write(join(folder, "package.json"), JSON.stringify({ private: true, type: "module" }));
await run(["bun", "scripts/build.ts", "library"], { env });
const packed: { filename: string; files: { path: string }[] }[] = JSON.parse(
  (
    await run([
      "npm",
      "pack",
      "--ignore-scripts",
      "--json",
      "--loglevel=silent",
      "--pack-destination",
      folder,
    ])
  ).trim(),
);
const [tarball] = packed;
await run(["bun", "add", `./${tarball?.filename}`], { cwd: folder, env });

const bin = "node_modules/kimi-ai-2api/dist/lib/adapters/cli.js";

test("the package holds what is built, and nothing else", () => {
  const strangers = tarball?.files
    .map(({ path }) => path)
    .filter((path) => !/^(?:dist\/lib\/.+(?:\.js|\.d\.ts)|dist\/handler(?:-with-pages)?\.js)$/.test(path));
  expect(strangers?.sort()).toEqual([
    ".env.example",
    "LICENSE",
    "README.md",
    "README.zh-CN.md",
    "package.json",
  ]);
});

for (const [name, runtime] of [
  ["npx", "node"],
  ["bunx", process.execPath],
] as const) {
  test(`\`${name} kimi-ai-2api\` starts a server and ends it well`, async () => {
    const server = await startServer({ command: [runtime, bin], cwd: folder, env: {} });
    expect((await fetch(`${server.url}/v1/models`)).status).toBe(200);
    expect(await server.stop()).toBe(0);
  });
}

test.each([
  ["redis", { REDIS_URL: "redis://127.0.0.1:1" }, "redis"],
  ["deno-kv", { DENO_KV_PATH: ":memory:" }, "@deno/kv"],
])("a store that needs an optional package says so at the start: %s", async (store, env, name) => {
  const started = startServer({ command: ["node", bin], cwd: folder, env: { ...env, SESSION_STORE: store } });
  expect(await started.catch((error: Error) => error.message)).toContain(
    `SESSION_STORE=${store}: needs the package ${name} (npm install ${name})`,
  );
});

test("`bunx kimi-ai-2api` has more calls open at once than Bun's own limit", () =>
  expectManyCallsAtOnce({ command: [process.execPath, bin], cwd: folder }));

test("its handler, adapters, stores and providers are imported by name, with types", async () => {
  await Bun.write(
    join(folder, "use.ts"),
    `import { createHandler, type Handler, memoryStore, openAiCompatible, parseConfig } from "kimi-ai-2api";
import vercel from "kimi-ai-2api/adapters/vercel";
const config = parseConfig({ LOG_LEVEL: "silent" });
const provider = openAiCompatible({ name: "local", baseUrl: "http://127.0.0.1:1/v1", models: ["a"] });
const handler: Handler = createHandler({ config, store: memoryStore(), providers: [provider] });
const response: Response = await handler.fetch(new Request("http://127.0.0.1/v1/models"));
console.log((await response.json()).data[0].id, typeof vercel.fetch);
`,
  );
  const compilerOptions = {
    ...{ module: "NodeNext", target: "ES2023", lib: ["ES2023", "DOM", "ESNext.Disposable"], strict: true },
    ...{ outDir: "out", rootDir: ".", types: [] },
  };
  await Bun.write(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["use.ts"] }));
  await run([join(root, "node_modules/.bin/tsc")], { cwd: folder, env });
  expect(await run(["node", "out/use.js"], { cwd: folder })).toBe("a function\n");
});
