/**
 * Codex itself, over a gateway whose upstream is scripted: it runs a command by a tool, applies a patch by its custom
 * tool, and answers. It is not shipped with this project: the suite fetches it from npm, and skips itself where it
 * can't be had.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  chunk,
  doneEvent,
  eventStream,
  type Json,
  namedEvents,
  type Script,
} from "../../fakes/openai-upstream.ts";
import { responseEvents } from "../../fakes/responses-api.ts";
import { fetchProgram } from "../../support/fetch-program.ts";
import { gatewayBeforeUpstreams, testUpstream } from "../../support/gateway-before-upstreams.ts";
import { watchedDoor } from "../../support/watched-door.ts";

const { program, reason } = await fetchProgram("Codex", {
  packages: ["@openai/codex"],
  version: "0.171.0",
  path: [".bin", "codex"],
});
if (reason !== undefined) console.warn(`Codex is skipped: ${reason}`);

const apiKey = "sk-client";
const upstream = await testUpstream();
const gateway = await gatewayBeforeUpstreams({
  API_MASTER_KEY: apiKey,
  OPENAI_BASE_URL: upstream.baseUrl,
  // So that no list is asked for: a script answers whatever call comes next.
  OPENAI_MODELS: "echo",
  // Only under a name that it knows does Codex offer its tool for patches.
  MODEL_ALIASES: "gpt-5.5=echo",
  LOG_LEVEL: "info",
});

const home = mkdtempSync(join(tmpdir(), "codex-home-"));
const work = join(home, "work");
mkdirSync(join(home, ".codex"));
mkdirSync(work);
afterAll(() => rmSync(home, { recursive: true }));
writeFileSync(
  join(home, ".codex", "config.toml"),
  `model = "gpt-5.5"
model_provider = "gateway"

[model_providers.gateway]
name = "gateway"
base_url = "${watchedDoor(gateway.url)}/v1"
env_key = "GATEWAY_KEY"
wire_api = "responses"
`,
);

/** The same before an upstream that speaks Responses itself. */
const own = await testUpstream();
const ownGateway = await gatewayBeforeUpstreams({
  API_MASTER_KEY: apiKey,
  PROVIDERS: JSON.stringify([{ name: "own", baseUrl: own.baseUrl, models: ["echo"], responses: true }]),
  MODEL_ALIASES: "gpt-5.5=echo",
});

/** Runs one prompt to its end; resolves to what it did. */
async function codex(prompt: string, { key = apiKey, baseURL }: { key?: string; baseURL?: string } = {}) {
  const flags = ["--skip-git-repo-check", "--json", "--dangerously-bypass-approvals-and-sandbox"];
  if (baseURL !== undefined) flags.push("--config", `model_providers.gateway.base_url="${baseURL}"`);
  const child = Bun.spawn([program, "exec", ...flags, prompt], {
    cwd: work,
    env: { PATH: process.env.PATH, HOME: home, GATEWAY_KEY: key, NO_PROXY: "127.0.0.1" },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  const lines = out.split("\n").filter((line) => line.startsWith("{"));
  return { code, err, events: lines.map((line): Json => JSON.parse(line)), out };
}

const usage = { usage: { prompt_tokens: 12_000, completion_tokens: 20, total_tokens: 12_020 } };
const stream = (...steps: string[]): Script => ({ headers: eventStream, steps: [...steps, doneEvent] });
const call = (id: string, name: string, args: object): Script =>
  stream(
    chunk({ role: "assistant", reasoning_content: "I have to act." }),
    chunk({ tool_calls: [{ index: 0, id, type: "function", function: { name, arguments: "" } }] }),
    ...(JSON.stringify(args).match(/.{1,9}/gs) ?? []).map((piece) =>
      chunk({ tool_calls: [{ index: 0, function: { arguments: piece } }] }),
    ),
    chunk({}, "tool_calls", usage),
  );

const patch = '*** Begin Patch\n*** Add File: patched.txt\n+A line with "quotes" and 世界.\n*** End Patch\n';

describe.skipIf(reason !== undefined)("Codex", () => {
  test("runs a command, applies a patch by its custom tool, and answers", async () => {
    upstream.script(
      call("functions.exec_command:0", "exec_command", { cmd: "echo by-a-command > ran.txt && cat ran.txt" }),
      call("functions.apply_patch:1", "apply_patch", { input: patch }),
      stream(
        chunk({ role: "assistant", content: "All " }),
        chunk({ content: "done." }),
        chunk({}, "stop", usage),
      ),
    );
    const { code, events } = await codex("Make both files.");
    expect(code).toBe(0);
    expect(readFileSync(join(work, "ran.txt"), "utf8")).toBe("by-a-command\n");
    expect(readFileSync(join(work, "patched.txt"), "utf8")).toBe('A line with "quotes" and 世界.\n');
    const items = events.filter(({ type }) => type === "item.completed").map(({ item }) => item);
    expect(items).toContainEqual(expect.objectContaining({ type: "command_execution", exit_code: 0 }));
    expect(items).toContainEqual(expect.objectContaining({ type: "file_change", status: "completed" }));
    expect(items.at(-1)).toMatchObject({ type: "agent_message", text: "All done." });
    expect(events.at(-1)).toMatchObject({ type: "turn.completed", usage: { input_tokens: 36_000 } });

    const [first, second, third] = upstream.calls.slice(-3).map(({ body }) => body as Json);
    const names: string[] = first.tools.map((tool: Json) => tool.function.name);
    expect(names).toContain("exec_command");
    expect(names).toContain("apply_patch");
    expect(names).not.toContain("web_search");
    expect(second.messages.slice(-2)).toMatchObject([
      {
        role: "assistant",
        reasoning_content: "I have to act.",
        tool_calls: [{ id: "functions.exec_command:0" }],
      },
      { role: "tool", tool_call_id: "functions.exec_command:0" },
    ]);
    expect(second.messages.at(-1).content).toContain("by-a-command");
    const [patched] = third.messages.at(-2).tool_calls;
    expect(JSON.parse(patched.function.arguments)).toEqual({ input: patch });
  }, 120_000);

  test("calls several tools at once", async () => {
    const exec = (index: number) => ({
      index,
      id: `call_${index}`,
      type: "function",
      function: { name: "exec_command", arguments: JSON.stringify({ cmd: `echo ${index} > ${index}.txt` }) },
    });
    upstream.script(
      stream(chunk({ tool_calls: [exec(0), exec(1)] }), chunk({}, "tool_calls", usage)),
      stream(chunk({ content: "Both." }), chunk({}, "stop", usage)),
    );
    const { code } = await codex("Make two files.");
    expect(code).toBe(0);
    expect([0, 1].map((name) => readFileSync(join(work, `${name}.txt`), "utf8"))).toEqual(["0\n", "1\n"]);
  }, 120_000);

  test("shows what the upstream says where it refuses", async () => {
    upstream.script({
      status: 400,
      headers: { "content-type": "application/json" },
      steps: [
        JSON.stringify({ error: { message: "Out of ink", type: "invalid_request_error", code: "ink" } }),
      ],
    });
    const { code, out } = await codex("Hi");
    expect(code).not.toBe(0);
    expect(out).toContain("Out of ink");
  }, 120_000);

  test("does the same through an upstream that speaks Responses, in that one's own words", async () => {
    const does = (...output: object[]): Script => {
      const response = { ...own.responses.responseTo({ model: "echo", input: "", store: false }), output };
      return { headers: eventStream, steps: namedEvents(responseEvents(response)) };
    };
    const text = patch.replace("patched.txt", "passed.txt");
    const status = "completed";
    own.script(
      does(
        {
          type: "reasoning",
          id: "rs_1",
          summary: [{ type: "summary_text", text: "I have to act." }],
          encrypted_content: "opaque",
        },
        {
          type: "function_call",
          id: "fc_1",
          call_id: "call_1",
          name: "exec_command",
          arguments: '{"cmd":"echo own > own.txt"}',
          status,
        },
      ),
      does({
        type: "custom_tool_call",
        id: "ctc_1",
        call_id: "call_2",
        name: "apply_patch",
        input: text,
        status,
      }),
      does({
        type: "message",
        id: "msg_1",
        role: "assistant",
        status,
        content: [{ type: "output_text", text: "All done.", annotations: [] }],
      }),
    );
    const { code, events } = await codex("Make both files.", {
      baseURL: `${watchedDoor(ownGateway.url)}/v1`,
    });
    expect(code).toBe(0);
    expect(readFileSync(join(work, "own.txt"), "utf8")).toBe("own\n");
    expect(readFileSync(join(work, "passed.txt"), "utf8")).toContain("世界");
    const items = events.filter(({ type }) => type === "item.completed").map(({ item }) => item);
    expect(items.at(-1)).toMatchObject({ type: "agent_message", text: "All done." });

    const [first, second] = own.calls.slice(-3).map(({ body }) => body as Json);
    // What a chat has no words for arrives too.
    expect(first).toMatchObject({ model: "echo", store: false, include: ["reasoning.encrypted_content"] });
    expect(first.tools.map(({ type }: Json) => type)).toContain("custom");
    expect(second.input).toContainEqual(
      expect.objectContaining({ type: "reasoning", encrypted_content: "opaque" }),
    );
    expect(second.input.at(-1)).toMatchObject({ type: "function_call_output", call_id: "call_1" });
  }, 120_000);

  test("ends with a wrong key", async () => {
    const { code, out } = await codex("Hi", { key: "sk-wrong" });
    expect(code).not.toBe(0);
    expect(out).toContain("API key");
  }, 120_000);
});
