/** The programs of docs/embedding.md compile; those for Hono, Elysia and Workers serve chats over HTTP. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import OpenAI from "openai";
import { chunk, eventStream, type OpenAiUpstream } from "../fakes/openai-upstream.ts";
import { testUpstream } from "../support/gateway-before-upstreams.ts";
import { typeErrors } from "../support/type-check.ts";

const root = join(import.meta.dir, "../..");
const page = readFileSync(join(root, "docs/embedding.md"), "utf8");
const programs = new Map(
  [...page.matchAll(/```ts (\S+)\n(.*?)```/gs)].map(([, name = "", code = ""]) => [name, code]),
);

test("every program is well-typed", () => {
  expect([...programs.keys()]).toEqual([
    "minimal.ts",
    "settings.ts",
    "hono.ts",
    "elysia.ts",
    "whole-worker.ts",
    "worker.ts",
    "route.ts",
  ]);
  expect(programs.size).toBe([...page.matchAll(/```ts/g)].length);
  expect(typeErrors({ files: Object.fromEntries(programs) })).toBe("");
});

// Within the project, so that packages are found.
const folder = mkdtempSync(join(root, "node_modules/.docs-embedding-"));
const load = (name: string) => {
  const code = programs.get(name) ?? "";
  writeFileSync(
    join(folder, name),
    code.replaceAll('"kimi-ai-2api"', JSON.stringify(join(root, "handler.ts"))),
  );
  return import(join(folder, name));
};

const upstream: OpenAiUpstream = await testUpstream();
const settings = {
  KIMI_WEB: "off",
  OPENAI_BASE_URL: upstream.baseUrl,
  OPENAI_MODELS: "echo",
  API_MASTER_KEY: "sk-of-this-test",
  LOG_LEVEL: "silent",
};
const before = { ...process.env };
beforeAll(() => void Object.assign(process.env, settings));
afterAll(() => {
  for (const name of Object.keys(settings)) delete process.env[name];
  Object.assign(process.env, before);
  rmSync(folder, { recursive: true });
});

type Serve = (request: Request) => Response | Promise<Response>;

const context = { waitUntil() {} };
const applications: [name: string, prefix: string, make: () => Promise<Serve>][] = [
  ["Hono", "/ai", async () => (await load("hono.ts")).default.fetch],
  ["Elysia", "/ai", async () => (await load("elysia.ts")).default.fetch],
  [
    "a Worker that is a gateway",
    "",
    async () => {
      const { default: worker } = await load("whole-worker.ts");
      return (request) => worker.fetch(request, settings, context);
    },
  ],
  [
    "a Worker with routes of its own",
    "",
    async () => {
      const { default: worker } = await load("worker.ts");
      return (request) => worker.fetch(request, settings, context);
    },
  ],
];

describe.each(applications)("inside %s, the gateway", (name, prefix, make) => {
  let server: ReturnType<typeof Bun.serve>;
  let baseURL: string;
  beforeAll(async () => {
    const serve = await make();
    server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: (request) => serve(request) });
    baseURL = `${server.url.origin}${prefix}/v1`;
  });
  afterAll(() => server.stop(true));

  const post = (body: object, init: RequestInit = {}) =>
    fetch(`${baseURL}/chat/completions`, {
      method: "POST",
      headers: { authorization: "Bearer sk-of-this-test" },
      body: JSON.stringify({ model: "echo", messages: [{ role: "user", content: "Hello" }], ...body }),
      ...init,
    });

  test("answers the official SDK, whole and as a stream", async () => {
    const client = new OpenAI({ baseURL, apiKey: "sk-of-this-test" });
    const messages = [{ role: "user" as const, content: "Hello" }];
    const whole = await client.chat.completions.create({ model: "echo", messages });
    expect(whole.choices[0]?.message.content).toContain("Hello");
    let streamed = "";
    for await (const part of await client.chat.completions.create({
      model: "echo",
      messages,
      stream: true,
    })) {
      streamed += part.choices[0]?.delta.content ?? "";
    }
    expect(streamed).toBe(whole.choices[0]?.message.content ?? "");
    expect((await client.models.list()).data.map(({ id }) => id)).toEqual(["echo"]);
  });

  test("keeps its own routes, errors and methods", async () => {
    expect((await fetch(`${baseURL}/models`)).status).toBe(401);
    const missing = await fetch(`${baseURL}/nothing`, {
      headers: { authorization: "Bearer sk-of-this-test" },
    });
    expect([missing.status, (await missing.json()).error.code]).toEqual([404, "not_found"]);
    const preflight = await fetch(`${baseURL}/chat/completions`, {
      method: "OPTIONS",
      headers: { origin: "https://chat.example.com", "access-control-request-method": "POST" },
    });
    expect(preflight.status).toBe(204);
    const head = await fetch(`${baseURL}/models`, {
      method: "HEAD",
      headers: { authorization: "Bearer sk-of-this-test" },
    });
    expect(head.status).toBe(200);
    const own = await fetch(server.url);
    expect(await own.text()).toContain(name.endsWith("is a gateway") ? "kimi-ai-2api" : "My application");
  });

  test("passes each piece of a stream on at once, and ends the upstream's call when the client leaves", async () => {
    upstream.script({
      headers: eventStream,
      steps: [chunk({ content: "First" }), () => new Promise(() => {})],
    });
    const called = upstream.nextCall();
    const controller = new AbortController();
    const response = await post({ stream: true }, { signal: controller.signal });
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    while (!text.includes("First")) text += (await reader?.read())?.value ?? "";
    controller.abort();
    await (await called).over;
    expect(text).not.toContain("[DONE]");
  });
});

test("the handler for Next.js answers as a function", async () => {
  const { GET, POST, maxDuration } = await load("route.ts");
  const headers = { authorization: "Bearer sk-of-this-test" };
  expect(maxDuration).toBe(300);
  expect((await GET(new Request("https://app.example.com/v1/models", { headers }))).status).toBe(200);
  const body = JSON.stringify({ model: "echo", messages: [{ role: "user", content: "Hello" }] });
  const url = "https://app.example.com/v1/chat/completions";
  expect((await POST(new Request(url, { method: "POST", headers, body }))).status).toBe(200);
});

test("the smallest program prints the site's models", async () => {
  writeFileSync(
    join(folder, "smallest.ts"),
    (programs.get("minimal.ts") ?? "").replace('"kimi-ai-2api"', JSON.stringify(join(root, "handler.ts"))),
  );
  const child = Bun.spawn([process.execPath, "--no-env-file", join(folder, "smallest.ts")], {
    env: { PATH: process.env.PATH },
    stdout: "pipe",
  });
  expect(await new Response(child.stdout).text()).toContain('id: "kimi-k2-instruct-0905"');
});
