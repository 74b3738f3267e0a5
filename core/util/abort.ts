/** The signal that ends a request. */
import { ApiError } from "../errors.ts";
import type { Clock } from "../types.ts";

/** How long a request may take, in milliseconds. */
export interface TimeLimits {
  /** Until the first text of its answer. */
  readonly firstTextMs: number;
  /** Without a sign of the upstream, once it has begun to answer. */
  readonly silenceMs: number;
  /** For all of it. */
  readonly totalMs: number;
}

/** The life of one request: it ends with its answer, when the client leaves, or when time is up. */
export interface Lifetime {
  /** Aborts with the ApiError to throw. */
  readonly signal: AbortSignal;
  /** The upstream has begun to answer, or has sent something more: its silence counts from now on. */
  heard(): void;
  /** What the upstream sent has been handed to the client, and counts as heard once it is taken. */
  handedOver(): void;
  /** The client has left. */
  leave(): void;
  /** The answer is over: from now on nothing aborts. */
  release(): void;
}

const seconds = (ms: number): string => `${Math.round(ms / 1000)} s`;

const timeout = (message: string): ApiError => new ApiError("upstream_timeout", message);

/** What is waited for, and what it means that it does not come in time. */
const waits = {
  firstText: (ms: number) =>
    timeout(`The upstream did not answer within ${seconds(ms)} (API_REQUEST_TIMEOUT).`),
  upstream: (ms: number) =>
    timeout(
      `The upstream fell silent in the middle of its answer, for ${seconds(ms)} (API_REQUEST_TIMEOUT).`,
    ),
  client: (ms: number) =>
    new ApiError("client_closed_request", `The client has taken nothing of its answer for ${seconds(ms)}.`),
};

const totalOver = (ms: number) =>
  timeout(
    `The answer took longer than ${seconds(ms)}, which is all that it may (API_TOTAL_TIMEOUT, or the platform's time limit).`,
  );

/** A lifetime that ends with `client`, or when one of the limits is over. */
export function createLifetime(client: AbortSignal, limits: TimeLimits, clock: Clock): Lifetime {
  const { firstTextMs, silenceMs, totalMs } = limits;
  const controller = new AbortController();
  let wait: keyof typeof waits = "firstText";
  let sinceMs = clock.now();
  let cancelWait = () => {};
  let cancelTotal = () => {};

  const release = () => {
    cancelWait();
    cancelTotal();
    // A caller may use one signal for many requests, and Deno aborts a request's even after an answer that went well.
    client.removeEventListener("abort", leave);
  };
  const end = (reason: ApiError) => {
    release();
    controller.abort(reason);
  };
  const leave = () => end(new ApiError("client_closed_request", "The client closed the connection."));
  const limitMs = () => (wait === "firstText" ? firstTextMs : silenceMs);

  // One timer, which looks at the time when it fires: to set a new one for each event would cost more than the event.
  const watch = (delayMs: number) => {
    cancelWait = clock.schedule(() => {
      const leftMs = limitMs() - (clock.now() - sinceMs);
      if (leftMs <= 0) end(waits[wait](limitMs()));
      else watch(leftMs);
    }, delayMs);
  };
  const waitFor = (next: keyof typeof waits) => {
    wait = next;
    sinceMs = clock.now();
  };

  // Before the other: where both are over at once, as on a platform with a limit, this one is the reason.
  if (totalMs < Number.POSITIVE_INFINITY)
    cancelTotal = clock.schedule(() => end(totalOver(totalMs)), totalMs);
  watch(firstTextMs);
  client.addEventListener("abort", leave, { once: true });
  if (client.aborted) leave();
  return {
    signal: controller.signal,
    heard: () => waitFor("upstream"),
    handedOver: () => waitFor("client"),
    leave,
    release,
  };
}
