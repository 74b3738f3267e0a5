/** Input that means harm: a clear 4xx or a correct answer, nothing at the site that was not asked for, and no harm done. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { parseConfig } from "../../core/config/config.ts";
import { exposedHeaders } from "../../core/http/cors.ts";
import { silentLogger } from "../../core/operations/log.ts";
import { createHandler } from "../../handler.ts";
import { hostileRequests } from "../contracts/hostile-requests.ts";
import { expectCommonHeaders } from "../e2e/faults/expect-fault.ts";
import { startChatSite } from "../fakes/chat-site.ts";
import { startForbiddenHost } from "../fakes/forbidden-host.ts";
import { startOpenAiUpstream } from "../fakes/openai-upstream.ts";
import { scriptedProvider } from "../fakes/scripted-provider.ts";
import { siteControl } from "../fakes/site-control.ts";
import { cpuTimer } from "../support/cpu-timer.ts";
import { schemaErrors } from "../support/openai-schema.ts";
import { rawRequest } from "../support/raw-request.ts";
import { type Server, startServer } from "../support/start-server.ts";
import { hello, testHandler } from "../support/test-handler.ts";
import { watching } from "../support/watch-answers.ts";

const key = "sk-abused";
const chatSite = startChatSite();
const site = siteControl(chatSite.url);
let gateway: Server;
const elsewhere = startForbiddenHost();

beforeAll(async () => {
  gateway = await startServer({
    env: {
      CHAT_PAGE_URL: site.pageUrl,
      UPSTREAM_URL: site.ajaxUrl,
      API_MASTER_KEY: key,
      CIRCUIT_BREAKER: "off",
    },
  });
});
afterAll(async () => {
  await gateway.stop();
  await chatSite.stop();
  await elsewhere.stop();
});
beforeEach(() => site.reset());
// Whatever came before, nobody else was called and the next client is served.
afterEach(async () => {
  expect(elsewhere.visits()).toBe(0);
  expect((await fetch(`${gateway.url}/health`)).status).toBe(200);
});

const json = (content: unknown = "Hello") => JSON.stringify({ messages: [{ role: "user", content }] });
const chat = (body: BodyInit, headers: Record<string, string> = {}) =>
  fetch(`${gateway.url}/v1/chat/completions`, {
    method: "POST",
    body,
    headers: { authorization: `Bearer ${key}`, ...headers },
  });
const head = (headers: string, requestLine = "POST /v1/chat/completions HTTP/1.1") =>
  `${requestLine}\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${key}\r\n${headers}\r\n`;

/** A gateway in this process, with the providers of its settings. */
function ownGateway(env: Record<string, string>) {
  const handler = createHandler({ config: parseConfig(env), log: silentLogger });
  const answer = watching(handler.fetch);
  return (body: object) =>
    answer(
      new Request("http://127.0.0.1/v1/chat/completions", { method: "POST", body: JSON.stringify(body) }),
    );
}

async function expectRefused(response: Response, status: number, code: string, param?: string) {
  const body = await response.json();
  expect({ status: response.status, code: body.error?.code }).toEqual({ status, code });
  if (param !== undefined) expect(body.error.param).toBe(param);
  expect(body.error.message.length).toBeLessThan(600);
  expect(schemaErrors("ErrorResponse", body)).toEqual([]);
  expectCommonHeaders(response.headers);
}

hostileRequests("Bun", { start: (env) => startServer({ env }) });

describe("a body", () => {
  test.each([
    ["gzip", 413, "request_too_large"],
    ["deflate", 400, "invalid_request"],
    ["br", 400, "invalid_request"],
    ["zstd", 400, "invalid_request"],
    ["gzip, gzip", 415, "unsupported_encoding"],
  ])("that is a bomb in gzip, said to be coded as %s, is %i", async (coding, status, code) => {
    const bomb = Bun.gzipSync(new Uint8Array(100_000_000));
    await expectRefused(await chat(bomb, { "content-encoding": coding }), status, code);
  });

  test.each<[string, Uint8Array<ArrayBuffer>]>([
    ["UTF-16", new Uint8Array(Buffer.from(`\ufeff${json()}`, "utf16le"))],
    ["Latin-1", new Uint8Array(Buffer.from(json("caf\xe9"), "latin1"))],
    ["an overlong sequence", new Uint8Array([...Buffer.from('{"a":"'), 0xc0, 0xaf, 0x22, 0x7d])],
    ["half a character", new Uint8Array([...Buffer.from('{"a":"'), 0xe4, 0xb8])],
    ["a surrogate's three bytes", new Uint8Array([...Buffer.from('{"a":"'), 0xed, 0xa0, 0x80, 0x22, 0x7d])],
  ])("of %s is invalid_json", async (_, bytes) => {
    await expectRefused(await chat(bytes), 400, "invalid_json");
  });

  test.each(["", "null", "[]", '"x"', "1", "{", `${json()}${json()}`, "{'a':1}", `${json()}\0`, "NaN", "\0"])(
    "%j is refused",
    async (body) => {
      const response = await chat(body);
      expect(response.status).toBe(400);
      expect(schemaErrors("ErrorResponse", await response.json())).toEqual([]);
    },
  );

  test("with a byte order mark is read", async () => {
    expect((await chat(`\ufeff${json()}`)).status).toBe(200);
  });

  test("that has a name twice counts with the last one", async () => {
    const body = `{"model":"nobody","model":"kimi-k2-instruct","messages":[],${json("Second").slice(1)}`;
    const response = await chat(body);
    expect(response.status).toBe(200);
    expect((await site.log()).ajax.map(({ message }) => message)).toEqual(["Second"]);
  });

  test("with NUL, control characters and half surrogates is answered", async () => {
    const text = "nul \0 bell \u0007 escape \u001b[2J half \ud83d surrogates \udc00 \ufffe";
    const response = await chat(json(text));
    expect(response.status).toBe(200);
    expect((await response.json()).choices[0].message.content).toStartWith("You said: nul");
  });
});

describe("JSON", () => {
  const nested = (levels: number, open: string, close: string) =>
    `{"messages":[{"role":"user","content":"Hi"}],"x":${open.repeat(levels)}1${close.repeat(levels)}}`;

  test.each([
    ["[", "]"],
    ['{"a":', "}"],
    ['[{"]":', "}]"],
  ])("of %s may be nested a hundred levels deep and no deeper", async (open, close) => {
    const { chat } = testHandler();
    const perUnit = open.match(/[[{]/g)?.length ?? 1;
    const levels = Math.floor(99 / perUnit);
    expect((await chat(nested(levels, open, close))).status).toBe(200);
    await expectRefused(await chat(nested(levels + 2, open, close)), 400, "invalid_request");
  });

  test("counts no brackets within strings", async () => {
    const { chat } = testHandler();
    const text = `\\"${"[{".repeat(500)}\\\\`;
    expect((await chat({ ...hello, messages: [{ role: "user", content: text }], x: [text] })).status).toBe(
      200,
    );
  });

  test.each(["[", '{"a":', "[[],"])("that is deep without end costs nothing: %s", async (unit) => {
    const { chat } = testHandler();
    const body = unit.repeat(Math.floor(4_000_000 / unit.length));
    const spentMs = cpuTimer();
    expect((await chat(body)).status).toBe(400);
    expect(spentMs()).toBeLessThan(250);
  });

  test("has at most 2048 messages, which are not looked at when there are more", async () => {
    const { chat } = testHandler();
    const messages = (count: number) => Array.from({ length: count }, () => ({ role: "user", content: "x" }));
    expect((await chat({ messages: messages(2048) })).status).toBe(200);
    await expectRefused(await chat({ messages: messages(2049) }), 400, "invalid_request", "messages");
    const spentMs = cpuTimer();
    await expectRefused(await chat({ messages: Array(800_000).fill(0) }), 400, "invalid_request", "messages");
    expect(spentMs()).toBeLessThan(500);
  });

  test.each(["__proto__", "constructor", "prototype", "toString", "hasOwnProperty"])(
    "with %s as a name changes nothing but itself",
    async (name) => {
      const { chat, provider } = testHandler();
      const evil = `{"role":"system","polluted":true,"stream":true,"prototype":{"polluted":true}}`;
      const body = `{"${name}":${evil},"messages":[{"role":"user","content":"Hi","${name}":${evil}}],
        "stream_options":{"${name}":${evil}},"tools":[{"${name}":${evil}}],"metadata":{"${name}":${evil}}}`;
      const response = await chat(body);
      expect(response.status).toBe(200);
      expect((await response.json()).object).toBe("chat.completion");
      expect(provider.requests[0]?.request.messages.map(({ role, text }) => [role, text])).toEqual([
        ["user", "Hi"],
      ]);
      expect(({} as Record<string, unknown>).polluted).toBeUndefined();
      expect((Object as unknown as Record<string, unknown>).polluted).toBeUndefined();
    },
  );

  test.each([
    "__proto__",
    "constructor",
    "toString",
    "hasOwnProperty",
    "\0",
    "\ud800",
    "x".repeat(1_000_000),
  ])("asks for no model by such a name", async (model) => {
    await expectRefused(await chat(JSON.stringify({ ...hello, model })), 404, "model_not_found", "model");
  });

  test("names no model at length, of an upstream with unlisted ones neither", async () => {
    const provider = { ...scriptedProvider(), takesUnlistedModels: true };
    const { chat } = testHandler({}, { providers: [provider] });
    const model = (chars: number) => `scripted/${"x".repeat(chars - "scripted/".length)}`;
    expect((await chat({ ...hello, model: model(256) })).status).toBe(200);
    await expectRefused(await chat({ ...hello, model: model(257) }), 404, "model_not_found", "model");
    expect(provider.requests).toHaveLength(1);
  });

  test("that names parts at any length is not repeated at that length", async () => {
    const parts = [{ type: "x".repeat(100_000) }, { type: "y".repeat(100_000) }];
    await expectRefused(await chat(json(parts)), 400, "unsupported_content", "messages");
  });
});

describe("an answer of an upstream with", () => {
  const answers: readonly [string, object][] = [
    ["__proto__ in a message", { message: JSON.parse('{"content":"Hi","__proto__":{"polluted":true}}') }],
    [
      "constructor in a message",
      { message: { content: "Hi", constructor: { prototype: { polluted: true } } } },
    ],
    [
      "__proto__ beside the message",
      JSON.parse('{"message":{"content":"Hi"},"__proto__":{"polluted":true}}'),
    ],
    ["a finish_reason of every object", { message: { content: "Hi" }, finish_reason: "constructor" }],
    ["a finish_reason of no object", { message: { content: "Hi" }, finish_reason: "__proto__" }],
  ];
  test.each(answers)("%s is an answer, and harms nobody", async (_, choice) => {
    const upstream = await startOpenAiUpstream();
    const chat = ownGateway({ KIMI_WEB: "off", OPENAI_BASE_URL: upstream.baseUrl, OPENAI_MODELS: "echo" });
    const body = JSON.stringify({ choices: [{ index: 0, finish_reason: "stop", ...choice }] });
    const script = { steps: [body] };
    upstream.script(script, script);
    const request = { model: "echo", messages: hello.messages };
    const whole = await (await chat(request)).json();
    expect(whole.choices[0]).toMatchObject({ finish_reason: "stop", message: { content: "Hi" } });
    const streamed = await (await chat({ ...request, stream: true })).text();
    expect(streamed).toContain('"finish_reason":"stop"');
    expect(streamed).toEndWith("data: [DONE]\n\n");
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
    upstream.close();
  });
});

describe("a site that answers with", () => {
  /** A bomb of a few KB that is 64 MB of blanks. */
  const bomb = Bun.gzipSync(new Uint8Array(64 * 1024 * 1024).fill(0x20));
  const gzipped = () => new Response(bomb, { headers: { "content-encoding": "gzip" } });

  async function askBomb(page: () => Response, ajax: () => Response): Promise<Response> {
    const server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: ({ method }) => (method === "POST" ? ajax() : page()),
    });
    const chat = ownGateway({ CHAT_PAGE_URL: `${server.url}chat/`, UPSTREAM_URL: `${server.url}ajax` });
    const response = await chat({ messages: hello.messages });
    await server.stop(true);
    return response;
  }

  test("a bomb for a page has no nonce", async () => {
    await expectRefused(await askBomb(gzipped, gzipped), 503, "upstream_nonce_unavailable");
  });

  test("a bomb for a reply has none", async () => {
    const page = () => new Response('<script>var kimi_ajax = {"nonce":"0123456789"};</script>');
    await expectRefused(await askBomb(page, gzipped), 502, "upstream_invalid_response");
  });

  test("an endless text in an error has 300 characters of it shown, without control characters", async () => {
    const words = `${"bad \u0000\u001b[31m\u009b\u2028\r\n".repeat(40)}${"x".repeat(5000)}`;
    await site.set({ ajax: `error=${words}` });
    const { error } = await (await chat(json())).json();
    expect(error.code).toBe("upstream_error");
    expect(error.message).not.toMatch(/[\p{Cc}\u2028\u2029]/u);
    expect(Array.from(error.message as string).length).toBeLessThanOrEqual(
      "The chat site failed: ".length + 300,
    );
  });
});

describe("no other host is called", () => {
  const there = elsewhere.url.host;

  test("for what a request says", async () => {
    const body = JSON.stringify({
      ...JSON.parse(json()),
      base_url: `http://${there}/`,
      url: `http://${there}/`,
      webhook: `http://${there}/`,
      proxy: `http://${there}/`,
    });
    const headers: Record<string, string> = {
      host: there,
      referer: `http://${there}/`,
      forwarded: `host=${there};proto=http`,
      "x-forwarded-host": there,
      "x-original-url": `http://${there}/`,
      "x-rewrite-url": `http://${there}/`,
    };
    expect((await chat(body, headers)).status).toBe(200);
    const absolute = await rawRequest(gateway.url, [head("", `GET http://${there}/v1/models HTTP/1.1`)]);
    expect(absolute.text).toContain("kimi-k2-instruct");
    await rawRequest(gateway.url, [head("", `CONNECT ${there} HTTP/1.1`)]);
  });

  test("for an image's address", async () => {
    const part = { type: "image_url", image_url: { url: `http://${there}/image.png` } };
    await expectRefused(await chat(json([part])), 400, "unsupported_content", "messages");
  });

  test.each([
    `http://THERE/`,
    `//THERE/`,
    `\\\\THERE\\`,
    `http:THERE`,
    `http://127.0.0.1@THERE/`,
    `https://THERE/`,
    `file:///etc/passwd`,
    `data:text/html,<script>var kimi_ajax={"nonce":"0123456789"}</script>`,
    `javascript:alert(1)`,
    `http://[`,
  ])("for a redirect of page or call to %s", async (address) => {
    const target = address.replaceAll("THERE", there);
    const ask = ownGateway({
      CHAT_PAGE_URL: site.pageUrl,
      UPSTREAM_URL: site.ajaxUrl,
      CIRCUIT_BREAKER: "off",
    });
    await site.queue({ page: [`redirect=${target}`] });
    await expectRefused(await ask({ messages: hello.messages }), 503, "upstream_nonce_unavailable");
    await site.queue({ ajax: [`redirect=${target}`] });
    await expectRefused(await ask({ messages: hello.messages }), 502, "upstream_invalid_response");
  });
});

describe("headers", () => {
  test("that can't be names or ids are not given back", async () => {
    for (const id of ["a b", "é", "x".repeat(129), '"', "a;b", "<script>"]) {
      const response = await chat(json(), { "x-request-id": id });
      expect(response.headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/);
    }
    const preflight = await fetch(`${gateway.url}/v1/models`, {
      method: "OPTIONS",
      headers: { origin: "https://a.example", "access-control-request-headers": "x-a, set-cookie: b=1" },
    });
    expect(preflight.headers.get("access-control-allow-headers")).toBe("authorization, content-type");
  });

  test("of the path split no response", async () => {
    for (const path of ["/%0d%0aset-cookie:%20a=1", "/v1/models/%0d%0aset-cookie:%20a=1%0d%0a%0d%0abody"]) {
      const answer = await rawRequest(gateway.url, [head("", `GET ${path} HTTP/1.1`)], { readMs: 20 });
      expect([answer.status, answer.count]).toEqual([404, 1]);
      expect(answer.text.split("\r\n\r\n", 1)[0]?.toLowerCase()).not.toContain("set-cookie");
    }
  });

  test.each([
    ["x-session-id", "x".repeat(513)],
    ["x-session-id", "a b"],
    ["x-session-id", "caf\xe9"],
  ])("%s of %j are refused", async (name, value) => {
    await expectRefused(await chat(json(), { [name]: value }), 400, "invalid_request", "X-Session-Id");
  });

  test.each(["x".repeat(4097), "世".repeat(1366), "\ud800"])(
    "a user as long or broken as that is refused",
    async (user) => {
      await expectRefused(
        await chat(JSON.stringify({ ...JSON.parse(json()), user })),
        400,
        "invalid_request",
        "user",
      );
    },
  );

  test("of every answer are safe, and those of ours are exposed", async () => {
    const origin = "https://chat.example.com";
    const headers = { origin, authorization: `Bearer ${key}` };
    const send = (path: string, init: RequestInit = {}) => fetch(gateway.url + path, { headers, ...init });
    const post = (body: string) => send("/v1/chat/completions", { method: "POST", body });
    const answers = [
      await send("/"),
      await send("/health"),
      await send("/metrics"),
      await send("/v1/models"),
      await send("/v1/models/nobody"),
      await send("/nowhere"),
      await send("/v1/models", { method: "PUT" }),
      await send("/v1/models", { method: "HEAD" }),
      await send("/v1/models", { method: "OPTIONS" }),
      await send("/v1/models", { headers: { origin } }),
      await send("/v1/models", { headers: { origin, authorization: "Bearer wrong" } }),
      await post(json()),
      await post(json("[[sim:ratelimit=7]]")),
      await post(json("[[sim:challenge]]")),
      await post(JSON.stringify({ ...JSON.parse(json()), stream: true })),
      await post("x".repeat(5_000_000)),
    ];
    expect(answers.map(({ status }) => status)).toEqual([
      200, 200, 200, 200, 404, 404, 405, 200, 204, 401, 401, 200, 429, 503, 200, 413,
    ]);
    for (const answer of answers) {
      await answer.text();
      expectCommonHeaders(answer.headers);
      expect(answer.headers.get("access-control-allow-origin")).toBe("*");
      const exposed = answer.headers.get("access-control-expose-headers")?.split(", ");
      for (const name of answer.headers.keys()) {
        if (/^(x-|retry-after)/.test(name)) expect(exposed).toContain(name);
      }
    }
  });

  test("that the source sets are all exposed, and none allows credentials", () => {
    const core = new URL("../../core/", import.meta.url);
    const set = new Set<string>();
    for (const path of readdirSync(core, { recursive: true, encoding: "utf8" })) {
      // What providers set goes to upstreams.
      if (!path.endsWith(".ts") || path.startsWith("providers")) continue;
      const source = readFileSync(new URL(path, core), "utf8");
      expect(source).not.toContain("allow-credentials");
      for (const [, name] of source.matchAll(/"((?:x-[a-z-]+)|retry-after(?:-ms)?)"\]?\s*[:=\]]/g)) {
        if (name) set.add(name);
      }
    }
    expect(set.size).toBeGreaterThan(8);
    expect([...set].filter((name) => !(exposedHeaders as readonly string[]).includes(name))).toEqual([]);
  });
});

test.each([true, false])("an upstream's fields may have any name, as a whole answer: %p", async (isWhole) => {
  const fields = JSON.parse('{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}');
  const message = { ...fields, content: "Hi" };
  const choice = { ...fields, index: 0, [isWhole ? "message" : "delta"]: message, finish_reason: "stop" };
  const event = { ...fields, choices: [choice] };
  const provider = scriptedProvider({
    async *answer() {
      yield {
        parts: [
          { type: "text-delta", delta: "Hi" },
          { type: "finish", reason: "stop" },
        ],
        native: { format: "chat-completions", isWhole, event },
      };
    },
  });
  const { chat } = testHandler({ DEFAULT_MODEL: "" }, { providers: [provider] });
  const body = { ...hello, model: "test-model" };
  expect((await (await chat(body)).json()).choices[0].message.content).toBe("Hi");
  expect(await (await chat({ ...body, stream: true })).text()).toContain('"content":"Hi"');
  expect(({} as Record<string, unknown>).polluted).toBeUndefined();
});
