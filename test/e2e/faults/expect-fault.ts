/** What a client must see of a failure over HTTP: in an answer of its own, or at the end of a stream that has begun. */
import { expect } from "bun:test";
import { schemaErrors } from "../../support/openai-schema.ts";
import { sseData } from "../../support/test-handler.ts";

/** A failure as a client sees it. */
export interface ShownFault {
  readonly status: number;
  readonly code: string;
  readonly shouldRetry?: false | undefined;
  /** The Retry-After header, in seconds. */
  readonly retryAfter?: number | undefined;
  readonly says?: RegExp | undefined;
}

/** An answer that has been read to its end. */
export interface ReadAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

export const readAnswer = async (response: Response): Promise<ReadAnswer> => ({
  status: response.status,
  headers: response.headers,
  text: await response.text(),
});

/** The headers of every answer, streams too. */
export function expectCommonHeaders(headers: Headers): void {
  expect(headers.get("x-content-type-options")).toBe("nosniff");
  expect(headers.get("referrer-policy")).toBe("no-referrer");
  expect(headers.get("content-security-policy")).toContain("default-src 'none'");
  expect(headers.get("x-request-id")).toBeTruthy();
  expect(headers.has("access-control-allow-credentials")).toBe(false);
}

interface ErrorBody {
  readonly error: { readonly message: string; readonly code: string };
}

function expectError(body: unknown, { code, says }: ShownFault): void {
  expect(schemaErrors("ErrorResponse", body)).toEqual([]);
  const { error } = body as ErrorBody;
  expect(error.code).toBe(code);
  if (says !== undefined) expect(error.message).toMatch(says);
  expect(error.message).not.toMatch(/\p{Cc}/u);
  // What comes from upstreams has at most 300 characters; the rest is ours.
  expect(error.message.length).toBeLessThan(600);
}

/** An error with its true status. */
export function expectRefusal({ status, headers, text }: ReadAnswer, fault: ShownFault): void {
  expect({ status, text }).toMatchObject({ status: fault.status });
  expectCommonHeaders(headers);
  expect(headers.get("content-type")).toStartWith("application/json");
  expect(headers.get("cache-control")).toBe("no-store");
  expect(headers.get("x-should-retry")).toBe(fault.shouldRetry === false ? "false" : null);
  expect(headers.get("retry-after")).toBe(fault.retryAfter === undefined ? null : String(fault.retryAfter));
  expect(headers.get("retry-after-ms")).toBe(
    fault.retryAfter === undefined ? null : String(fault.retryAfter * 1000),
  );
  expectError(JSON.parse(text), fault);
}

/** A stream that has opened, been kept alive and failed: never an answer's text, never its end. */
export function expectBrokenStream({ status, headers, text }: ReadAnswer, fault: ShownFault): void {
  expect({ status, text }).toMatchObject({ status: 200 });
  expectCommonHeaders(headers);
  expect(headers.get("content-type")).toStartWith("text/event-stream");
  expect(headers.get("cache-control")).toBe("no-cache, no-transform");
  expect(text).toContain("\n: keep-alive\n\n");
  const events = sseData(text);
  expect(events).toEqual([
    expect.objectContaining({
      choices: [expect.objectContaining({ delta: { role: "assistant", content: "" }, finish_reason: null })],
    }),
    { error: expect.anything() },
  ]);
  expect(schemaErrors("CreateChatCompletionStreamResponse", events[0])).toEqual([]);
  expectError(events[1], fault);
}
