/** A gateway before a second instance of itself, which stands before the chat site. */
import { beforeEach, describe, expect, test } from "bun:test";
import OpenAI from "openai";
import { gatewayBeforeSite } from "../support/gateway-before-site.ts";
import { gatewayBeforeUpstreams } from "../support/gateway-before-upstreams.ts";
import { schemaErrors } from "../support/openai-schema.ts";
import { sseData } from "../support/test-handler.ts";
import { until } from "../support/until.ts";

const back = await gatewayBeforeSite({
  API_MASTER_KEY: "sk-back",
  API_REQUEST_TIMEOUT: "1",
  STREAM_COMMIT_MS: "400",
  STREAM_KEEPALIVE_MS: "100",
  CIRCUIT_BREAKER: "off",
});
const front = await gatewayBeforeUpstreams({
  API_MASTER_KEY: "sk-front",
  OPENAI_BASE_URL: back.baseURL,
  OPENAI_API_KEY: "sk-back",
  CIRCUIT_BREAKER: "off",
});
const { site } = back;
beforeEach(() => site.reset());

const model = "kimi-k2-instruct";
const auth = { authorization: "Bearer sk-front" };
const say = (content: string, more: object = {}) => ({
  model,
  messages: [{ role: "user", content }],
  ...more,
});
const chat = (body: object, headers: Record<string, string> = {}) =>
  front.chat(body, { ...auth, ...headers });
const chatAtBack = (body: object) =>
  fetch(`${back.baseURL}/chat/completions`, {
    method: "POST",
    headers: { authorization: "Bearer sk-back" },
    body: JSON.stringify(body),
  });
const textOf = async (response: Response) => (await response.json()).choices[0].message.content as string;

/** The events of a stream, with its texts in the first event that has one: they may be cut elsewhere. */
const withTextsJoined = (events: readonly unknown[]): unknown[] => {
  const joined: unknown[] = [];
  let first: { content: string } | undefined;
  for (const event of events) {
    const { content } = (event as OpenAI.ChatCompletionChunk).choices?.[0]?.delta ?? {};
    if (content && first) first.content += content;
    else joined.push(event);
    if (content) first ??= (event as { choices: [{ delta: { content: string } }] }).choices[0].delta;
  }
  return joined;
};

describe("through two gateways", () => {
  test("the models are those of the second", async () => {
    const list = await (await front.get("/v1/models", auth)).json();
    expect(list.data.map(({ id, owned_by }: OpenAI.Model) => `${id} of ${owned_by}`)).toEqual([
      "kimi-k2-instruct-0905 of openai",
      "kimi-k2-instruct of openai",
    ]);
  });

  test.each([false, true])("an answer is the same as through one, stream: %p", async (stream) => {
    const body = say("Grüße, 👩‍👩‍👧 & <b>tags</b>", {
      stream,
      ...(stream && { stream_options: { include_usage: true } }),
    });
    const [far, near] = await Promise.all([chat(body), chatAtBack(body)]);
    expect(far.status).toBe(200);
    expect(far.headers.get("x-served-by")).toBe(`openai/${model}`);
    const comparable = (text: string) =>
      (stream ? withTextsJoined(sseData(text)) : [JSON.parse(text)]).map((event) =>
        event === "[DONE]" ? event : { ...(event as object), id: "", created: 0 },
      );
    expect(comparable(await far.text())).toEqual(comparable(await near.text()));
  });

  test("a session is remembered by the first, and the site told all of it", async () => {
    const session = { "x-session-id": "holiday" };
    expect(await textOf(await chat(say("Let us go to Paris"), session))).toContain("turns=0");
    const second = await chat(say("How far is it?"), session);
    expect(await textOf(second)).toContain("turns=3");
    expect(await textOf(await chat(say("How far is it?")))).toContain("turns=0");
  });

  test("a user whom both remember is told of each turn once", async () => {
    const user = { user: "alice" };
    for (const turns of [0, 3, 5]) {
      expect(await textOf(await chat(say(`Turn ${turns}`, user)))).toContain(`turns=${turns}`);
    }
  });

  test("a stream stays alive while the site thinks, and says all in the end", async () => {
    const response = await chat(say("[[sim:slow=0.6]] Hello", { stream: true }));
    expect(response.status).toBe(200);
    const events = sseData(await response.text());
    expect(events.pop()).toBe("[DONE]");
    for (const event of events) expect(schemaErrors("CreateChatCompletionStreamResponse", event)).toEqual([]);
    const text = (events as OpenAI.ChatCompletionChunk[])
      .map(({ choices }) => choices[0]?.delta.content ?? "")
      .join("");
    expect(text).toStartWith("You said: ");
  });

  test.each<[string, string, number, string]>([
    ["a failure of the site", "error=Out of ink", 502, "upstream_error"],
    ["a challenge", "challenge", 503, "upstream_challenge"],
    ["a rate limit", "ratelimit=7", 429, "upstream_rate_limited"],
    ["a site that is down", "http=503", 503, "upstream_unavailable"],
    ["a cut connection", "cut", 502, "upstream_unreachable"],
    ["a site that takes too long", "slow=5", 504, "upstream_timeout"],
  ])("%s keeps its status, code and words", async (_, mode, status, code) => {
    const expectSame = async (stream: boolean) => {
      const body = say(`[[sim:${mode}]]`, { stream });
      const [far, near] = await Promise.all([chat(body), chatAtBack(body)]);
      const [farText, nearText] = [await far.text(), await near.text()];
      // The second gateway may have had to send its headers first; the first one still has a true status to give.
      const isLate = near.status === 200;
      const { error } = isLate ? (sseData(nearText).at(-1) as { error: object }) : JSON.parse(nearText);
      expect(far.status).toBe(isLate ? 502 : status);
      expect(JSON.parse(farText)).toEqual({ error });
      expect(JSON.parse(farText).error.code).toBe(code);
      if (isLate) return;
      for (const name of ["retry-after", "x-should-retry"])
        expect(far.headers.get(name)).toBe(near.headers.get(name));
    };
    await Promise.all([expectSame(false), expectSame(true)]);
  });

  test.each<[string, object, number, string]>([
    ["a text that is too long", say("x".repeat(1001)), 400, "context_length_exceeded"],
    ["several replies", say("Hi", { n: 2 }), 400, "unsupported_parameter"],
    ["an unknown model", say("Hi", { model: "openai/gpt-0" }), 404, "model_not_found"],
  ])("%s is refused in the second's words", async (_, body, status, code) => {
    const response = await chat(body);
    expect(response.status).toBe(status);
    const answer = await response.json();
    expect(schemaErrors("ErrorResponse", answer)).toEqual([]);
    expect(answer.error.code).toBe(code);
    expect(answer.error.param).toBeTruthy();
  });

  test.each([true, false])("a client that leaves frees the call to the site, stream: %p", async (stream) => {
    const leaver = new AbortController();
    const answer = fetch(`${front.baseURL}/chat/completions`, {
      method: "POST",
      headers: auth,
      signal: leaver.signal,
      body: JSON.stringify(say("[[sim:slow=0.9]]", { stream })),
    }).then((response) => response.text());
    await until(async () => (await site.status()).counts.ajax_by.pending === 1);
    leaver.abort();
    await expect(answer).rejects.toThrow();
    await until(async () => (await site.status()).counts.aborted === 1);
  });

  test("a wrong key between them is the gateway's fault, and not shown", async () => {
    const stranger = await gatewayBeforeUpstreams({
      OPENAI_BASE_URL: back.baseURL,
      OPENAI_API_KEY: "sk-somebody",
      OPENAI_MODELS: model,
    });
    const response = await stranger.chat({ model });
    expect(response.status).toBe(502);
    const text = await response.text();
    expect(JSON.parse(text).error.code).toBe("upstream_auth_failed");
    expect(text).not.toContain("sk-somebody");
  });

  test("the openai package streams, and raises what it would raise of one", async () => {
    const client = new OpenAI({ apiKey: "sk-front", baseURL: front.baseURL, maxRetries: 0 });
    const runner = client.chat.completions.stream({ model, messages: [{ role: "user", content: "Hello" }] });
    expect((await runner.finalChatCompletion()).choices[0]?.message.content).toStartWith("You said: Hello\n");
    const error = await client.chat.completions
      .create({ model, messages: [{ role: "user", content: "[[sim:ratelimit=7]]" }] })
      .then(
        () => undefined,
        (reason) => reason,
      );
    expect(error).toBeInstanceOf(OpenAI.RateLimitError);
    expect(error.code).toBe("upstream_rate_limited");
  });
});
