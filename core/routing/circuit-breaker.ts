/** Stops calling an upstream while it is known to fail: https://martinfowler.com/bliki/CircuitBreaker.html */
import { ApiError, type ErrorCode } from "../errors.ts";
import type { Clock } from "../types.ts";

export interface CircuitBreaker {
  /** Lets a call go out. While the circuit is open, throws the failure that opened it, with the time to wait. */
  admit(): Admission;
  readonly state: "closed" | "open" | "half-open";
}

/** A call that may go out; exactly one of these ends it. */
export interface Admission {
  succeeded(): void;
  failed(error: unknown): void;
  /** The call says nothing about the upstream: the client left, or nothing was sent. */
  abandoned(): void;
}

export interface CircuitBreakerOptions {
  readonly clock: Pick<Clock, "now">;
  /** Whether all clients of the gateway share the upstream's rate limit, so that one 429 holds for all of them. */
  readonly sharesRateLimit: boolean;
}

const failuresToOpen = 5;
const firstPauseMs = 15_000;
const longestPauseMs = 300_000;

const outages: ReadonlySet<ErrorCode> = new Set([
  "upstream_unreachable",
  "upstream_unavailable",
  "upstream_timeout",
]);

export function createCircuitBreaker({ clock, sharesRateLimit }: CircuitBreakerOptions): CircuitBreaker {
  let failuresInRow = 0;
  let pauses = 0;
  let reason: ApiError | undefined;
  let openUntilMs = 0;
  let isProbing = false;

  const open = (error: ApiError) => {
    const pauseMs = error.retryAfterMs ?? firstPauseMs * 2 ** pauses;
    pauses++;
    reason = error;
    openUntilMs = clock.now() + Math.min(pauseMs, longestPauseMs);
  };
  const close = () => {
    failuresInRow = 0;
    pauses = 0;
    reason = undefined;
  };

  /** Whether one such failure is enough to open the circuit. */
  const opensAtOnce = (error: ApiError): boolean =>
    error.code === "upstream_challenge" ||
    (error.code === "upstream_rate_limited" && sharesRateLimit && error.retryAfterMs !== undefined);

  const admissionOf = (isProbe: boolean): Admission => {
    const ended = () => {
      if (isProbe) isProbing = false;
    };
    return {
      succeeded() {
        ended();
        // A call that began before the circuit opened does not close it.
        if (isProbe || reason === undefined) close();
      },
      failed(error) {
        ended();
        if (!(error instanceof ApiError)) return;
        if (opensAtOnce(error)) open(error);
        else if (outages.has(error.code)) {
          failuresInRow++;
          if (isProbe || (failuresInRow >= failuresToOpen && reason === undefined)) open(error);
        } else if (isProbe || reason === undefined) {
          // The upstream answered, if only to refuse this client's text.
          close();
        }
      },
      abandoned: ended,
    };
  };

  const ordinary = admissionOf(false);
  const probe = admissionOf(true);

  return {
    admit() {
      if (reason === undefined) return ordinary;
      const waitMs = openUntilMs - clock.now();
      if (waitMs > 0 || isProbing) {
        const retryAfterMs = Math.max(waitMs, 1000);
        const pause = `(The gateway does not call this upstream for another ${Math.ceil(retryAfterMs / 1000)} s.)`;
        throw new ApiError(reason.code, `${reason.message} ${pause}`, { retryAfterMs });
      }
      isProbing = true;
      return probe;
    },
    get state() {
      if (reason === undefined) return "closed";
      return openUntilMs > clock.now() ? "open" : "half-open";
    },
  };
}
