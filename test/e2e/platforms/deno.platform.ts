import { expect, test } from "bun:test";
import { rm } from "node:fs/promises";
import { gatewayContract } from "../../contracts/gateway.ts";
import { hostileRequests } from "../../contracts/hostile-requests.ts";
import { startServer } from "../../support/start-server.ts";
import { copyOfSources, deno, run } from "./support/built.ts";
import { alwaysExposed, endsAtOnce } from "./support/skips.ts";

const environment = { DENO_KV_PATH: ":memory:", DENO_NO_UPDATE_CHECK: "1" };

gatewayContract("Deno, by its adapter", {
  store: "deno-kv",
  start: (env) =>
    startServer({ command: [deno, "run", "-A", "adapters/deno.ts"], env: { ...environment, ...env } }),
});

hostileRequests("Deno", {
  start: (env) =>
    startServer({ command: [deno, "run", "-A", "adapters/deno.ts"], env: { ...environment, ...env } }),
});

gatewayContract("Deno, by `deno serve`", {
  store: "deno-kv",
  start: (env) =>
    startServer({
      command: [deno, "serve", "-A", "--host", "127.0.0.1", "--port", "0", "handler.ts"],
      env: { ...environment, ...env },
    }),
  skips: { ...alwaysExposed, ...endsAtOnce },
});

test("`deno check` finds the sources well-typed", async () => {
  // Not by the task: where npm has installed the package `deno`, tasks take its program for a script.
  expect(await run([deno, "check", "handler.ts", "adapters/deno.ts"])).toContain("handler.ts");
});

test("`deno install --prod && deno task start` is enough for a clone", async () => {
  const sources = await copyOfSources("deno");
  await run([deno, "install", "--prod"], { cwd: sources });
  const server = await startServer({ command: [deno, "task", "start"], cwd: sources, env: environment });
  expect((await fetch(`${server.url}/v1/models`)).status).toBe(200);
  expect(await server.stop()).toBe(0);
  await rm(sources, { recursive: true });
});
