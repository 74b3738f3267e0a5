/** A scanner of OpenAI-compatible servers finds nothing amiss. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { gatewayBeforeUpstreams, testUpstream } from "../support/gateway-before-upstreams.ts";
import { watchedDoor } from "../support/watched-door.ts";

const upstream = await testUpstream();
const { url } = await gatewayBeforeUpstreams({
  API_MASTER_KEY: "sk-client",
  OPENAI_BASE_URL: upstream.baseUrl,
  OPENAI_MODELS: "echo",
});
const baseURL = `${watchedDoor(url)}/v1`;
const program = join(import.meta.dir, "../../node_modules/.bin/compatcanary");

test("compatcanary passes the gateway by its modern profile, Responses among it", async () => {
  const scan = Bun.spawn(
    [program, "scan", "--base-url", baseURL, "--model", "echo", "--profile", "modern", "--fail-on", "any"],
    { env: { PATH: process.env.PATH, OPENAI_API_KEY: "sk-client" }, stdout: "pipe", stderr: "pipe" },
  );
  const [report, code] = await Promise.all([new Response(scan.stdout).text(), scan.exited]);
  expect(report).toContain("PASS  Responses streaming");
  expect(report).toContain("7 passed, 0 warned, 0 failed");
  expect(code).toBe(0);
});
