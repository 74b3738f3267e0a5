import { describe, expect, test } from "bun:test";
import type { ApiError } from "../../../core/errors.ts";
import { fakeClock, settle } from "../../fakes/fake-clock.ts";
import { chunk, cut, doneEvent, eventStream, jsonScript, type Script } from "../../fakes/openai-upstream.ts";
import { chatRequest, providerContext, readAnswer } from "../../support/chat-request.ts";
import { nobody } from "../../support/nobody.ts";
import { asError, askedUpstream, events } from "./asked-upstream.ts";

const { upstream, provider, ask } = await askedUpstream();

describe("of what an upstream sends", () => {
  test("the size of one event is bounded", async () => {
    upstream.script(events(chunk({ content: "Hi" }), `data: ${"x".repeat(600)}`, settle, "x".repeat(600)));
    const { text, error } = await ask("Hello", { maxEventChars: 1000 });
    expect(text).toBe("Hi");
    expect(asError(error).code).toBe("upstream_invalid_response");
    await upstream.calls.at(-1)?.over;
  });

  test("the size of a whole reply is bounded, whether it is known or not, or hidden by compression", async () => {
    const reply = JSON.stringify({
      choices: [{ message: { content: "x".repeat(5000) }, finish_reason: "stop" }],
    });
    const json = { "content-type": "application/json" };
    for (const script of [
      { headers: json, steps: [reply] },
      { headers: { ...json, "content-length": String(reply.length) }, steps: [reply] },
      { headers: { ...json, "content-encoding": "gzip" }, steps: [Bun.gzipSync(reply)] },
    ]) {
      upstream.script(script, script);
      expect(asError((await ask({ stream: false }, { maxEventChars: 1000 })).error).code).toBe(
        "upstream_invalid_response",
      );
      expect((await ask({ stream: false })).text).toHaveLength(5000);
    }
  });

  test("the index of a choice is bounded", async () => {
    upstream.script(events(`data: {"choices":[{"index":1000000000,"delta":{"content":"Hi"}}]}\n\n`));
    expect(asError((await ask("Hello")).error).code).toBe("upstream_invalid_response");
  });
});

describe("an upstream's errors", () => {
  const openAi = (message: string, code: string | null = null, type = "invalid_request_error") => ({
    error: { message, type, param: null, code },
  });

  test.each<[string, Script, Partial<ApiError>]>([
    [
      "400 of the client's",
      jsonScript(400, {
        error: {
          message: "temperature is too high",
          type: "invalid_request_error",
          param: "temperature",
          code: null,
        },
      }),
      {
        code: "upstream_rejected",
        status: 400,
        message: "temperature is too high",
        param: "temperature",
        wireCode: null,
        type: "invalid_request_error",
      },
    ],
    [
      "404 of a model",
      jsonScript(404, openAi("No such model", "model_not_found")),
      { code: "model_not_found", status: 404, wireCode: "model_not_found" },
    ],
    [
      "403 of OpenRouter's moderation, which is not about our key",
      jsonScript(403, {
        error: {
          code: 403,
          message: "Your chosen model requires moderation and your input was flagged.",
          metadata: { reasons: ["violence"], flagged_input: "…", provider_name: "OpenAI" },
        },
      }),
      { code: "upstream_rejected", status: 403, message: expect.stringContaining("your input was flagged") },
    ],
    [
      "403 of a content filter",
      jsonScript(403, openAi("Flagged", "content_policy_violation")),
      { code: "upstream_rejected", status: 403, wireCode: "content_policy_violation" },
    ],
    [
      "500 that says not to retry",
      jsonScript(500, openAi("Oops"), { "x-should-retry": "false" }),
      { code: "upstream_unavailable", headers: { "x-should-retry": "false" } },
    ],
    ["402", jsonScript(402, openAi("Insufficient Balance")), { code: "upstream_out_of_credit", status: 402 }],
    [
      "422 of FastAPI",
      jsonScript(422, { detail: [{ loc: ["body"], msg: "field required" }] }),
      { code: "upstream_rejected", status: 422, message: '[{"loc":["body"],"msg":"field required"}]' },
    ],
    [
      "a context that is too long",
      jsonScript(400, openAi("Too long", "context_length_exceeded")),
      { code: "context_length_exceeded", status: 400, wireCode: "context_length_exceeded" },
    ],
    [
      "a context that is too long for vLLM",
      jsonScript(400, {
        object: "error",
        message: "This model's maximum context length is 4096 tokens.",
        code: 400,
      }),
      { code: "context_length_exceeded", wireCode: "context_length_exceeded" },
    ],
    [
      "429",
      jsonScript(429, openAi("Slow down", "rate_limit_exceeded", "requests"), { "retry-after": "7" }),
      { code: "upstream_rate_limited", status: 429, retryAfterMs: 7000, wireCode: "rate_limit_exceeded" },
    ],
    [
      "429 with milliseconds",
      jsonScript(429, openAi("Slow down"), { "retry-after": "7", "retry-after-ms": "6500" }),
      { retryAfterMs: 6500 },
    ],
    ["408", jsonScript(408, openAi("Too slow")), { code: "upstream_timeout", status: 408 }],
    [
      "500",
      jsonScript(500, openAi("Oops", null, "server_error")),
      { code: "upstream_unavailable", status: 500, message: "Oops", type: "server_error" },
    ],
    ["529", jsonScript(529, openAi("Overloaded")), { code: "upstream_unavailable", status: 529 }],
    [
      "503 as a web page",
      { status: 503, headers: { "content-type": "text/html" }, steps: ["<html>busy</html>"] },
      { code: "upstream_unavailable", status: 503, message: "stand-in answered 503." },
    ],
    [
      "404 as a web page",
      { status: 404, headers: { "content-type": "text/html" }, steps: ["<html>nginx</html>"] },
      { code: "upstream_invalid_response", status: 502 },
    ],
    [
      "Ollama's text",
      jsonScript(400, { error: "model is required" }),
      { code: "upstream_rejected", message: "model is required" },
    ],
    [
      "Gemini's list",
      jsonScript(400, [{ error: { code: 400, message: "Bad", status: "INVALID_ARGUMENT" } }]),
      { code: "upstream_rejected", status: 400, message: "Bad", wireCode: "upstream_rejected" },
    ],
    [
      "an error in a 200",
      jsonScript(200, { error: { code: 502, message: "Provider down" } }),
      { code: "upstream_unavailable", status: 502, message: "Provider down" },
    ],
    [
      "a challenge",
      { status: 403, headers: { "cf-mitigated": "challenge" }, steps: ["<html>"] },
      { code: "upstream_challenge", status: 503 },
    ],
    [
      "a web page",
      { headers: { "content-type": "text/html" }, steps: ["<!doctype html>"] },
      { code: "upstream_invalid_response", status: 502 },
    ],
    ["nothing", { steps: [] }, { code: "upstream_invalid_response" }],
    ["204", { status: 204, steps: [] }, { code: "upstream_invalid_response" }],
    ["half an object", { steps: ['{"choices":[{"mess'] }, { code: "upstream_invalid_response" }],
    ["no choices", jsonScript(200, { choices: [] }), { code: "upstream_invalid_response" }],
    ["JSON that is no object", jsonScript(200, ["a"]), { code: "upstream_invalid_response" }],
    [
      "plain text",
      { headers: { "content-type": "text/plain" }, steps: ["upstream failed"] },
      { code: "upstream_invalid_response" },
    ],
    ["a stream of nothing", events(doneEvent), { code: "upstream_invalid_response" }],
    ["a stream of comments", events(": processing\n\n"), { code: "upstream_unreachable" }],
  ])("are told with their code and status: %s", async (_, script, expected) => {
    for (const stream of [true, false]) {
      upstream.script(script);
      const { parts, error } = await ask({ stream });
      expect(parts).toEqual([]);
      expect(asError(error)).toMatchObject(expected);
    }
  });

  test.each([401, 403])(
    "are 502 and never show any of our own key where it is refused with %p",
    async (status) => {
      const apiKey = "sk-live-0123456789abcdef";
      for (const message of [
        `Incorrect API key provided: ${apiKey}`,
        "Incorrect key: ****cdef",
        "sk-live***",
      ]) {
        upstream.script(jsonScript(status, openAi(message, "invalid_api_key")));
        const error = asError((await ask("Hello", { apiKey })).error);
        expect(error).toMatchObject({
          code: "upstream_auth_failed",
          status: 502,
          wireCode: "upstream_auth_failed",
          shouldRetry: false,
        });
        expect(error.message).toBe(`stand-in refused the gateway's own key (answered ${status}).`);
      }
      upstream.script(jsonScript(status, openAi("Country not supported")));
      expect(asError((await ask("Hello", { apiKey })).error).message).toEndWith(
        "It says: Country not supported",
      );
    },
  );

  test("never show a key that came in a header either", async () => {
    upstream.script(jsonScript(400, openAi("Bad request with key azure-key-123456", "azure-key-123456")));
    const error = asError((await ask("Hello", { headers: { "api-key": "azure-key-123456" } })).error);
    expect(error.toBody()).toEqual({
      error: {
        message: "stand-in answered 400.",
        type: "invalid_request_error",
        param: null,
        code: "upstream_rejected",
      },
    });
  });

  test("are one line of at most 300 characters", async () => {
    upstream.script(jsonScript(400, openAi(`a\u0000\r\n\u001b[31m\ud800b${"😀".repeat(400)}`)));
    const { message } = asError((await ask("Hello")).error);
    expect(message).toStartWith("a [31m b😀");
    expect(message).toEndWith("😀…");
    expect(Array.from(message)).toHaveLength(300);
  });

  test("pass on a date to wait for", async () => {
    const clock = fakeClock(Date.parse("2026-01-01T00:00:00Z"));
    upstream.script(jsonScript(503, openAi("Later"), { "retry-after": "Thu, 01 Jan 2026 00:00:20 GMT" }));
    expect(asError((await ask("Hello", { clock })).error).retryAfterMs).toBe(20_000);
  });

  test("tell an unreachable upstream", async () => {
    const { error } = await ask("Hello", { baseUrl: `${nobody}/v1` });
    expect(asError(error)).toMatchObject({
      code: "upstream_unreachable",
      message: "The connection to stand-in failed (ECONNREFUSED).",
    });
    upstream.script({ steps: [cut] });
    expect(asError((await ask("Hello")).error).code).toBe("upstream_unreachable");
  });

  test("tell of a closed connection after one more try where it can have been a kept one that was old", async () => {
    const clock = fakeClock();
    const cutOff = async (): Promise<Response> => {
      throw Object.assign(new Error("socket closed"), { code: "ECONNRESET" });
    };
    const answer = async () => new Response(chunk({ content: "Hi" }, "stop"), { headers: eventStream });
    let responses: (() => Promise<Response>)[] = [];
    let calls = 0;
    const fetch = () => (responses[calls++] ?? cutOff)();
    const asked = provider({ fetch, clock });
    /** Asks an upstream that responds to the calls like this, and then no more. */
    const askBefore = async (...next: typeof responses) => {
      responses = next;
      calls = 0;
      return readAnswer(asked.answer(chatRequest("Hello"), providerContext()));
    };
    const expectFailure = async (expectedCalls: number, ...next: typeof responses) => {
      expect(asError((await askBefore(...next)).error).code).toBe("upstream_unreachable");
      expect(calls).toBe(expectedCalls);
    };
    await expectFailure(1);

    expect((await askBefore(answer)).answer?.calls).toBe(1);
    await expectFailure(2);
    expect((await askBefore(cutOff, answer)).answer?.calls).toBe(2);

    await expectFailure(1, async () => {
      await clock.advance(1000);
      return cutOff();
    });
  });

  test("tell a connection that timed out", async () => {
    const fetch = () => Promise.reject(new DOMException("The operation timed out.", "TimeoutError"));
    expect(asError((await ask("Hello", { fetch })).error).code).toBe("upstream_timeout");
  });
});
