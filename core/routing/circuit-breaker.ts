/** Stops calling an upstream while it is known to fail: https://martinfowler.com/bliki/CircuitBreaker.html */
import { ApiError, type ErrorCode, errorTable } from "../errors.ts";
import type { Clock } from "../types.ts";

/**
 * The circuits of one upstream and model: one for each caller, and one for all of them. A caller's failures open its own.
 * The common one takes the failures of two callers at least, since one alone may have sent what no upstream can bear.
 */
export interface CircuitBreaker {
  /** Lets a call go out. While a circuit in its way is open, throws the code that opened it, with the time to wait. */
  admit(caller: string): Admission;
  /** Opens a circuit that is closed here, for `ms` milliseconds, as another instance has; `caller` as in CircuitChange. */
  adopt(caller: string | undefined, code: ErrorCode, ms: number): void;
  /** The common circuit's; a caller's own counts too while nobody else has been answered since. */
  readonly state: CircuitState;
  /** When a call last went well, by the monotonic clock; undefined before the first. */
  readonly lastAnswerMs: number | undefined;
}

export type CircuitState = "closed" | "open" | "half-open";

/** A call that may go out; exactly one of these ends it. */
export interface Admission {
  succeeded(): void;
  failed(error: unknown): void;
  /** The call says nothing about the upstream: the client left, or nothing was sent. */
  abandoned(): void;
}

export interface CircuitChange {
  readonly state: "open" | "closed";
  /** What opened it. Never the upstream's words: they may be about one caller's request. */
  readonly code: ErrorCode;
  /** Whose circuit it is; undefined for the common one. */
  readonly caller: string | undefined;
  /** For how long it is open, or was. */
  readonly ms: number;
  /** Whether another instance has opened it. */
  readonly isAdopted?: true;
}

export interface CircuitBreakerOptions {
  readonly clock: Pick<Clock, "monotonic">;
  /** Whether all clients of the gateway share the upstream's rate limit, so that one 429 holds for all of them. */
  readonly sharesRateLimit: boolean;
  readonly onChange?: (change: CircuitChange) => void;
  /** Called with a caller that fails for the first time since the upstream last answered it. */
  readonly onFirstFailure?: ((caller: string) => void) | undefined;
}

const failuresToOpen = 5;
/** How many failures of one caller count for the common circuit: too few to open it without another caller's. */
const failuresOfOneCaller = 3;
/** How many callers may try at once whether an outage is over: one that hangs or fails must not decide for all. */
const maxProbers = 3;
const firstPauseMs = 15_000;
const longestPauseMs = 300_000;

const outages: ReadonlySet<ErrorCode> = new Set([
  "upstream_unreachable",
  "upstream_unavailable",
  "upstream_timeout",
]);

interface Circuit {
  /** What opened it; undefined while it is closed. */
  code: ErrorCode | undefined;
  openedAtMs: number;
  openUntilMs: number;
  pauses: number;
  /** Whether another instance has opened it: before any call that is under way here. */
  isAdopted: boolean;
}

const closedCircuit = (): Circuit => ({
  code: undefined,
  openedAtMs: 0,
  openUntilMs: 0,
  pauses: 0,
  isAdopted: false,
});

export function createCircuitBreaker(options: CircuitBreakerOptions): CircuitBreaker {
  const { clock, sharesRateLimit, onChange = () => {}, onFirstFailure } = options;
  const common = closedCircuit();
  /** Of callers that have failed and were not answered since. */
  const own = new Map<string, Circuit & { failures: number }>();
  /** Failures since the upstream last answered anybody, by caller. */
  const shares = new Map<string, number>();
  /** Callers with a call under way that tries whether a circuit may close. */
  const probers = new Set<string>();
  /** Callers whose tries of the open common circuit have failed. */
  const failedProbers = new Set<string>();
  /** Whether the upstream has answered somebody since a caller's circuit opened. */
  let isProvenUp = false;
  let lastAnswerMs: number | undefined;

  const ownOf = (caller: string) => {
    let circuit = own.get(caller);
    if (circuit === undefined) {
      circuit = { ...closedCircuit(), failures: 0 };
      own.set(caller, circuit);
    }
    return circuit;
  };

  const open = (circuit: Circuit, { code, retryAfterMs }: ApiError, caller?: string) => {
    const nowMs = clock.monotonic();
    const pauseMs = Math.min(retryAfterMs ?? firstPauseMs * 2 ** circuit.pauses, longestPauseMs);
    if (circuit.code === undefined) circuit.openedAtMs = nowMs;
    circuit.code = code;
    circuit.openUntilMs = nowMs + pauseMs;
    circuit.pauses++;
    circuit.isAdopted = false;
    onChange({ state: "open", code, caller, ms: pauseMs });
  };

  const close = (circuit: Circuit, caller?: string) => {
    const { code, openedAtMs } = circuit;
    Object.assign(circuit, closedCircuit());
    if (code !== undefined) onChange({ state: "closed", code, caller, ms: clock.monotonic() - openedAtMs });
  };

  const isNoneOfOurs = (circuit: Circuit | undefined): boolean =>
    circuit?.code === undefined || circuit.isAdopted;

  const stateOf = ({ code, openUntilMs }: Circuit): CircuitState =>
    code === undefined ? "closed" : openUntilMs > clock.monotonic() ? "open" : "half-open";

  const recover = (caller: string) => {
    lastAnswerMs = clock.monotonic();
    if (common.code !== undefined) {
      close(common);
      failedProbers.clear();
      // What they met was the common outage.
      own.clear();
    }
    const circuit = own.get(caller);
    if (circuit !== undefined) close(circuit, caller);
    own.delete(caller);
    shares.clear();
    isProvenUp = true;
  };

  /** Whether several callers have failed so often in a row that none of them can be the cause. */
  const isCommon = (): boolean => {
    let failures = 0;
    for (const share of shares.values()) failures += Math.min(share, failuresOfOneCaller);
    return failures >= failuresToOpen;
  };

  const fail = (caller: string, error: ApiError, isProbe: boolean) => {
    // The upstream counts all callers as one, by its own word.
    if (error.code === "upstream_rate_limited") return open(common, error);
    const circuit = ownOf(caller);
    const isCertain = error.code === "upstream_challenge";
    const weight = isCertain ? failuresToOpen : 1;
    if (circuit.failures === 0) onFirstFailure?.(caller);
    circuit.failures += weight;
    shares.set(caller, (shares.get(caller) ?? 0) + weight);
    if (isProbe || (circuit.failures >= failuresToOpen && circuit.code === undefined)) {
      isProvenUp = false;
      open(circuit, error, caller);
    }
    if (common.code === undefined) {
      if (isCommon()) open(common, error);
    } else if (isProbe) {
      failedProbers.add(caller);
      if (failedProbers.size < 2) return;
      failedProbers.clear();
      open(common, error);
    }
  };

  const counts = (error: ApiError): boolean =>
    error.code === "upstream_challenge" ||
    (error.code === "upstream_rate_limited" && sharesRateLimit && error.retryAfterMs !== undefined) ||
    (outages.has(error.code) && !error.isAboutRequest);

  const ended = (caller: string, isProbe: boolean) => {
    if (isProbe) probers.delete(caller);
  };

  /** A call that began before a circuit opened does not close it. */
  const mayClose = (caller: string, isProbe: boolean): boolean =>
    isProbe || (isNoneOfOurs(common) && isNoneOfOurs(own.get(caller)));

  const succeeded = (caller: string, isProbe: boolean) => {
    ended(caller, isProbe);
    if (mayClose(caller, isProbe)) recover(caller);
    else isProvenUp ||= own.get(caller)?.code === undefined;
  };

  const failed = (caller: string, isProbe: boolean, error: unknown) => {
    ended(caller, isProbe);
    if (!(error instanceof ApiError)) return;
    if (counts(error)) fail(caller, error, isProbe);
    // The upstream answered, if only to refuse this client's text.
    else if (!error.isAboutRequest && mayClose(caller, isProbe)) recover(caller);
  };

  const admissionOf = (caller: string, isProbe: boolean): Admission => ({
    succeeded: () => succeeded(caller, isProbe),
    failed: (error) => failed(caller, isProbe, error),
    abandoned: () => ended(caller, isProbe),
  });

  const refuse = (code: ErrorCode, waitMs: number): never => {
    const retryAfterMs = Math.max(waitMs, 1000);
    const message = `The gateway does not call this upstream for another ${Math.ceil(retryAfterMs / 1000)} s, as its last calls failed: ${errorTable[code].when}.`;
    throw new ApiError(code, message, { retryAfterMs });
  };

  return {
    admit(caller) {
      if (common.code === undefined && own.get(caller)?.code === undefined) return admissionOf(caller, false);
      const isBusy = probers.has(caller) || probers.size >= maxProbers;
      for (const { code, openUntilMs } of [own.get(caller) ?? closedCircuit(), common]) {
        const waitMs = openUntilMs - clock.monotonic();
        if (code !== undefined && (waitMs > 0 || isBusy)) refuse(code, waitMs);
      }
      probers.add(caller);
      return admissionOf(caller, true);
    },
    adopt(caller, code, ms) {
      const circuit = caller === undefined ? common : ownOf(caller);
      if (circuit.code !== undefined || ms <= 0) return;
      const nowMs = clock.monotonic();
      if (caller !== undefined) isProvenUp = false;
      Object.assign(circuit, {
        code,
        openedAtMs: nowMs,
        openUntilMs: nowMs + ms,
        pauses: 1,
        isAdopted: true,
      });
      onChange({ state: "open", code, caller, ms, isAdopted: true });
    },
    get lastAnswerMs() {
      return lastAnswerMs;
    },
    get state() {
      if (common.code !== undefined) return stateOf(common);
      if (isProvenUp) return "closed";
      const states = [...own.values()].map(stateOf);
      return (
        states.find((state) => state === "open") ?? states.find((state) => state !== "closed") ?? "closed"
      );
    },
  };
}
