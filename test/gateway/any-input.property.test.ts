/** Whatever is sent: an answer, or a refusal that says why. Never a failure of the gateway's own, and nothing that hangs. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { pageScanner } from "../../core/providers/wordpress-chat/nonce/page.ts";
import { chatPage } from "../fakes/chat-page.ts";
import { reply, scriptedProvider } from "../fakes/scripted-provider.ts";
import { cpuTimer } from "../support/cpu-timer.ts";
import { schemaErrors } from "../support/openai-schema.ts";
import { sseData, testHandler } from "../support/test-handler.ts";

const key = "sk-any";

/** Mostly what is meant, now and then anything. */
const mostly = <T>(meant: fc.Arbitrary<T>): fc.Arbitrary<unknown> =>
  fc.oneof({ arbitrary: meant, weight: 25 }, { arbitrary: fc.jsonValue(), weight: 1 });

const anyText = fc.oneof(fc.string(), fc.string({ unit: "binary" }), fc.string({ unit: "grapheme" }));

const anyPart = fc.record(
  {
    type: mostly(fc.constantFrom("text", "image_url", "refusal", "input_audio", "__proto__")),
    text: mostly(anyText),
    refusal: mostly(anyText),
    image_url: fc.jsonValue(),
  },
  { requiredKeys: [] },
);

const anyMessage = fc.record(
  {
    role: mostly(fc.constantFrom("system", "developer", "user", "assistant", "tool", "function")),
    content: mostly(fc.oneof(anyText, fc.constant(null), fc.array(mostly(anyPart), { maxLength: 3 }))),
    name: fc.jsonValue(),
    tool_calls: fc.jsonValue(),
  },
  { requiredKeys: ["role"] },
);

const anyRequest = fc.record(
  {
    messages: mostly(fc.array(mostly(anyMessage), { minLength: 1, maxLength: 5 })),
    model: mostly(fc.constantFrom("test-model", "scripted/test-model", "scripted/é\r\nx: y", "", "toString")),
    stream: mostly(fc.boolean()),
    stream_options: mostly(fc.record({ include_usage: mostly(fc.boolean()) })),
    user: mostly(fc.string({ unit: "grapheme" })),
    stop: mostly(fc.oneof(anyText, fc.array(anyText, { maxLength: 4 }))),
    max_tokens: mostly(fc.integer({ min: 1, max: 100 })),
    max_completion_tokens: mostly(fc.integer({ min: 1, max: 2 ** 40 })),
    n: mostly(fc.integer({ min: 1, max: 3 })),
    seed: mostly(fc.integer()),
    temperature: mostly(fc.double({ min: 0, max: 2, noNaN: true })),
    tools: mostly(fc.array(fc.object())),
    tool_choice: mostly(fc.constantFrom("auto", "none", "required")),
    response_format: mostly(fc.record({ type: fc.constantFrom("text", "json_object") })),
    metadata: fc.jsonValue(),
    constructor: fc.jsonValue(),
  },
  { requiredKeys: ["messages"] },
);

const anyBody = fc.oneof(
  { arbitrary: anyRequest.map((value) => JSON.stringify(value)), weight: 6 },
  { arbitrary: fc.json(), weight: 2 },
  { arbitrary: fc.uint8Array().map((bytes) => new Uint8Array(bytes)), weight: 1 },
);

/** What an HTTP header may hold. */
const anyHeaderValue = fc.oneof(
  { arbitrary: fc.stringMatching(/^[\w.:-]{1,40}$/), weight: 6 },
  fc.string({ maxLength: 40 }),
  fc.string({ unit: fc.integer({ min: 0x20, max: 0xff }).map((code) => String.fromCharCode(code)) }),
  fc.constantFrom("0", "-1", "1e400", "gzip", "a, b", "*", "null", "%", "%ff", "x".repeat(600)),
);

const headerNames = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.constantFrom(
      "x-session-id",
      "x-session-user",
      "idempotency-key",
      "x-stainless-retry-count",
      "x-request-id",
      "content-type",
      "origin",
      "accept",
      "access-control-request-headers",
      "access-control-request-method",
      "x-forwarded-for",
    ),
  },
  { weight: 1, arbitrary: fc.constantFrom("authorization", "content-encoding", "content-length") },
);

const anyHeaders = fc.dictionary(headerNames, anyHeaderValue, { maxKeys: 3 });

/** What the platform itself would refuse is no request. */
const headersOf = (fields: Record<string, string>): Headers | undefined => {
  try {
    return new Headers({ authorization: `Bearer ${key}`, ...fields });
  } catch {
    return undefined;
  }
};

async function expectSound(response: Response, method: string | undefined): Promise<void> {
  const text = await response.text();
  if (response.status >= 500) throw new Error(`${response.status}: ${text}`);
  if (method === "HEAD") expect(text).toBe("");
  else if (response.status >= 400) {
    const body = JSON.parse(text);
    expect(schemaErrors("ErrorResponse", body)).toEqual([]);
    expect(body.error.message.length).toBeLessThan(1000);
  } else if (response.headers.get("content-type")?.startsWith("text/event-stream")) {
    expect(sseData(text).at(-1)).toBe("[DONE]");
  }
}

/** One gateway for all runs of a property, as an abused one would be. */
function anyGateway() {
  const provider = {
    ...scriptedProvider({ answer: () => reply("Hello", " there") }),
    takesUnlistedModels: true,
  };
  const { handler, log } = testHandler({ API_MASTER_KEY: key }, { providers: [provider] });
  const send = async (path: string, init: RequestInit) => {
    let request: Request;
    try {
      request = new Request(`http://127.0.0.1:8088${path}`, init);
    } catch {
      return; // No server would hand it on.
    }
    await expectSound(await handler.fetch(request), init.method);
    expect(log.lines.filter(({ level }) => level === "error")).toEqual([]);
    log.lines.length = 0;
  };
  return send;
}

describe("the gateway", () => {
  test("answers or refuses any body under any headers", async () => {
    const send = anyGateway();
    await fc.assert(
      fc.asyncProperty(anyBody, anyHeaders, async (body, fields) => {
        const headers = headersOf(fields);
        if (headers !== undefined) await send("/v1/chat/completions", { method: "POST", body, headers });
      }),
      { numRuns: 1500 },
    );
  }, 60_000);

  test("answers or refuses any path by any method", async () => {
    const send = anyGateway();
    const anyPath = fc.oneof(
      fc.webPath(),
      fc.string().map((text) => `/${text}`),
      fc.string({ unit: "binary" }).map((text) => `/v1/models/${text}`),
      fc
        .array(
          fc.constantFrom(
            "v1",
            "models",
            "session",
            "health",
            "metrics",
            "",
            "%",
            "..",
            "chat",
            "completions",
          ),
        )
        .map((parts) => `/${parts.join("/")}`),
    );
    const anyMethod = fc.constantFrom("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "X");
    await fc.assert(
      fc.asyncProperty(anyPath, anyMethod, anyHeaders, async (path, method, fields) => {
        const headers = headersOf(fields);
        if (headers !== undefined) await send(path, { method, headers });
      }),
      { numRuns: 1500 },
    );
  }, 60_000);
});

describe("any page", () => {
  const site = "https://kimi-ai.chat";
  const nonce = "f3749c0f5f";
  const longestMs = 250;

  function scan(html: string): ReturnType<ReturnType<typeof pageScanner>> {
    const spentMs = cpuTimer();
    const found = pageScanner({ in: "kimi_ajax", path: "nonce" })(html);
    expect(spentMs()).toBeLessThan(longestMs);
    if ("nonce" in found) expect(found.nonce).toMatch(/^\S{1,200}$/);
    else expect(found.problem).toBeTruthy();
    return found;
  }

  const pieces = fc.constantFrom(
    ..."<script> </script> <script type='text/javascript'> <!-- --> /* */ // <![CDATA[ ]]> kimi_ajax var let const = { } [ ] ( ) ; , :".split(
      " ",
    ),
    ...["nonce", '"nonce":"', "'", '"', "`", "\\", "\\u0022", "${", "f3749c0f5f", "src='data:", "base64,"],
    ...["JSON.parse(", "atob(", "%3C", "&quot;", "\n", "\0", "\u2028", "é", "😀", "/[", "return/", "window["],
  );
  const anyPage = fc.oneof(
    fc.string({ unit: "binary", maxLength: 500 }),
    fc.array(fc.oneof(pieces, fc.string({ maxLength: 5 })), { maxLength: 120 }).map((list) => list.join("")),
  );

  test("ends in a nonce or in a problem, at once", () => {
    fc.assert(
      fc.property(anyPage, (html) => {
        scan(html);
      }),
      { numRuns: 3000 },
    );
  });

  test("that repeats anything a hundred thousand times does too", () => {
    fc.assert(
      fc.property(fc.array(pieces, { minLength: 1, maxLength: 4 }), (list) => {
        const unit = list.join("");
        scan(unit.repeat(Math.ceil(300_000 / unit.length)));
      }),
      { numRuns: 60 },
    );
  }, 60_000);

  test.each(["plain", "classic", "nested", "minified", "pretty", "base64", "datauri", "decoy"])(
    "of the shape %s that was cut or disturbed gives a nonce or a problem",
    (variant) => {
      const page = chatPage(variant, site, nonce);
      expect(scan(page)).toEqual({ nonce });
      const place = fc.integer({ min: 0, max: page.length });
      fc.assert(
        fc.property(place, place, fc.oneof(pieces, fc.constant("")), (from, to, piece) => {
          const [start, end] = [Math.min(from, to), Math.max(from, to)];
          scan(page.slice(0, start) + piece);
          scan(page.slice(0, start) + piece + page.slice(end));
          scan(page.slice(0, start) + piece + page.slice(start));
        }),
        { numRuns: 150 },
      );
    },
    60_000,
  );
});
