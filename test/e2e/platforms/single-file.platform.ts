import { expect, test } from "bun:test";
import { gatewayContract } from "../../contracts/gateway.ts";
import { startServer } from "../../support/start-server.ts";
import { built, deno, run } from "./support/built.ts";
import { type PlatformStore, restStore } from "./support/rest-store.ts";
import { alwaysExposed, endsAtOnce } from "./support/skips.ts";
import { missingTools, workerd } from "./support/tools.ts";

test("dist/handler.js keeps within its budget", async () => {
  expect(await run([process.execPath, "scripts/build.ts", "single-file"])).toContain("minified");
});

const anyPort = ["--host", "127.0.0.1", "--port", "0"];
const servers: Readonly<Record<string, readonly [string, ...string[]]>> = {
  Bun: [process.execPath, "--no-env-file"],
  Deno: [deno, "serve", "-A", ...anyPort],
  "Node and srvx": ["node", "node_modules/srvx/bin/srvx.mjs", "--prod", ...anyPort, "--entry"],
  Workers: [...workerd, "--pasted"],
};

const rest = await restStore();
const stores: Readonly<Record<string, PlatformStore>> = {
  Deno: { env: { DENO_KV_PATH: ":memory:" }, store: "deno-kv" },
  Workers: rest,
};

for (const [name, command] of Object.entries(servers)) {
  const { env: storeEnv, store } = stores[name] ?? ({ env: {}, store: "memory" } satisfies PlatformStore);
  if (name === "Workers" && missingTools !== undefined) {
    test.skip(`the gateway on Workers (skipped: ${missingTools})`, () => {});
    continue;
  }
  gatewayContract(`dist/handler.js in ${name}`, {
    start: async (env) =>
      startServer({ command: [...command, await built("single-file")], env: { ...storeEnv, ...env } }),
    store,
    skips: { ...alwaysExposed, ...endsAtOnce },
  });

  test(`dist/handler-with-pages.js in ${name} sends a page compressed once, or not at all`, async () => {
    const module = (await built("single-file")).replace("handler.js", "handler-with-pages.js");
    const server = await startServer({ command: [...command, module], env: { ...storeEnv } });
    const get = (encoding: string) =>
      fetch(`${server.url}/ui`, { headers: { "accept-encoding": encoding }, decompress: false });
    const zipped = await get("gzip");
    expect(zipped.headers.get("content-encoding")).toBe("gzip");
    const text = new TextDecoder().decode(Bun.gunzipSync(await zipped.arrayBuffer()));
    expect(text).toStartWith("<!doctype html>");
    expect(await (await get("identity")).text()).toBe(text);
    await server.stop();
  });
}
