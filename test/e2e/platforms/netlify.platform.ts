import { afterAll, describe, expect, test } from "bun:test";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gatewayContract } from "../../contracts/gateway.ts";
import { blobsServer } from "../../fakes/blobs-server.ts";
import { freePort } from "../../support/free-port.ts";
import { hasRedis, redisServer } from "../../support/redis-server.ts";
import { startServer } from "../../support/start-server.ts";
import { acrossProcesses } from "../sessions/across-processes.ts";
import { copyOfSources, root, run, toolPath } from "./support/built.ts";
import { rememberTogether } from "./support/remember-together.ts";
import { restStore } from "./support/rest-store.ts";
import { alwaysExposed, endsAtOnce } from "./support/skips.ts";
import { missingTools, newestNode, tool } from "./support/tools.ts";

const environment = { PATH: toolPath, NETLIFY_TELEMETRY_DISABLED: "1", CI: "1" };
const folders: string[] = [];

afterAll(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

const installed = async (): Promise<string> => {
  const sources = await copyOfSources("netlify");
  folders.push(sources);
  // Netlify installs the packages for development too; of those, the function takes this one.
  const manifest = await Bun.file(join(sources, "package.json")).json();
  const { redis } = manifest.devDependencies;
  manifest.dependencies = { ...manifest.dependencies, redis };
  delete manifest.devDependencies.redis;
  await Bun.write(join(sources, "package.json"), JSON.stringify(manifest));
  await run([process.execPath, "install", "--production", "--no-save"], { cwd: sources, env: environment });
  return sources;
};

/** What `netlify build` makes, unpacked away from the sources. */
async function build(): Promise<string> {
  const sources = await installed();
  await run([...tool("netlify"), "build", "--offline"], { cwd: sources, env: environment });
  const folder = await mkdtemp(join(tmpdir(), "kimi-ai-2api-function-"));
  folders.push(folder);
  await run(["unzip", "-q", join(sources, ".netlify/functions/gateway.zip"), "-d", join(folder, "function")]);
  await cp(join(sources, ".netlify/functions/manifest.json"), join(folder, "manifest.json"));
  await cp(join(root, "test/e2e/platforms/hosts/netlify-zip.mjs"), join(folder, "host.mjs"));
  await rm(sources, { recursive: true });
  return folder;
}

if (missingTools !== undefined) {
  test.skip(`the gateway on Netlify (skipped: ${missingTools})`, () => {});
} else {
  const folder = await build();
  const { env: storeEnv, store } = await restStore();

  describe("what `netlify build` makes", () => {
    test("is one streaming function for every path", async () => {
      const { functions } = await Bun.file(join(folder, "manifest.json")).json();
      expect(functions).toMatchObject([
        { name: "gateway", invocationMode: "stream", routes: [{ pattern: "/*", methods: [] }] },
      ]);
    });
  });

  const entry = [newestNode, "host.mjs", "function/___netlify-entry-point.mjs"] as const;
  gatewayContract("Netlify's function", {
    start: (env) =>
      startServer({
        command: entry,
        cwd: folder,
        env: { ...storeEnv, ...env },
      }),
    store,
    skips: {
      ...alwaysExposed,
      ...endsAtOnce,
      "lets go of the site when a client leaves before the answer": "Netlify tells a function nothing of it",
    },
  });

  test.skipIf(!hasRedis())("REDIS_URL alone has conversations in Redis", async () => {
    await using redis = await redisServer();
    await rememberTogether("redis", (env) =>
      startServer({ command: entry, cwd: folder, env: { ...env, REDIS_URL: redis.url } }),
    );
  });

  test("Blobs alone have conversations, by the context of each call", async () => {
    const blobs = blobsServer();
    await rememberTogether("netlify-blobs", (env) =>
      startServer({ command: entry, cwd: folder, env: { ...env, BLOBS_URL: blobs.url } }),
    );
    await blobs.stop();
  });

  const sharedBlobs = blobsServer();
  afterAll(() => sharedBlobs.stop());
  await acrossProcesses("three functions on the same Blobs", {
    count: 3,
    command: [newestNode, join(folder, "host.mjs"), join(folder, "function/___netlify-entry-point.mjs")],
    env: { BLOBS_URL: sharedBlobs.url },
    turns: 60,
    conversations: 10,
  });

  test("`netlify functions:serve` serves the gateway", async () => {
    const sources = await installed();
    const server = await startServer({
      command: [
        ...tool("netlify"),
        "functions:serve",
        "--offline",
        "--functions",
        "adapters/netlify",
        "--port",
        String(await freePort()),
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
    const { sessions } = await (await fetch(`${server.url}/health`)).json();
    expect(sessions).toMatchObject({ store: "memory" });
    await server.stop();
  }, 90_000);
}
