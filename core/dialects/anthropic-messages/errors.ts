/** Failures in Anthropic's shape: https://docs.anthropic.com/en/api/errors */
import type { ApiError } from "../../errors.ts";
import type { Dialect } from "../../types.ts";

const typeOfStatus: Readonly<Record<number, string>> = {
  401: "authentication_error",
  402: "billing_error",
  403: "permission_error",
  404: "not_found_error",
  413: "request_too_large",
  429: "rate_limit_error",
  504: "timeout_error",
  529: "overloaded_error",
};

const typeOf = (status: number): string =>
  typeOfStatus[status] ?? (status < 500 ? "invalid_request_error" : "api_error");

/** Too many requests at once have a status of their own. */
const statusOf = ({ code, status }: ApiError): number => (code === "overloaded" ? 529 : status);

/** About what a token has in characters, where a limit counts those. */
const charsPerToken = 4;

/** Claude Code makes its history shorter when it reads this, by as much as the numbers say. */
function messageOf({ code, message, overflow }: ApiError): string {
  if (code !== "context_length_exceeded" || /^prompt is too long/i.test(message)) return message;
  if (overflow === undefined) return `prompt is too long: ${message}`;
  const tokens = (chars: number) => Math.ceil(chars / charsPerToken);
  const sizes = `${tokens(overflow.chars)} tokens > ${tokens(overflow.maxChars)} maximum`;
  return `prompt is too long: ${sizes}. ${message}`;
}

/** What a retry can't help; Claude Code repeats even a wrong key for a minute unless it is told. */
const isFinal = (status: number): boolean => status < 500 && ![408, 409, 429].includes(status);

export const encodeError: Dialect["encodeError"] = (error, requestId) => {
  const status = statusOf(error);
  return {
    status,
    body: {
      type: "error",
      error: { type: typeOf(status), message: messageOf(error) },
      request_id: requestId,
    },
    ...(isFinal(status) && { headers: { "x-should-retry": "false" } }),
  };
};
