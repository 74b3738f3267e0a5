/** What an API key may use: requests a minute, and tokens a day; with the headers of OpenAI: https://platform.openai.com/docs/guides/rate-limits */
import { ApiError } from "../errors.ts";
import type { Allowance, Caller, MaybePromise, Spending } from "../types.ts";
import type { Allowances } from "./allowances.ts";

type Headers = Readonly<Record<string, string>>;

export interface RateLimit {
  /** Counts a request. Returns headers that say what is left, or throws ApiError rate_limit_exceeded with them. */
  take(caller: Caller): MaybePromise<Headers>;
}

export interface TokenBudget {
  /** Headers that say what is left, or ApiError token_limit_exceeded; undefined for a caller without a budget. */
  check(caller: Caller): MaybePromise<Headers | undefined>;
  /** Counts what a chat has used. */
  spend(caller: Caller, tokens: number): MaybePromise<unknown>;
}

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const dayMs = 86_400_000;

/** A duration as OpenAI writes it: `23h59m1.5s`, `1m30s`, `2.5s`, `120ms`. */
const duration = (ms: number): string => {
  if (ms < 1000) return `${Math.ceil(ms)}ms`;
  const hours = Math.floor(ms / hourMs);
  const minutes = Math.floor((ms % hourMs) / minuteMs);
  const seconds = Number(((ms % minuteMs) / 1000).toFixed(3));
  if (hours > 0) return `${hours}h${minutes}m${seconds}s`;
  return minutes > 0 ? `${minutes}m${seconds}s` : `${seconds}s`;
};

const headersOf = (what: "requests" | "tokens", limit: number, { left, resetMs }: Allowance): Headers => ({
  [`x-ratelimit-limit-${what}`]: String(limit),
  [`x-ratelimit-remaining-${what}`]: String(left),
  [`x-ratelimit-reset-${what}`]: duration(resetMs),
});

/** Goes on at once where there is nothing to wait for. */
const whenThere = <Value, Result>(
  value: MaybePromise<Value>,
  read: (value: Value) => Result,
): MaybePromise<Result> => (value instanceof Promise ? value.then(read) : read(value));

const noHeaders: Headers = {};

/** `requestsPerMinute` is for keys that have no limit of their own; 0 is none. */
export function createRateLimit(requestsPerMinute: number, allowances: Allowances): RateLimit {
  return {
    take({ key, limits }) {
      const limit = limits?.rpm ?? requestsPerMinute;
      if (limit === 0) return noHeaders;
      const spending: Spending = { cost: 1, limit, windowMs: minuteMs, returns: "evenly", mode: "take" };
      return whenThere(allowances.spend("requests", key, spending), (allowance) => {
        const headers = headersOf("requests", limit, allowance);
        if (allowance.isGranted) return headers;
        throw new ApiError(
          "rate_limit_exceeded",
          `Your API key may make ${limit} requests a minute. Try again in ${duration(allowance.waitMs)}.`,
          { retryAfterMs: allowance.waitMs, headers },
        );
      });
    },
  };
}

/** For keys with `tokensPerDay`. A day begins with the key's first answer and is over 24 hours later. */
export function createTokenBudget(allowances: Allowances): TokenBudget {
  const spend = ({ key, limits }: Caller, cost: number, mode: Spending["mode"]) => {
    const limit = limits?.tokensPerDay;
    if (limit === undefined) return undefined;
    const spending: Spending = { cost, limit, windowMs: dayMs, returns: "at-once", mode };
    return whenThere(allowances.spend("tokens", key, spending), (allowance) => ({ allowance, limit }));
  };
  return {
    check(caller) {
      return whenThere(spend(caller, 1, "look"), (seen) => {
        if (seen === undefined) return undefined;
        const { allowance, limit } = seen;
        const headers = headersOf("tokens", limit, allowance);
        if (allowance.isGranted) return headers;
        throw new ApiError(
          "token_limit_exceeded",
          `Your API key may use ${limit} tokens in 24 hours, and has. Try again in ${duration(allowance.waitMs)}.`,
          { retryAfterMs: allowance.waitMs, headers },
        );
      });
    },
    spend: (caller, tokens) => (tokens > 0 ? spend(caller, tokens, "force") : undefined),
  };
}
