/** Every fault of an upstream as a client of Anthropic's Messages sees it. */
import { expect } from "bun:test";
import { errorTable } from "../../../core/errors.ts";
import { everyUpstreamFault } from "./every-upstream-fault.ts";
import type { ReadAnswer } from "./expect-fault.ts";
import type { UpstreamFault } from "./fault-table.ts";

const types: Readonly<Record<number, string>> = {
  402: "billing_error",
  403: "permission_error",
  404: "not_found_error",
  413: "request_too_large",
  429: "rate_limit_error",
  504: "timeout_error",
};

const statusOf = ({ shown, code }: UpstreamFault): number => shown?.status ?? errorTable[code].status;

function expectError(body: unknown, fault: UpstreamFault, requestId: string | null): void {
  const status = statusOf(fault);
  expect(body).toEqual({
    type: "error",
    error: {
      type: types[status] ?? (status < 500 ? "invalid_request_error" : "api_error"),
      message: expect.any(String),
    },
    request_id: requestId,
  });
  const { message } = (body as { error: { message: string } }).error;
  if (fault.says !== undefined) expect(message).toMatch(fault.says);
  expect(/^prompt is too long/i.test(message)).toBe(fault.code === "context_length_exceeded");
}

function expectRefusal({ status, headers, text }: ReadAnswer, fault: UpstreamFault): void {
  expect({ status, text }).toMatchObject({ status: statusOf(fault) });
  expect(headers.get("content-type")).toStartWith("application/json");
  expect(headers.get("request-id")).toBe(headers.get("x-request-id"));
  expectError(JSON.parse(text), fault, headers.get("request-id"));
}

function expectBrokenStream({ status, headers, text }: ReadAnswer, fault: UpstreamFault): void {
  expect({ status, text }).toMatchObject({ status: 200 });
  const events = [...text.matchAll(/^event: (\w+)\ndata: (.*)$/gm)];
  const names = events.map(([, name]) => name);
  expect(names.at(0)).toBe("message_start");
  expect(names.slice(1, -1).every((name) => name === "ping")).toBe(true);
  expect(names.at(-1)).toBe("error");
  expectError(JSON.parse(events.at(-1)?.[2] ?? ""), fault, headers.get("request-id"));
}

everyUpstreamFault("Messages", {
  path: "/v1/messages",
  body: { max_tokens: 100, messages: [{ role: "user", content: "Hello" }] },
  expectRefusal,
  expectBrokenStream,
});
