/**
 * Plants secrets wherever a gateway meets them, sends good and bad traffic of every kind, and looks for them in all that
 * is printed at LOG_LEVEL=debug, in every error, in every header, and on the pages for operators.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { callFaults, pageFaults, upstreamFaults } from "../e2e/faults/fault-table.ts";
import { startChatSite } from "../fakes/chat-site.ts";
import { cut, type OpenAiUpstream, type Step, startOpenAiUpstream } from "../fakes/openai-upstream.ts";
import { siteControl } from "../fakes/site-control.ts";
import { type Server, startServer } from "../support/start-server.ts";
import { until } from "../support/until.ts";

const planted = {
  masterKey: "sk-planted-master-d41d8cd98f00",
  namedKey: "sk-planted-named-b204e9800998",
  wrongKey: "sk-planted-wrong-ecf8427e7a11",
  upstreamKey: "sk-planted-upstream-0cc175b9c0f1",
  header: "planted-header-b6a831c399e2",
  cookie: "planted-cookie-69773f6a0d1c",
  query: "planted-query-92eb5ffee6ae",
  sessionId: "planted-session-2fec392304a5",
  user: "planted-user-c21138da4e0c",
  idempotencyKey: "planted-idempotency-4a8a08f09d37",
  message: "planted-message-b73795649038",
  system: "planted-system-408f5a1e9dfe",
  reply: "planted-reply-8cf8463b34ca",
};

/** Ids that the gateway makes of random hex digits, in which the tail of a secret may turn up by chance. */
const ids = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|chatcmpl-[0-9a-f]{32}/g;

/** What of it stands in a text, by name; a key's tail counts too, since upstreams like to show it. */
function found(text: string, secrets: Readonly<Record<string, string>> = planted): string[] {
  const searched = text.replace(ids, "ID");
  return Object.entries(secrets)
    .filter(([, secret]) => searched.includes(secret) || searched.includes(secret.slice(-8)))
    .map(([name]) => name);
}

interface Shown {
  readonly where: string;
  readonly text: string;
}

/** All that a client was shown and that is not the reply it has asked for. */
const shown: Shown[] = [];

async function show(where: string, response: Response): Promise<Response> {
  const text = await response.clone().text();
  const headers = JSON.stringify([...response.headers]);
  shown.push({ where: `${where}: headers`, text: headers });
  if (response.status >= 400) shown.push({ where: `${where}: ${response.status}`, text });
  for (const event of text.split("\n\n")) {
    if (event.startsWith('data: {"error"') || event.startsWith(":")) shown.push({ where, text: event });
  }
  return response;
}

const chatSite = startChatSite({ reply: `${planted.reply}, as you wish` });
const site = siteControl(chatSite.url);
let upstream: OpenAiUpstream;
let gateway: Server;

interface Asking {
  readonly headers?: Record<string, string>;
  readonly signal?: AbortSignal;
  readonly [field: string]: unknown;
}

const ask = (content: string, { headers = {}, signal, ...fields }: Asking = {}) =>
  fetch(`${gateway.url}/v1/chat/completions?key=${planted.query}`, {
    method: "POST",
    headers: { authorization: `Bearer ${planted.masterKey}`, ...headers },
    body: JSON.stringify({
      messages: [
        { role: "system", content: planted.system },
        { role: "user", content: `${content} ${planted.message}` },
      ],
      ...fields,
    }),
    ...(signal && { signal }),
  });

/** Asks in whole and streamed, within a conversation. */
async function askBoth(where: string, content: string, asking: Asking = {}) {
  const answers = [false, true].map(async (stream) =>
    show(where, await ask(content, { user: planted.user, ...asking, stream })),
  );
  return Promise.all(answers);
}

async function sendEverything() {
  // Page faults first, while there is no nonce yet.
  for (const { mode } of pageFaults) {
    await site.set({ page_mode: mode });
    await askBoth(`page ${mode}`, "Hello");
  }
  await site.reset();
  await site.set({ cookie: "require" });

  for (const answer of await askBoth("good", "Hello"))
    expect(await answer.text()).toContain(planted.reply.slice(0, 9));
  const remembered = { "x-session-id": planted.sessionId, "idempotency-key": planted.idempotencyKey };
  await show("session", await ask("Hello", { headers: remembered }));
  await show("replayed", await ask("Hello", { headers: remembered }));
  await show("key reused", await ask("Other", { headers: remembered }));
  for (const method of ["GET", "DELETE"]) {
    const headers = { authorization: `Bearer ${planted.namedKey}`, "x-session-id": planted.sessionId };
    await show(`session ${method}`, await fetch(`${gateway.url}/v1/session`, { method, headers }));
  }
  await site.rotate();
  await askBoth("rotated", "Hello");

  for (const { mode } of callFaults) {
    await askBoth(`call ${mode}`, `[[sim:${mode}]]`);
  }
  await askBoth("late", "[[sim:slow=0.15|error]]");
  await site.maintenance(true);
  await askBoth("maintenance", "Hello");
  await site.maintenance(false);

  const leaving = new AbortController();
  const left = ask("[[sim:slow=0.3]]", { signal: leaving.signal, stream: true }).catch(() => {});
  await Bun.sleep(50);
  leaving.abort();
  await left;

  const { message, wrongKey } = planted;
  const bodies: unknown[] = [
    { messages: message },
    { messages: [{ role: message, content: message }] },
    { messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: message } }] }] },
    { messages: [{ role: "user", content: message }], temperature: message },
    { messages: [{ role: "user", content: message }], n: 2 },
    { messages: [{ role: "user", content: message.repeat(100) }] },
    { messages: [{ role: "user", content: message }], user: planted.user.repeat(1000) },
  ];
  for (const body of bodies) {
    await show("bad body", await ask("", { ...(body as object) }));
  }
  for (const headers of [
    { authorization: `Bearer ${wrongKey}` },
    { authorization: `Basic ${wrongKey}` },
    { "x-session-id": `${planted.sessionId} with blanks` },
    { "content-encoding": "gzip" },
  ]) {
    await show("bad headers", await ask("Hello", { headers: headers as Record<string, string> }));
  }
  const headers = { authorization: `Bearer ${planted.masterKey}` };
  const post = { method: "POST", headers, body: `{"messages": [${message}` };
  await show("bad JSON", await fetch(`${gateway.url}/v1/chat/completions`, post));
  await show("bad path", await fetch(`${gateway.url}/v1/${planted.query}`, { headers }));

  const echoes = [
    planted.upstreamKey,
    planted.header,
    `Bearer ${planted.upstreamKey}`,
    planted.upstreamKey.slice(-8),
  ];
  for (const echo of echoes) {
    for (const status of [400, 401, 403, 429, 500]) {
      const error = { message: `Bad key ${echo}`, type: echo, code: echo, param: echo };
      const script = { status, steps: [JSON.stringify({ error })] };
      upstream.script(script, script);
      await askBoth(`upstream ${status}`, "Hello", { model: "echo" });
    }
  }
  for (const { status, headers = {}, body, isCut, what } of upstreamFaults) {
    const steps: Step[] = isCut ? [body, cut] : [body];
    const script = { status, headers, steps };
    upstream.script(script, script);
    await askBoth(`upstream ${what}`, "Hello", { model: "echo" });
  }
  for (const path of ["/", "/health", "/metrics", "/v1/models"]) {
    const response = await fetch(gateway.url + path, { headers });
    shown.push({ where: path, text: await response.text() });
  }
}

describe("no secret is shown", () => {
  const requestLines = () =>
    gateway
      .output()
      .split("\n")
      .filter((line) => line.includes('"event":"request.finished"'));

  beforeAll(async () => {
    upstream = await startOpenAiUpstream();
    gateway = await startServer({
      env: {
        API_MASTER_KEY: planted.masterKey,
        API_KEYS: JSON.stringify({ alice: planted.namedKey }),
        CHAT_PAGE_URL: site.pageUrl,
        UPSTREAM_URL: site.ajaxUrl,
        UPSTREAM_HEADERS: JSON.stringify({
          cookie: `planted_login=${planted.cookie}`,
          "x-planted-token": planted.header,
        }),
        PROVIDERS: JSON.stringify([
          {
            name: "upstream",
            baseUrl: upstream.baseUrl,
            apiKey: planted.upstreamKey,
            models: ["echo"],
            headers: { "x-planted-token": planted.header },
          },
        ]),
        LOG_LEVEL: "debug",
        STREAM_COMMIT_MS: "50",
        STREAM_KEEPALIVE_MS: "100",
        CIRCUIT_BREAKER: "off",
        CONTEXT_MAX_LENGTH: "500",
      },
    });
    await sendEverything();
    await until(async () => requestLines().length > 150);
  }, 60_000);
  afterAll(async () => {
    await gateway.stop();
    await chatSite.stop();
    upstream.close();
  });

  test("to clients, but in replies", () => {
    expect(shown.length).toBeGreaterThan(200);
    for (const { where, text } of shown) expect([where, found(text)]).toEqual([where, []]);
  });

  test("in the log at its most talkative, nor anything else that is printed", () => {
    const output = gateway.output();
    expect(output).toContain('"level":"debug"');
    expect(output.split("\n").filter((line) => found(line).length > 0)).toEqual([]);
  });

  test("of those that the site has given: nonces and cookies", async () => {
    const { ajax } = await site.log();
    const given = new Set<string>();
    for (const { nonce, headers } of ajax) {
      if (nonce) given.add(nonce);
      for (const [, value] of (headers.cookie ?? "").matchAll(/=([^;]+)/g)) if (value) given.add(value);
    }
    expect(given.size).toBeGreaterThanOrEqual(3);
    const secrets = Object.fromEntries([...given].map((secret) => [secret, secret]));
    expect(found(gateway.output(), secrets)).toEqual([]);
    for (const { where, text } of shown) expect([where, found(text, secrets)]).toEqual([where, []]);
  });
});

test("a site that repeats nonce, cookies and message in its failures is not repeated", async () => {
  const nonce = "f3749c0f5f";
  const setCookie = "planted-set-cookie-1679091c5a88";
  let answer: (body: string) => Response = () => new Response();
  const echoing = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      const text = `${request.headers.get("cookie")} ${await request.text()}`;
      if (request.method === "POST") return answer(text);
      return new Response(`<script>var kimi_ajax = {"nonce":"${nonce}"};</script>`, {
        headers: { "set-cookie": `kimi_sess=${setCookie}; path=/` },
      });
    },
  });
  const server = await startServer({
    env: {
      CHAT_PAGE_URL: `${echoing.url}chat/`,
      UPSTREAM_URL: `${echoing.url}ajax`,
      UPSTREAM_HEADERS: JSON.stringify({ cookie: `planted_login=${planted.cookie}` }),
      LOG_LEVEL: "debug",
      CIRCUIT_BREAKER: "off",
    },
  });
  const secrets = { nonce, setCookie, cookie: planted.cookie };
  const html = (text: string) => `<html><head><title>${text}</title></head><body>${text}</body></html>`;
  const answers: (typeof answer)[] = [
    (text) => Response.json({ success: false, data: text }),
    (text) => Response.json({ success: false, data: text }, { status: 403 }),
    (text) => Response.json({ success: false, data: { message: text, code: nonce } }, { status: 500 }),
    (text) => new Response(html(text)),
    (text) => new Response(html(text), { status: 404 }),
    (text) => new Response(html(text), { status: 503 }),
    (text) => new Response(html(text), { status: 429 }),
    (text) => new Response(text.slice(0, 190)),
    () =>
      new Response(null, { status: 302, headers: { location: `/login/${nonce}/${setCookie}?n=${nonce}` } }),
  ];
  for (answer of answers) {
    const body = JSON.stringify({ messages: [{ role: "user", content: "Hi" }] });
    const response = await fetch(`${server.url}/v1/chat/completions`, { method: "POST", body });
    expect(response.status).toBeGreaterThanOrEqual(400);
    expect(found(await response.text(), secrets)).toEqual([]);
  }
  expect(found(server.output(), secrets)).toEqual([]);
  await server.stop();
  await echoing.stop(true);
});
