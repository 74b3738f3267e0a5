import { beforeEach, describe, expect, test } from "bun:test";
import OpenAI from "openai";
import { gatewayBeforeSite } from "../support/gateway-before-site.ts";
import { failureOf } from "../support/openai-failure.ts";
import { until } from "../support/until.ts";

const apiKey = "sk-client";
const timeoutMs = 2000;

const { baseURL, site } = await gatewayBeforeSite({
  API_MASTER_KEY: apiKey,
  API_REQUEST_TIMEOUT: String(timeoutMs / 1000),
  STREAM_COMMIT_MS: "500",
  // The faults of one test would open it for the next.
  CIRCUIT_BREAKER: "off",
});
beforeEach(() => site.reset());

const openai = new OpenAI({ apiKey, baseURL });
const model = "kimi-k2-instruct";
const say = (content: string) => ({ model, messages: [{ role: "user" as const, content }] });

/** A client that counts what it sends. */
function countingClient(options: ConstructorParameters<typeof OpenAI>[0] = {}) {
  let requests = 0;
  const client = new OpenAI({
    apiKey,
    baseURL,
    ...options,
    fetch: (url, init) => {
      requests++;
      return fetch(url, init);
    },
  });
  return { client, requests: () => requests };
}

describe("the openai package", () => {
  test("gets a completion", async () => {
    const { data, request_id } = await openai.chat.completions.create(say("Hello there")).withResponse();
    expect(data.choices[0]?.message.content).toStartWith("You said: Hello there\n");
    expect(data.choices[0]?.finish_reason).toBe("stop");
    expect(data.usage?.total_tokens).toBeGreaterThan(0);
    expect(request_id).toMatch(/^[0-9a-f-]{36}$/);
  });

  test("gets an answer to a whole conversation", async () => {
    const { choices } = await openai.chat.completions.create({
      model,
      messages: [
        { role: "system", content: "Be brief." },
        { role: "user", content: "What is 1 + 1?" },
        { role: "assistant", content: "2" },
        { role: "user", content: [{ type: "text", text: "And 2 + 2?" }] },
      ],
    });
    expect(choices[0]?.message.content).toStartWith("You said: User: And 2 + 2?\n");
    expect(choices[0]?.message.content).toContain("turns=4");
  });

  test("iterates over a stream", async () => {
    const stream = await openai.chat.completions.create({
      ...say("Hello there"),
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = "";
    let usage: OpenAI.CompletionUsage | null | undefined;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? "";
      usage = chunk.usage;
    }
    expect(text).toStartWith("You said: Hello there\n");
    expect(usage?.completion_tokens).toBeGreaterThan(0);
  });

  test("collects a stream with its helper", async () => {
    const runner = openai.chat.completions.stream(say("Hello there"));
    const deltas: string[] = [];
    runner.on("content", (delta) => deltas.push(delta));
    const completion = await runner.finalChatCompletion();
    expect(completion.choices[0]?.message).toMatchObject({ role: "assistant", content: deltas.join("") });
    expect(deltas.length).toBeGreaterThan(2);
    expect(completion.choices[0]?.finish_reason).toBe("stop");
  });

  test("lists and retrieves models", async () => {
    const models = await Array.fromAsync(openai.models.list());
    expect(models.map(({ id }) => id)).toEqual(["kimi-k2-instruct-0905", "kimi-k2-instruct"]);
    expect(await openai.models.retrieve(model)).toEqual(models[1] as OpenAI.Model);
  });

  test.each([
    ["a bad parameter", { ...say("Hi"), top_p: 2 }, OpenAI.BadRequestError, "invalid_request", "top_p"],
    ["several replies", { ...say("Hi"), n: 2 }, OpenAI.BadRequestError, "unsupported_parameter", "n"],
    [
      "a text that is too long",
      say("x".repeat(1001)),
      OpenAI.BadRequestError,
      "context_length_exceeded",
      "messages",
    ],
    ["an unknown model", { ...say("Hi"), model: "gpt-0" }, OpenAI.NotFoundError, "model_not_found", "model"],
  ] as const)("raises its own class of error for %s", async (_, request, errorClass, code, param) => {
    const error = await failureOf(openai.chat.completions.create(request));
    expect(error).toBeInstanceOf(errorClass);
    expect(error).toMatchObject({ code, param, type: "invalid_request_error" });
    expect(error.requestID).toBeTruthy();
  });

  test("raises its own class of error for a missing route and a wrong key", async () => {
    const missing = await failureOf(openai.embeddings.create({ model, input: "Hi" }));
    expect(missing).toBeInstanceOf(OpenAI.NotFoundError);
    expect(missing.code).toBe("not_found");
    const wrong = await failureOf(new OpenAI({ apiKey: "sk-other", baseURL }).models.list());
    expect(wrong).toBeInstanceOf(OpenAI.AuthenticationError);
    expect(wrong.code).toBe("invalid_api_key");
  });

  test("raises what fails after a stream has begun", async () => {
    const stream = await openai.chat.completions.create({
      ...say("[[sim:slow=1|error=Out of ink]]"),
      stream: true,
    });
    const error = await failureOf(Array.fromAsync(stream));
    expect(error.code).toBe("upstream_error");
    expect(error.message).toContain("Out of ink");
  });
});

describe("the openai package's own retries", () => {
  test.each([
    ["error", "upstream_error", OpenAI.InternalServerError],
    ["challenge", "upstream_challenge", OpenAI.InternalServerError],
    ["ratelimit200", "upstream_rate_limited", OpenAI.RateLimitError],
    ["ratelimit=31", "upstream_rate_limited", OpenAI.RateLimitError],
    [`slow=${(2 * timeoutMs) / 1000}`, "upstream_timeout", OpenAI.InternalServerError],
  ] as const)("are not made for %s", async (mode, code, errorClass) => {
    const { client, requests } = countingClient();
    const error = await failureOf(client.chat.completions.create(say(`[[sim:${mode}]]`)));
    expect(error).toBeInstanceOf(errorClass);
    expect(error.code).toBe(code);
    expect(requests()).toBe(1);
    expect((await site.status()).counts.ajax).toBe(1);
  });

  test.each([["http=503"], ["kill"], ["success_nodata"], ["ratelimit=1"]])("help after %s", async (mode) => {
    await site.queue({ ajax: [mode] });
    const { client, requests } = countingClient();
    const { choices } = await client.chat.completions.create(say("Hello there"));
    expect(choices[0]?.message.content).toStartWith("You said: Hello there\n");
    expect(requests()).toBe(2);
  });

  test("are not made when maxRetries is 0", async () => {
    const { client, requests } = countingClient({ maxRetries: 0 });
    const error = await failureOf(client.chat.completions.create(say("[[sim:http=503]]")));
    expect(error.code).toBe("upstream_unavailable");
    expect(requests()).toBe(1);
  });

  test("end after two", async () => {
    const { client, requests } = countingClient();
    const error = await failureOf(client.chat.completions.create(say("[[sim:http=503]]")));
    expect(error.code).toBe("upstream_unavailable");
    expect(requests()).toBe(3);
  }, 15_000);
});

describe("an openai client that leaves", () => {
  const wasLetGo = () => until(async () => (await site.status()).counts.aborted === 1);

  test("in the middle of a stream frees the call to the site", async () => {
    const stream = await openai.chat.completions.create({ ...say("[[sim:slow=1.9]]"), stream: true });
    for await (const chunk of stream) {
      expect(chunk.choices[0]?.delta.role).toBe("assistant");
      break;
    }
    await wasLetGo();
  });

  test("by its signal frees the call to the site", async () => {
    const leaving = new AbortController();
    const answer = openai.chat.completions.create(say("[[sim:slow=1.9]]"), { signal: leaving.signal });
    await until(async () => (await site.status()).counts.ajax_by.pending === 1);
    leaving.abort();
    expect(await failureOf(answer)).toBeInstanceOf(OpenAI.APIUserAbortError);
    await wasLetGo();
  });

  test("by its own timeout frees the call to the site", async () => {
    const answer = openai.chat.completions.create(say("[[sim:slow=1.9]]"), { timeout: 1000, maxRetries: 0 });
    expect(await failureOf(answer)).toBeInstanceOf(OpenAI.APIConnectionTimeoutError);
    await wasLetGo();
  });
});
