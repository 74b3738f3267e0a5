/** Several API keys for one upstream: the first one that works is used, and one that was refused rests for a while. */
import type { ApiError, ErrorCode } from "../../errors.ts";
import type { Clock } from "../../types.ts";

export interface KeyRing {
  /** The places of the keys to try, in order; if all of them rest, of the one that has rested most. Never empty. */
  order(): readonly number[];
  /** Whether a failure is about the key, so that another one may do. */
  isAboutKey(error: ApiError): boolean;
  /** Leaves a key alone for a while, for as long as the upstream says where it does. */
  rest(place: number, error: ApiError): void;
}

/** A refused key, or an account without credit, is seldom mended sooner. */
const refusedMs = 10 * 60_000;
const limitedMs = 30_000;
const longestRestMs = 60 * 60_000;

const aboutKeys: ReadonlySet<ErrorCode> = new Set([
  "upstream_auth_failed",
  "upstream_out_of_credit",
  "upstream_rate_limited",
]);

export function createKeyRing(count: number, clock: Pick<Clock, "monotonic">): KeyRing {
  const restsUntilMs = new Array<number>(count).fill(Number.NEGATIVE_INFINITY);
  const places = restsUntilMs.map((_, place) => place);
  return {
    order() {
      const nowMs = clock.monotonic();
      const rested = places.filter((place) => (restsUntilMs[place] as number) <= nowMs);
      if (rested.length > 0) return rested;
      return places.toSorted((a, b) => (restsUntilMs[a] as number) - (restsUntilMs[b] as number)).slice(0, 1);
    },
    isAboutKey: ({ code }) => aboutKeys.has(code),
    rest(place, { code, retryAfterMs }) {
      const usualMs = code === "upstream_rate_limited" ? limitedMs : refusedMs;
      restsUntilMs[place] = clock.monotonic() + Math.min(retryAfterMs ?? usualMs, longestRestMs);
    },
  };
}
