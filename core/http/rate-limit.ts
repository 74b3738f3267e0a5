/**
 * Requests per minute and API key, as OpenAI's headers tell them: https://platform.openai.com/docs/guides/rate-limits
 * A generic cell rate algorithm: a time per key is all that is kept. Of the libraries one keeps a timer per key and
 * the other would be a third of the single-file build.
 */
import { ApiError } from "../errors.ts";
import type { Clock } from "../types.ts";

export interface RateLimit {
  /** Counts a request. Returns the headers that tell what is left, or throws ApiError rate_limit_exceeded with them. */
  take(key: string): Record<string, string>;
}

const minuteMs = 60_000;

/** `1m30s`, `2.5s`, `120ms`: durations as OpenAI writes them. */
const duration = (ms: number): string => {
  if (ms < 1000) return `${Math.ceil(ms)}ms`;
  const minutes = Math.floor(ms / minuteMs);
  const seconds = Number(((ms % minuteMs) / 1000).toFixed(3));
  return minutes > 0 ? `${minutes}m${seconds}s` : `${seconds}s`;
};

export function rateLimit(requestsPerMinute: number, clock: Pick<Clock, "now">): RateLimit {
  const intervalMs = minuteMs / requestsPerMinute;
  /** For each key, when its whole allowance will be there again. There are as many as keys are configured. */
  const fullAtMs = new Map<string, number>();

  return {
    take(key) {
      const nowMs = clock.now();
      const debtMs = Math.max(0, (fullAtMs.get(key) ?? 0) - nowMs);
      const waitMs = debtMs + intervalMs - minuteMs;
      const isAllowed = waitMs <= 0;
      const newDebtMs = isAllowed ? debtMs + intervalMs : debtMs;
      fullAtMs.set(key, nowMs + newDebtMs);
      const headers = {
        "x-ratelimit-limit-requests": String(requestsPerMinute),
        "x-ratelimit-remaining-requests": String(Math.floor((minuteMs - newDebtMs) / intervalMs + 1e-9)),
        "x-ratelimit-reset-requests": duration(newDebtMs),
      };
      if (isAllowed) return headers;
      throw new ApiError(
        "rate_limit_exceeded",
        `Your API key may make ${requestsPerMinute} requests a minute. Try again in ${duration(waitMs)}.`,
        { retryAfterMs: waitMs, headers },
      );
    },
  };
}
