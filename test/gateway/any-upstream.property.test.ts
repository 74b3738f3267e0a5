/** Whatever an upstream answers: a valid answer, or an error that blames the upstream and not the gateway. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseConfig } from "../../core/config/config.ts";
import { silentLogger } from "../../core/operations/log.ts";
import type { Fetch } from "../../core/types.ts";
import { createHandler } from "../../handler.ts";
import { schemaErrors } from "../support/openai-schema.ts";
import { sseData } from "../support/test-handler.ts";

const anyText = fc.oneof(fc.string(), fc.string({ unit: "binary" }), fc.string({ unit: "grapheme" }));
/** Mostly what is meant, now and then anything. */
const mostly = (meant: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> =>
  fc.oneof({ arbitrary: meant, weight: 8 }, { arbitrary: fc.jsonValue(), weight: 1 });

const nested = (levels: number) => `${"[".repeat(levels)}1${"]".repeat(levels)}`;
const deepJson = fc.constantFrom(1, 10, 900, 1100, 60_000, 400_000).map(nested);

const anyHeaders = fc.record(
  {
    "content-type": fc.constantFrom("application/json", "text/html", "text/event-stream", "x"),
    "retry-after": fc.oneof(
      fc.string({ unit: fc.constantFrom(..."0123456789.-e") }),
      fc.constant("Tue, 1 Jan 2030"),
    ),
    "retry-after-ms": fc.constantFrom("0", "-5", "1e9", "NaN", "x"),
    location: fc.constantFrom("/", "//x", "http://[", "https://elsewhere.example/"),
    "set-cookie": fc.stringMatching(/^[ -~]{0,60}$/),
  },
  { requiredKeys: [] },
);
const anyStatus = fc.oneof(
  { arbitrary: fc.constant(200), weight: 4 },
  {
    arbitrary: fc.constantFrom(
      201,
      204,
      301,
      302,
      307,
      400,
      401,
      403,
      404,
      408,
      418,
      429,
      500,
      502,
      503,
      529,
      599,
    ),
    weight: 3,
  },
);

const respond = (status: number, headers: Record<string, string>, body: string): Response => {
  try {
    return new Response(status === 204 ? null : body, { status, headers });
  } catch {
    return new Response(body, { status });
  }
};

async function expectSound(env: Record<string, string>, fetch: Fetch, model: string): Promise<void> {
  const errors: unknown[] = [];
  const { fetch: handle } = createHandler({
    config: parseConfig({ ...env, CIRCUIT_BREAKER: "off" }),
    fetch,
    log: silentLogger,
    onError: (error) => errors.push(error),
  });
  for (const stream of [false, true]) {
    const body = JSON.stringify({ model, messages: [{ role: "user", content: "Hello" }], stream });
    const response = await handle(
      new Request("http://127.0.0.1/v1/chat/completions", { method: "POST", body }),
    );
    const text = await response.text();
    expect(errors).toEqual([]);
    if (response.status >= 400) expect(schemaErrors("ErrorResponse", JSON.parse(text))).toEqual([]);
    else if (stream) {
      const events = sseData(text);
      const last = events.at(-1);
      if (last !== "[DONE]") expect(schemaErrors("ErrorResponse", last)).toEqual([]);
      for (const event of events.slice(0, -1)) expect(event).toHaveProperty("choices");
    } else expect(JSON.parse(text)).toMatchObject({ object: "chat.completion", choices: expect.any(Array) });
  }
}

describe("an upstream of OpenAI's kind", () => {
  const env = { KIMI_WEB: "off", OPENAI_BASE_URL: "https://upstream.example/v1", OPENAI_MODELS: "echo" };

  const anyToolCall = fc.record(
    {
      index: mostly(fc.integer({ min: -1, max: 200 })),
      id: mostly(anyText),
      type: fc.jsonValue(),
      function: mostly(fc.record({ name: mostly(anyText), arguments: mostly(anyText) })),
    },
    { requiredKeys: [] },
  );
  const anyMessage = fc.record(
    {
      role: fc.jsonValue(),
      content: mostly(fc.oneof(anyText, fc.array(fc.record({ type: fc.constant("text"), text: anyText })))),
      reasoning_content: mostly(anyText),
      refusal: mostly(fc.constant(null)),
      tool_calls: mostly(fc.array(mostly(anyToolCall), { maxLength: 3 })),
      constructor: fc.jsonValue(),
    },
    { requiredKeys: ["content"] },
  );
  const anyChoice = fc.record(
    {
      index: mostly(fc.integer({ min: -1, max: 130 })),
      delta: mostly(anyMessage),
      message: mostly(anyMessage),
      finish_reason: mostly(fc.constantFrom("stop", "length", null, "error", "toString", "")),
      logprobs: fc.jsonValue(),
    },
    { requiredKeys: ["message"] },
  );
  const anyReply = fc.record(
    {
      choices: mostly(fc.array(mostly(anyChoice), { maxLength: 2 })),
      usage: mostly(fc.record({ prompt_tokens: fc.jsonValue(), details: fc.jsonValue() })),
      error: mostly(fc.constantFrom(null, undefined, "bad", { message: "bad", code: 5, type: null })),
      id: fc.jsonValue(),
      extra: fc.jsonValue(),
    },
    { requiredKeys: ["choices"] },
  );
  const anyJson = fc.oneof(
    { arbitrary: anyReply.map((reply) => JSON.stringify(reply)), weight: 6 },
    { arbitrary: fc.json(), weight: 1 },
    { arbitrary: deepJson, weight: 1 },
    {
      arbitrary: deepJson.map(
        (json) =>
          `{"x":${json},"choices":[{"message":{"content":"Hi","y":${json}},"z":${json},"finish_reason":"stop"}]}`,
      ),
      weight: 1,
    },
  );
  const anyEvents = fc
    .array(
      fc.oneof(
        anyJson.map((json) => `data: ${json}\n\n`),
        fc.constantFrom(": x\n\n", "event: error\n", "\n", "id: 1\n"),
      ),
    )
    .chain((events) => fc.constantFrom("data: [DONE]\n\n", "", "data: ").map((end) => events.join("") + end));
  const anyBody = fc.oneof(anyJson, anyEvents, anyText);

  test("may answer anything", async () => {
    await fc.assert(
      fc.asyncProperty(anyStatus, anyHeaders, anyBody, async (status, headers, body) => {
        await expectSound(env, async () => respond(status, headers, body), "echo");
      }),
      { numRuns: 250 },
    );
  }, 60_000);
});

describe("the chat site", () => {
  const env = { CHAT_PAGE_URL: "https://site.example/chat/", UPSTREAM_URL: "https://site.example/ajax" };
  const page = '<script>var kimi_ajax = {"nonce":"0123456789"};</script>';
  const anyJson = fc.oneof(
    fc
      .record({
        success: mostly(fc.constantFrom(true, false, 1, "true")),
        data: mostly(
          fc.oneof(anyText, fc.record({ message: mostly(anyText) }), fc.array(fc.record({ code: anyText }))),
        ),
      })
      .map((value) => JSON.stringify(value)),
    fc.json(),
    deepJson,
    deepJson.map((json) => `{"success":false,"data":${json}}`),
    deepJson.map((json) => `{"success":true,"data":{"message":"Hi","x":${json}}}`),
  );
  const around = fc.constantFrom(
    "",
    "\ufeff",
    "<br>",
    "{",
    '{"success":',
    "0",
    "-1",
    "\n\n",
    "<!-- x -->",
    '"',
  );
  const anyBody = fc.oneof(
    fc.tuple(around, anyJson, around).map((pieces) => pieces.join("")),
    anyText,
    fc.constantFrom("0", "-1", "null", "", "<html>", "error code: 1020"),
  );

  test("may answer anything to a message", async () => {
    await fc.assert(
      fc.asyncProperty(anyStatus, anyHeaders, anyBody, async (status, headers, body) => {
        const fetch: Fetch = async (_, { method }) =>
          method === "POST" ? respond(status, headers, body) : new Response(page);
        await expectSound(env, fetch, "kimi");
      }),
      { numRuns: 250 },
    );
  }, 60_000);

  test("may have anything for a page", async () => {
    await fc.assert(
      fc.asyncProperty(
        anyStatus,
        anyHeaders,
        fc.oneof(anyBody, fc.constant(page)),
        async (status, headers, body) => {
          const fetch: Fetch = async (_, { method }) =>
            method === "POST"
              ? Response.json({ success: true, data: { message: "Hi" } })
              : respond(status, headers, body);
          await expectSound(env, fetch, "kimi");
        },
      ),
      { numRuns: 150 },
    );
  }, 60_000);
});
