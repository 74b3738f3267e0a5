/**
 * Requests per minute and API key, with the headers of OpenAI: https://platform.openai.com/docs/guides/rate-limits
 * A generic cell rate algorithm, which keeps one time per key: https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm
 * Of the libraries for it, one keeps a timer per key and the other is a third as large as the whole gateway.
 */
import { ApiError } from "../errors.ts";
import type { Clock } from "../types.ts";

export interface RateLimit {
  /** Counts a request. Returns headers that say what is left, or throws ApiError rate_limit_exceeded with them. */
  take(key: string): Record<string, string>;
}

const minuteMs = 60_000;

/** A duration as OpenAI writes it: `1m30s`, `2.5s`, `120ms`. */
const duration = (ms: number): string => {
  if (ms < 1000) return `${Math.ceil(ms)}ms`;
  const minutes = Math.floor(ms / minuteMs);
  const seconds = Number(((ms % minuteMs) / 1000).toFixed(3));
  return minutes > 0 ? `${minutes}m${seconds}s` : `${seconds}s`;
};

export function createRateLimit(requestsPerMinute: number, clock: Pick<Clock, "monotonic">): RateLimit {
  const intervalMs = minuteMs / requestsPerMinute;
  /** When each key may send a full minute's requests again. There are only as many as keys are configured. */
  const fullAtMs = new Map<string, number>();

  return {
    take(key) {
      const nowMs = clock.monotonic();
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
