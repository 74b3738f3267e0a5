/**
 * What every gateway must do over HTTP, whichever adapter and runtime serves it. Written once, run over a started
 * process of each: `gatewayContract("Bun", { start: (env) => startServer({ env }) })`.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { startChatSite } from "../fakes/chat-site.ts";
import { replyTexts } from "../fakes/faults.ts";
import { type SiteControl, siteControl } from "../fakes/site-control.ts";
import { arrivalTimes } from "../support/arrival-times.ts";
import { type OpenAiSchema, schemaErrors } from "../support/openai-schema.ts";
import type { Server } from "../support/start-server.ts";
import { sseData } from "../support/test-handler.ts";
import { until } from "../support/until.ts";
import { watchedAnswers } from "../support/watch-answers.ts";

export interface GatewayUnderTest {
  /** Starts a gateway with these settings. */
  start(env: Readonly<Record<string, string>>): Promise<Pick<Server, "url" | "stop">>;
  /** Where it keeps conversations when no setting says so; by default in memory. */
  readonly store?: "memory" | "deno-kv" | "durable-object" | "redis-rest";
  /** The cases that it can't pass, each with the reason. */
  readonly skips?: Partial<Record<GatewayCase, string>>;
}

interface Bench {
  /** The gateway's address. */
  readonly url: string;
  /** The chat site behind it. */
  readonly site: SiteControl;
  readonly store: string;
  /** Starts a further gateway before the same site. */
  start(env: Readonly<Record<string, string>>): Promise<Pick<Server, "url" | "stop">>;
  send(path: string, init?: RequestInit): Promise<Response>;
  chat(body: object, init?: RequestInit): Promise<Response>;
}

const key = "sk-contract";
const authorization = { authorization: `Bearer ${key}` };
const origin = "https://chat.example.com";
const commitMs = 1000;

const settings = {
  API_MASTER_KEY: key,
  STREAM_DELAY_MS: "10",
  STREAM_CHUNK_CHARS: "5",
  STREAM_COMMIT_MS: String(commitMs),
  STREAM_KEEPALIVE_MS: "200",
  // The faults of one case would open it for the next.
  CIRCUIT_BREAKER: "off",
};

const say = (content: string) => ({
  model: "kimi-k2-instruct",
  messages: [{ role: "user", content }],
});

/** Long enough to take a second with the typewriter's delay. */
const longReply = "A reply of many words, cut into short pieces. ".repeat(12).trim();

interface Chunk {
  readonly id: string;
  readonly created: number;
  readonly model: string;
  readonly usage?: object | null;
  readonly choices: readonly {
    readonly index: number;
    readonly finish_reason: string | null;
    readonly delta: { readonly role?: string; readonly content?: string };
  }[];
}

const expectSchema = (schema: OpenAiSchema, value: unknown) =>
  expect(schemaErrors(schema, value)).toEqual([]);

/** The chunks of a stream that went well, and the text they make; every rule of chunks is checked on the way. */
async function readChunks(response: Response): Promise<{ chunks: Chunk[]; text: string }> {
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toStartWith("text/event-stream");
  expect(response.headers.get("cache-control")).toContain("no-cache");
  expect(response.headers.get("x-accel-buffering")).toBe("no");
  const events = sseData(await response.text());
  expect(events.at(-1)).toBe("[DONE]");
  const chunks = events.slice(0, -1) as Chunk[];
  for (const chunk of chunks) {
    expectSchema("CreateChatCompletionStreamResponse", chunk);
    expect(chunk).toMatchObject({
      id: chunks[0]?.id,
      created: chunks[0]?.created,
      model: chunks[0]?.model,
    });
  }
  const choices = chunks.flatMap((chunk) => chunk.choices);
  expect(choices.map(({ index }) => index)).toEqual(choices.map(() => 0));
  expect(choices.map(({ delta }) => delta.role)).toEqual(
    choices.map((_, at) => (at === 0 ? "assistant" : undefined)),
  );
  expect(choices.map((choice) => choice.finish_reason)).toEqual(
    choices.map((_, at) => (at === choices.length - 1 ? "stop" : null)),
  );
  for (const { delta } of choices) expect(delta.content).not.toBeNull();
  return { chunks, text: choices.map(({ delta }) => delta.content ?? "").join("") };
}

async function expectError(response: Response, status: number, code: string, param: string | null = null) {
  const body = await response.json();
  expect({ status: response.status, code: body.error?.code, param: body.error?.param }).toEqual({
    status,
    code,
    param,
  });
  expectSchema("ErrorResponse", body);
  expect(response.headers.get("content-type")).toStartWith("application/json");
  expect(response.headers.get("x-request-id")).toBeTruthy();
}

const cases = {
  "welcomes without a key": async ({ url }: Bench) => {
    const response = await fetch(url);
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ name: "kimi-ai-2api", links: { models: "/v1/models" } });
  },

  "answers /health without a key and without a call to the site": async ({ url, site, chat }) => {
    // A server that has just started fetches the site's page of itself; with an answer that is over.
    expect((await chat(say("Hello"))).status).toBe(200);
    const before = await site.status();
    expect((await fetch(`${url}/health`)).status).toBe(200);
    expect((await site.status()).counts).toEqual(before.counts);
  },

  "lists models by OpenAI's schema": async ({ send }) => {
    const list = await (await send("/v1/models")).json();
    expectSchema("ListModelsResponse", list);
    const model = await (await send("/v1/models/kimi-k2-instruct")).json();
    expectSchema("Model", model);
    expect(list.data).toContainEqual(model);
  },

  "serves every route with and without /v1, with doubled and trailing slashes": async ({ send }) => {
    for (const path of ["/v1/models", "/models", "//v1//models/", "/models/", "/v1/models/?x=1"]) {
      expect([path, (await send(path)).status]).toEqual([path, 200]);
    }
    const body = JSON.stringify(say("Hi"));
    for (const path of [
      "/chat/completions",
      "//v1//chat/completions/",
      "/v1/chat/completions?api-version=1",
    ]) {
      const response = await send(path, { method: "POST", body });
      expect([path, response.status]).toEqual([path, 200]);
      expect(await response.json()).toMatchObject({ object: "chat.completion" });
    }
  },

  "answers HEAD as GET, without a body": async ({ send }) => {
    for (const path of ["/", "/health", "/v1/models"]) {
      const response = await send(path, { method: "HEAD" });
      expect(response.status).toBe(200);
      expect(response.headers.get("content-type")).toStartWith("application/json");
      expect(await response.text()).toBe("");
    }
  },

  "answers preflights without a key and allows the headers they ask for": async ({ url }) => {
    const response = await fetch(`${url}/v1/chat/completions`, {
      method: "OPTIONS",
      headers: {
        origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-stainless-lang",
      },
    });
    expect(response.status).toBe(204);
    expect(response.headers.get("access-control-allow-origin")).toBe("*");
    expect(response.headers.get("access-control-allow-methods")).toContain("POST");
    expect(response.headers.get("access-control-allow-headers")?.split(/, */)).toEqual([
      "authorization",
      "content-type",
      "x-stainless-lang",
    ]);
  },

  "lets pages read its answers, errors and streams too": async ({ url, send, chat }) => {
    const answers = [
      await send("/v1/models", { headers: { origin } }),
      await send("/v1/nowhere", { headers: { origin } }),
      await fetch(`${url}/v1/models`, { headers: { origin } }),
      await chat({ ...say("Hi"), stream: true }, { headers: { origin } }),
    ];
    expect(answers.map(({ status }) => status)).toEqual([200, 404, 401, 200]);
    for (const answer of answers) {
      expect(answer.headers.get("access-control-allow-origin")).toBe("*");
      expect(answer.headers.get("access-control-expose-headers")).toContain("x-request-id");
      await answer.text();
    }
  },

  "asks for a key": async ({ url }) => {
    const missing = await fetch(`${url}/v1/models`);
    expect(missing.headers.get("www-authenticate")).toBe("Bearer");
    await expectError(missing, 401, "missing_api_key");
    const wrong = await fetch(`${url}/v1/models`, { headers: { authorization: "Bearer sk-other" } });
    await expectError(wrong, 401, "invalid_api_key");
    expect((await fetch(`${url}/v1/models`, { headers: { authorization: `bearer ${key}` } })).status).toBe(
      200,
    );
  },

  "answers in whole by OpenAI's schema": async ({ chat }) => {
    const response = await chat(say("Hello there"));
    expect(response.status).toBe(200);
    expect(response.headers.get("cache-control")).toBe("no-store");
    const completion = await response.json();
    expectSchema("CreateChatCompletionResponse", completion);
    expect(completion).toMatchObject({
      model: "kimi-k2-instruct",
      choices: [{ index: 0, finish_reason: "stop", message: { role: "assistant" } }],
    });
    expect(completion.choices[0].message.content).toStartWith("You said: Hello there\n");
    expect(completion.usage.total_tokens).toBe(
      completion.usage.prompt_tokens + completion.usage.completion_tokens,
    );
  },

  "streams by OpenAI's schema, without usage unless it is asked for": async ({ chat }) => {
    const { chunks, text } = await readChunks(await chat({ ...say("Hello there"), stream: true }));
    expect(text).toStartWith("You said: Hello there\n");
    expect(chunks.filter((chunk) => "usage" in chunk || chunk.choices.length === 0)).toEqual([]);
  },

  "streams usage in a last chunk of its own when it is asked for": async ({ chat }) => {
    const { chunks } = await readChunks(
      await chat({ ...say("Hi"), stream: true, stream_options: { include_usage: true } }),
    );
    const last = chunks.at(-1);
    expect(last?.choices).toEqual([]);
    expect(last?.usage).toMatchObject({ prompt_tokens: expect.any(Number) });
    expect(chunks.slice(0, -1).map(({ usage }) => usage)).toEqual(chunks.slice(0, -1).map(() => null));
  },

  "never splits what a reader sees as one character": async ({ chat }) => {
    for (const mode of ["emoji", "cjk"] as const) {
      const { chunks, text } = await readChunks(await chat({ ...say(`[[sim:${mode}]]`), stream: true }));
      expect(text).toBe(replyTexts[mode]);
      const characters = (content: string) => [...new Intl.Segmenter().segment(content)].length;
      const pieces = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "");
      expect(pieces.length).toBeGreaterThan(3);
      expect(pieces.map(characters).reduce((sum, count) => sum + count, 0)).toBe(characters(text));
    }
  },

  "sends a stream's first text early, not everything at the end": async ({ chat }) => {
    const response = await chat({ ...say(`[[sim:text=${longReply}]]`), stream: true });
    const arrivals = await arrivalTimes(response);
    const totalMs = arrivals.at(-1) ?? 0;
    expect(totalMs).toBeGreaterThan(500);
    expect(arrivals[0]).toBeLessThan(totalMs / 2);
    expect(arrivals.length).toBeGreaterThan(10);
  },

  "says in a comment that it lives, and ends a late failure with an error event": async ({ chat }) => {
    const response = await chat({ ...say(`[[sim:slow=${(commitMs + 500) / 1000}|error]]`), stream: true });
    expect(response.status).toBe(200);
    const text = await response.text();
    expect(text).toContain("\n: ");
    const last = sseData(text).at(-1) as { error: { code: string } };
    expectSchema("ErrorResponse", last);
    expect(last.error.code).toBe("upstream_error");
  },

  "gives a failure its true status, streaming or not": async ({ chat }) => {
    for (const stream of [false, true]) {
      const failed = await chat({ ...say("[[sim:error]]"), stream });
      expect(failed.headers.get("x-should-retry")).toBe("false");
      await expectError(failed, 502, "upstream_error");
      const limited = await chat({ ...say("[[sim:ratelimit=7]]"), stream });
      expect(limited.headers.get("retry-after")).toBe("7");
      await expectError(limited, 429, "upstream_rate_limited");
    }
  },

  "names what is wrong with a request": async ({ send, chat }) => {
    const post = { method: "POST", headers: { "content-type": "application/json" } };
    await expectError(await send("/v1/chat/completions", { ...post, body: "{" }), 400, "invalid_json");
    await expectError(await send("/v1/chat/completions", { ...post, body: "" }), 400, "invalid_json");
    await expectError(await chat({ messages: [] }), 400, "invalid_request", "messages");
    await expectError(await chat({ ...say("Hi"), temperature: 3 }), 400, "invalid_request", "temperature");
    await expectError(await chat({ ...say("Hi"), model: "gpt-0" }), 404, "model_not_found", "model");
    await expectError(await send("/v1/models/gpt-0"), 404, "model_not_found", "model");
    await expectError(await send("/v1/nowhere"), 404, "not_found");
    const wrongMethod = await send("/v1/chat/completions");
    expect(wrongMethod.headers.get("allow")).toBe("POST");
    await expectError(wrongMethod, 405, "method_not_allowed");
  },

  "keeps a request's id, or gives it one": async ({ send, chat }) => {
    for (const answer of [
      await send("/v1/models", { headers: { "x-request-id": "mine-1" } }),
      await send("/v1/nowhere", { headers: { "x-request-id": "mine-1" } }),
      await chat({ ...say("Hi"), stream: true }, { headers: { "x-request-id": "mine-1" } }),
    ]) {
      expect(answer.headers.get("x-request-id")).toBe("mine-1");
      await answer.text();
    }
    const ids = await Promise.all([send("/health"), send("/health")]);
    expect(ids[0]?.headers.get("x-request-id")).not.toBe(ids[1]?.headers.get("x-request-id"));
  },

  "reads a body of 1 MiB and tells what the site has room for": async ({ chat }) => {
    const turn = [
      { role: "user", content: "x".repeat(30_000) },
      { role: "assistant", content: "y".repeat(30_000) },
    ];
    const messages = [...Array.from({ length: 18 }, () => turn).flat(), { role: "user", content: "Newest" }];
    const response = await chat({ model: "kimi-k2-instruct", messages });
    expect(response.status).toBe(200);
    expect(response.headers.get("x-context-dropped-messages")).toBe("25");
    expect(response.headers.get("x-context-shortened-messages")).toBe("11");
    expect((await response.json()).choices[0].message.content).toStartWith("You said: User: Newest\n");
  },

  "refuses a body of 5 MB, with its length declared or not": async ({ chat, send, site }) => {
    const { ajax } = (await site.status()).counts;
    const body = say("x".repeat(5_000_000));
    await expectError(await chat(body), 413, "request_too_large");
    const streamed = new Blob([JSON.stringify(body)]).stream();
    const init = { method: "POST", body: streamed, duplex: "half" };
    await expectError(await send("/v1/chat/completions", init), 413, "request_too_large");
    expect((await site.status()).counts.ajax).toBe(ajax);
  },

  "remembers a conversation in its own store": async ({ chat, send, store }) => {
    const health = await (await send("/health")).json();
    expect(health.sessions.store).toBe(store);
    const headers = { "x-session-id": crypto.randomUUID() };
    await (await chat(say("The first message"), { headers })).text();
    await readChunks(await chat({ ...say("The second one"), stream: true }, { headers }));
    const { choices } = await (await chat(say("The third one"), { headers })).json();
    expect(choices[0].message.content).toContain("turns=5");
  },

  "answers twenty at once, each with its own reply": async ({ chat }) => {
    const texts = await Promise.all(
      Array.from({ length: 20 }, async (_, at) => {
        const response = await chat({ ...say(`Number ${at}`), stream: at % 2 === 0 });
        if (at % 2 === 0) return (await readChunks(response)).text;
        return (await response.json()).choices[0].message.content;
      }),
    );
    texts.forEach((text, at) => {
      expect(text).toStartWith(`You said: Number ${at}\n`);
    });
  },

  "lets go of the site when a client leaves before the answer": async ({ chat, site }) => {
    for (const stream of [true, false]) {
      await site.reset();
      const leaving = new AbortController();
      const answer = chat({ ...say("[[sim:slow=20]]"), stream }, { signal: leaving.signal });
      await until(async () => (await site.status()).counts.ajax_by.pending === 1);
      leaving.abort();
      expect(await answer.catch(({ name }) => name)).toBe("AbortError");
      await until(async () => (await site.status()).counts.aborted === 1);
    }
  },

  "is not upset by a client that leaves in the middle of a stream": async ({ chat, send }) => {
    const leaving = new AbortController();
    const response = await chat(
      { ...say(`[[sim:text=${longReply}]]`), stream: true },
      { signal: leaving.signal },
    );
    await response.body?.getReader().read();
    leaving.abort();
    expect((await send("/v1/models")).status).toBe(200);
    expect((await chat(say("Still there?"))).status).toBe(200);
  },

  "answers 504, or ends a stream with an error, before the platform's time is up": async ({ start }) => {
    const hurried = await start({ ...settings, PLATFORM_TIME_LIMIT: "6.5" });
    const ask = (stream: boolean) =>
      fetch(`${hurried.url}/v1/chat/completions`, {
        method: "POST",
        headers: authorization,
        body: JSON.stringify({ ...say("[[sim:slow=20]]"), stream }),
      });
    const startedMs = performance.now();
    const [whole, streamed] = await Promise.all([ask(false), ask(true)]);
    await expectError(whole, 504, "upstream_timeout");
    expect(streamed.status).toBe(200);
    expect(sseData(await streamed.text()).at(-1)).toMatchObject({ error: { code: "upstream_timeout" } });
    expect(performance.now() - startedMs).toBeLessThan(4000);
    await hurried.stop();
  },

  "answers only this machine when it has no key": async ({ start }) => {
    const open = await start({});
    expect((await fetch(`${open.url}/v1/models`)).status).toBe(200);
    await expectError(await fetch(`${open.url}/v1/models`, { headers: { origin } }), 403, "forbidden_origin");
    await expectError(
      await fetch(`${open.url}/v1/models`, { headers: { host: "rebound.example.com" } }),
      403,
      "forbidden_origin",
    );
    await open.stop();
  },

  "finishes running answers after SIGTERM, then ends with exit code 0": async ({ start }) => {
    const ending = await start(settings);
    const response = await fetch(`${ending.url}/v1/chat/completions`, {
      method: "POST",
      headers: authorization,
      body: JSON.stringify({ ...say(`[[sim:text=${longReply}]]`), stream: true }),
    });
    const exitCode = ending.stop();
    const { text } = await readChunks(response);
    expect(text).toBe(longReply);
    expect(await exitCode).toBe(0);
    expect(await fetch(`${ending.url}/health`).catch(() => "refused")).toBe("refused");
  },
} satisfies Record<string, (bench: Bench) => Promise<void>>;

/** What a gateway must do, by name. */
export type GatewayCase = keyof typeof cases;

/** Registers the suite for one adapter or runtime. */
export function gatewayContract(
  name: string,
  { start, store = "memory", skips = {} }: GatewayUnderTest,
): void {
  describe(`the gateway on ${name}`, () => {
    const chatSite = startChatSite();
    const site = siteControl(chatSite.url);
    const upstream = { CHAT_PAGE_URL: site.pageUrl, UPSTREAM_URL: site.ajaxUrl };
    let gateway: Awaited<ReturnType<typeof start>>;
    let bench: Bench;

    beforeAll(async () => {
      const startBefore = (env: Readonly<Record<string, string>>) => start({ ...upstream, ...env });
      gateway = await startBefore(settings);
      const { url } = gateway;
      const send = (path: string, init: RequestInit = {}) =>
        fetch(url + path, { ...init, headers: { ...authorization, ...(init.headers as object) } });
      bench = {
        url,
        site,
        store,
        start: startBefore,
        send,
        chat: (body, init = {}) =>
          send("/v1/chat/completions", { method: "POST", body: JSON.stringify(body), ...init }),
      };
    }, 30_000);
    afterAll(async () => {
      await gateway?.stop();
      await chatSite.stop();
      // All of them were held against the API's document.
      expect(watchedAnswers(new URL(bench.url).origin)).toBeGreaterThan(20);
    });

    for (const [caseName, run] of Object.entries(cases)) {
      const reason = skips[caseName as GatewayCase];
      if (reason !== undefined) test.skip(`${caseName} (skipped: ${reason})`, () => {});
      else test(caseName, () => run(bench), 30_000);
    }
  });
}
