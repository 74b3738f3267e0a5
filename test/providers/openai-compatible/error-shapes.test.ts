/** Error objects in the shapes of vendors: their words reach the client, in the right class, and nothing secret does. */
import { describe, expect, test } from "bun:test";
import type { ApiError } from "../../../core/errors.ts";
import { chunk, doneEvent, jsonScript } from "../../fakes/openai-upstream.ts";
import { asError, askedUpstream, events } from "./asked-upstream.ts";

const { upstream, ask } = await askedUpstream();

const apiKey = "sk-live-0123456789abcdef";

describe("an error's words and class", () => {
  test.each<[string, number, unknown, Partial<ApiError>]>([
    [
      "Cloudflare's",
      400,
      { errors: [{ code: 5007, message: "Input is not valid" }], success: false },
      {
        code: "upstream_rejected",
        status: 400,
        message: "Input is not valid",
      },
    ],
    [
      "Cloudflare's in a 200",
      200,
      { errors: [{ code: 3040, message: "Capacity exceeded" }], success: false },
      {
        code: "upstream_error",
        message: "Capacity exceeded",
      },
    ],
    [
      "MiniMax's limit",
      200,
      { choices: null, base_resp: { status_code: 1002, status_msg: "rate limit" } },
      {
        code: "upstream_rate_limited",
        message: "rate limit",
      },
    ],
    [
      "MiniMax's key",
      200,
      { base_resp: { status_code: 1004, status_msg: "login fail: Please carry the key" } },
      {
        code: "upstream_auth_failed",
        message: "stand-in refused the gateway's own key (failed). It says: login fail: Please carry the key",
      },
    ],
    [
      "DashScope's",
      400,
      { code: "InvalidParameter", message: "Range of top_p", request_id: "r-1" },
      {
        code: "upstream_rejected",
        wireCode: "InvalidParameter",
        message: "Range of top_p",
        fields: { request_id: "r-1" },
      },
    ],
    [
      "DashScope's in a 200",
      200,
      { code: "InternalError", message: "Oops" },
      {
        code: "upstream_error",
        wireCode: "InternalError",
      },
    ],
    [
      "Baidu's",
      200,
      { error_code: 17, error_msg: "Open api daily request limit reached" },
      {
        code: "upstream_rate_limited",
        message: "Open api daily request limit reached",
      },
    ],
    [
      "Azure's gateway's",
      429,
      { statusCode: 429, message: "Try again in 6 seconds." },
      {
        code: "upstream_rate_limited",
        message: "Try again in 6 seconds.",
      },
    ],
    [
      "FastAPI's nested",
      400,
      { detail: { error: { message: "Bad seed", type: "bad_seed" } } },
      {
        code: "upstream_rejected",
        message: "Bad seed",
        type: "bad_seed",
      },
    ],
    [
      "a text",
      400,
      "temperature must be a number",
      {
        code: "upstream_rejected",
        message: "temperature must be a number",
      },
    ],
    [
      "Gemini's refused key",
      400,
      [
        {
          error: {
            code: 400,
            message: "API key not valid. Please pass a valid API key.",
            status: "INVALID_ARGUMENT",
          },
        },
      ],
      { code: "upstream_auth_failed", status: 502 },
    ],
    [
      "Gemini's expired key",
      400,
      [{ error: { code: 400, message: "API key expired. Please renew the API key." } }],
      { code: "upstream_auth_failed", status: 502 },
    ],
    [
      "Perplexity's context",
      400,
      {
        error: { message: "Messages have 200000 tokens", type: "too_many_prompt_tokens", code: 400 },
      },
      {
        code: "context_length_exceeded",
        wireCode: "context_length_exceeded",
        type: "too_many_prompt_tokens",
      },
    ],
    [
      "a context beside a code that says nothing",
      400,
      {
        error: {
          message: "This model's maximum context length is 8192 tokens.",
          code: "invalid_request_error",
        },
      },
      { code: "context_length_exceeded", wireCode: "context_length_exceeded" },
    ],
    [
      "llama.cpp's context",
      400,
      {
        error: {
          code: 400,
          message: "the request exceeds the available context size",
          type: "exceed_context_size_error",
          n_prompt_tokens: 9000,
          n_ctx: 8192,
        },
      },
      {
        code: "context_length_exceeded",
        fields: { n_prompt_tokens: 9000, n_ctx: 8192 },
      },
    ],
  ])("%s", async (_, status, body, expected) => {
    for (const stream of [true, false]) {
      upstream.script(typeof body === "string" ? { status, steps: [body] } : jsonScript(status, body));
      expect(asError((await ask({ stream }, { apiKey })).error)).toMatchObject(expected);
    }
  });

  test.each<[object, Partial<ApiError>]>([
    [{ error_code: 17, error_msg: "Daily request limit reached" }, { code: "upstream_rate_limited" }],
    [
      { code: "20015", message: "Broken" },
      { code: "upstream_error", message: "Broken" },
    ],
    [
      { type: "about:blank", title: "Bad", detail: "Broken" },
      { code: "upstream_error", message: "Broken" },
    ],
    [{ detail: "Broken" }, { code: "upstream_error", message: "Broken" }],
    [{ errors: [{ message: "Broken" }] }, { code: "upstream_error", message: "Broken" }],
    [{ errors: ["Broken"] }, { code: "upstream_error", message: "Broken" }],
    [{ choices: [], base_resp: { status_code: 1027, status_msg: "Broken" } }, { message: "Broken" }],
    [{ header: { code: 10013, message: "Broken" } }, { message: "Broken" }],
    [
      { code: 1261, message: "Prompt exceeds max context length" },
      { code: "context_length_exceeded", status: 400 },
    ],
  ])("amid a stream: %j", async (body, expected) => {
    upstream.script(events(chunk({ content: "Hi" }), `data: ${JSON.stringify(body)}\n\n`, doneEvent));
    const { text, error } = await ask("Hello");
    expect(text).toBe("Hi");
    expect(asError(error)).toMatchObject(expected);
  });

  test.each<[object]>([
    [{ code: 0, message: "success" }],
    [{ code: 200, msg: "ok" }],
    [{ base_resp: { status_code: 0, status_msg: "" } }],
    [{ errors: [], message: "still there" }],
    [{ error: null, type: "ping" }],
    [{ error: {}, choices: [] }],
    [{ error_code: 0, error_msg: "" }],
    [{ message: "processing" }],
    [{ type: "progress", detail: "searching" }],
  ])("are none where all is well: %j", async (body) => {
    const event = `data: ${JSON.stringify(body)}\n\n`;
    upstream.script(events(event, chunk({ content: "Hi" }), event, chunk({}, "stop"), event, doneEvent));
    const { text, error } = await ask("Hello");
    expect(error).toBeUndefined();
    expect(text).toBe("Hi");
  });
});

describe("what an error object has beside its words", () => {
  const error = {
    message: "Failed to call a function",
    type: "invalid_request_error",
    param: null,
    code: "tool_use_failed",
    failed_generation: '<function=weather>{"city"',
    innererror: { code: "ResponsibleAIPolicyViolation", content_filter_result: { hate: { filtered: true } } },
    details: [{ reason: "x" }],
  };

  test("is passed on", async () => {
    upstream.script(jsonScript(400, { error }));
    expect(asError((await ask("Hello", { apiKey })).error).toBody()).toEqual({ error } as never);
    upstream.script(events(chunk({ content: "Hi" }), `data: ${JSON.stringify({ error })}\n\n`));
    expect(asError((await ask("Hello", { apiKey })).error).toBody()).toEqual({ error } as never);
  });

  test.each([apiKey, apiKey.slice(3), `…${apiKey.slice(-8)}`])(
    "is left out where it has a key: %s",
    async (key) => {
      upstream.script(
        jsonScript(400, { error: { ...error, metadata: { raw: [{ deep: `With ${key}.` }] } } }),
      );
      const { message, code } = asError((await ask("Hello", { apiKey })).error).toBody().error;
      expect([message, code]).toEqual([error.message, error.code]);
      upstream.script(
        jsonScript(400, { error: { ...error, metadata: { raw: [{ deep: `With ${key}.` }] } } }),
      );
      expect(JSON.stringify(asError((await ask("Hello", { apiKey })).error).toBody())).not.toContain("With");
    },
  );

  test("is left out where it has a key that JSON escapes", async () => {
    const quoted = 'k"ey\\with"quotes';
    upstream.script(jsonScript(400, { error: { ...error, metadata: { raw: `With ${quoted}.` } } }));
    expect(asError((await ask("Hello", { apiKey: quoted })).error).fields).toBeUndefined();
  });

  test("is left out where it is huge or has no bottom", async () => {
    const deep = `${"[".repeat(20_000)}${"]".repeat(20_000)}`;
    for (const more of ["x".repeat(20_000), JSON.parse(deep.slice(19_000, 21_000))]) {
      upstream.script(jsonScript(400, { error: { message: "Bad", more: [more] } }));
      expect(asError((await ask("Hello")).error).message).toBe("Bad");
    }
    const body = `{"error":{"message":"Bad","more":${deep}}}`;
    upstream.script({ status: 400, headers: { "content-type": "application/json" }, steps: [body] });
    expect(asError((await ask("Hello")).error).message).toBe("Bad");
  });

  test.each<[string, unknown, string]>([
    ["JSON", JSON.stringify({ error: { message: "Too many images" } }), "Too many images"],
    ["a text", "upstream is down", "upstream is down"],
    ["an object", { message: "Bad tool" }, "Bad tool"],
  ])("is the message where that says nothing: %s", async (_, raw, message) => {
    const metadata = { raw, provider_name: "Some" };
    upstream.script(jsonScript(502, { error: { message: "Provider returned error", code: 502, metadata } }));
    const failure = asError((await ask("Hello")).error);
    expect(failure.message).toBe(message);
    expect(failure.fields).toEqual({ metadata });
  });
});

test.each<[string, number | undefined]>([
  ["34s", 34_000],
  ["0.5s", 500],
  ["soon", undefined],
])("Google's RetryInfo tells how long to wait: %s", async (retryDelay, retryAfterMs) => {
  const details = [
    { "@type": "type.googleapis.com/google.rpc.Help" },
    { "@type": "type.googleapis.com/google.rpc.RetryInfo", retryDelay },
  ];
  upstream.script(
    jsonScript(429, [{ error: { code: 429, message: "Quota", status: "RESOURCE_EXHAUSTED", details } }]),
  );
  expect(asError((await ask("Hello")).error)).toMatchObject({ code: "upstream_rate_limited", retryAfterMs });
});
