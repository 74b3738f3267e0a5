/**
 * Claude Code itself, over a gateway whose upstream is scripted: it reads a file by a tool and answers. It is not
 * shipped with this project: the suite fetches it from npm, and skips itself where it can't be had.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chunk, doneEvent, eventStream, type Json, type Script } from "../../fakes/openai-upstream.ts";
import { fetchProgram } from "../../support/fetch-program.ts";
import { gatewayBeforeSite } from "../../support/gateway-before-site.ts";
import { gatewayBeforeUpstreams, testUpstream } from "../../support/gateway-before-upstreams.ts";
import { watchedDoor } from "../../support/watched-door.ts";

const platform = `${process.platform}-${process.arch}`;
const { program, reason } = await fetchProgram("Claude Code", {
  packages: ["claude-code", `claude-code-${platform}`].map((name) => `@anthropic-ai/${name}`),
  version: "2.1.332",
  path: ["@anthropic-ai", `claude-code-${platform}`, "claude"],
});
if (reason !== undefined) console.warn(`Claude Code is skipped: ${reason}`);

const apiKey = "sk-client";
const upstream = await testUpstream();
const gateway = await gatewayBeforeUpstreams({
  API_MASTER_KEY: apiKey,
  OPENAI_BASE_URL: upstream.baseUrl,
  MODEL_ALIASES: "*=echo",
  // So that no list is asked for: a script answers whatever call comes next.
  OPENAI_MODELS: "echo",
  LOG_LEVEL: "info",
});

const onSite = await gatewayBeforeSite({ API_MASTER_KEY: apiKey, MODEL_ALIASES: "*=kimi-k2-instruct" });

const doors = { gateway: watchedDoor(gateway.url), onSite: watchedDoor(onSite.url) };

const home = mkdtempSync(join(tmpdir(), "claude-home-"));
afterAll(() => rmSync(home, { recursive: true }));
const notes = join(home, "notes.txt");
writeFileSync(notes, "The password of the garden gate is Rhubarb.\n");

/** Runs one prompt to its end. */
async function claude(prompt: string, { key = apiKey, url = doors.gateway } = {}) {
  const startedMs = Date.now();
  const child = Bun.spawn([program, "-p", prompt, "--output-format", "json", "--allowedTools", "Read"], {
    cwd: home,
    env: {
      PATH: process.env.PATH,
      HOME: home,
      ANTHROPIC_BASE_URL: url,
      ANTHROPIC_AUTH_TOKEN: key,
      ANTHROPIC_MODEL: "claude-sonnet-4-5",
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
      DISABLE_AUTOUPDATER: "1",
      DISABLE_TELEMETRY: "1",
      NO_PROXY: "127.0.0.1",
    },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, out, err, ms: Date.now() - startedMs };
}

const stream = (...steps: string[]): Script => ({ headers: eventStream, steps: [...steps, doneEvent] });
const usage = { usage: { prompt_tokens: 12_000, completion_tokens: 20, total_tokens: 12_020 } };

describe.skipIf(reason !== undefined)("Claude Code", () => {
  test("reads a file by a tool, and answers with what it says", async () => {
    const input = JSON.stringify({ file_path: notes });
    const name = "Read";
    const id = "functions.Read:0";
    upstream.script(
      stream(
        chunk({ role: "assistant", reasoning_content: "I have to look." }),
        chunk({ content: "I'll read it." }),
        chunk({ tool_calls: [{ index: 0, id, type: "function", function: { name, arguments: "" } }] }),
        ...input
          .split(/(?<=\/)/)
          .map((piece) => chunk({ tool_calls: [{ index: 0, function: { arguments: piece } }] })),
        chunk({}, "tool_calls", usage),
      ),
      stream(chunk({ role: "assistant", content: "It is Rhubarb." }), chunk({}, "stop", usage)),
    );
    const { code, out, err } = await claude("What is the password in notes.txt?");
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(JSON.parse(out)).toMatchObject({ is_error: false, result: "It is Rhubarb.", num_turns: 2 });
    const asked = upstream.calls.filter(({ body }) => body !== undefined).at(-1)?.body as Json;
    const result = asked.messages.at(-1);
    expect(result).toMatchObject({ role: "tool", tool_call_id: id });
    expect(result.content).toContain("Rhubarb");
    expect(asked.messages.at(-2).tool_calls[0]).toMatchObject({ id, function: { name, arguments: input } });
    expect(asked.tools.length).toBeGreaterThan(5);
    expect(asked.messages.filter(({ role }: { role: string }) => role === "system").length).toBe(1);
    expect(JSON.stringify(asked)).not.toContain("x-anthropic-billing-header");
  }, 120_000);

  test("ends at once with a wrong key", async () => {
    const { code, out, ms } = await claude("Hi", { key: "sk-wrong" });
    expect(code).not.toBe(0);
    expect(out).toContain("401");
    expect(ms).toBeLessThan(30_000);
  }, 120_000);

  test("says at once that the site has no room for it, without a message to the site", async () => {
    const { code, out, ms } = await claude("Hi", { url: doors.onSite });
    expect(code).not.toBe(0);
    expect(out).toMatch(/prompt is too long/i);
    expect(ms).toBeLessThan(30_000);
    expect((await onSite.site.status()).counts.ajax).toBe(0);
  }, 120_000);

  test("is asked nothing that the gateway refuses", () => {
    const lines = gateway
      .output()
      .split("\n")
      .filter((line) => line.includes("request.finished"));
    expect(lines.length).toBeGreaterThan(2);
    const refused = lines.filter((line) => /"status":(4(?!01)|5)/.test(line));
    expect(refused).toEqual([]);
  });
});
