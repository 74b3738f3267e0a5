import { expect, test } from "bun:test";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { startServer } from "../../support/start-server.ts";
import { copyOfSources, run, toolPath } from "./support/built.ts";
import { missingTools, tool, workerd } from "./support/tools.ts";

const name = "what `wrangler deploy` would send runs in workerd";
if (missingTools !== undefined) test.skip(`${name} (skipped: ${missingTools})`, () => {});
else
  test(name, async () => {
    const sources = await copyOfSources("wrangler");
    const env = { PATH: toolPath, WRANGLER_SEND_METRICS: "false", CI: "1" };
    await run([process.execPath, "install", "--production"], { cwd: sources, env });
    const said = await run([...tool("wrangler"), "deploy", "--dry-run", "--outdir", "out"], {
      cwd: sources,
      env,
    });
    expect(said).toMatch(/env\.CONVERSATIONS \(Conversations\) +Durable Object/);
    const server = await startServer({
      command: [...workerd, join(sources, "out/handler.js"), "--objects"],
      env: { API_MASTER_KEY: "sk-contract" },
    });
    const response = await fetch(`${server.url}/v1/models`, {
      headers: { authorization: "Bearer sk-contract" },
    });
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ object: "list" });
    const health = await (await fetch(`${server.url}/health`)).json();
    expect(health.sessions).toMatchObject({ store: "durable-object", shared: true });
    await server.stop();
    await rm(sources, { recursive: true });
  }, 60_000);
