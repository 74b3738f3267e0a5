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

/** The life of one request: it ends with its answer, when the client leaves, or when a limit of time is over. */
export class Lifetime {
  /** Aborts with the ApiError to throw. */
  readonly signal: AbortSignal;
  readonly #controller = new AbortController();
  readonly #client: AbortSignal;
  readonly #limits: TimeLimits;
  readonly #clock: Clock;
  readonly #cancelTotal: (() => void) | undefined;
  #cancelWait = () => {};
  #wait: keyof typeof waits = "firstText";
  /** Since when that is waited for. */
  #sinceMs: number;

  constructor(client: AbortSignal, limits: TimeLimits, clock: Clock) {
    this.signal = this.#controller.signal;
    this.#client = client;
    this.#limits = limits;
    this.#clock = clock;
    this.#sinceMs = clock.monotonic();
    const { totalMs, firstTextMs } = limits;
    // Before the other timer: where both are over at once, as on a platform with a limit, this one is the reason.
    if (totalMs < Number.POSITIVE_INFINITY)
      this.#cancelTotal = clock.schedule(() => this.#end(totalOver(totalMs)), totalMs);
    this.#watch(firstTextMs);
    if (client.aborted) this.leave();
    else client.addEventListener("abort", this);
  }

  /** The client's signal has aborted: https://dom.spec.whatwg.org/#callbackdef-eventlistener */
  handleEvent(): void {
    this.leave();
  }

  /** The upstream has sent something: from now on its silence counts. */
  heard(): void {
    this.#waitFor("upstream");
  }

  /** What the upstream sent lies ready for the client: until that is taken, the client's silence counts. */
  handedOver(): void {
    this.#waitFor("client");
  }

  /** The client has left. */
  leave(): void {
    this.#end(new ApiError("client_closed_request", "The client closed the connection."));
  }

  /** The answer is over: from now on nothing aborts. */
  release(): void {
    this.#cancelWait();
    this.#cancelTotal?.();
    // A caller may use one signal for many requests, and Deno aborts a request's even after an answer that went well.
    this.#client.removeEventListener("abort", this);
  }

  #waitFor(wait: keyof typeof waits): void {
    this.#wait = wait;
    this.#sinceMs = this.#clock.monotonic();
  }

  /** One timer, which looks at the time when it fires: a new one for each event would cost more than the event. */
  #watch(delayMs: number): void {
    this.#cancelWait = this.#clock.schedule(() => {
      const limitMs = this.#wait === "firstText" ? this.#limits.firstTextMs : this.#limits.silenceMs;
      const leftMs = limitMs - (this.#clock.monotonic() - this.#sinceMs);
      if (leftMs > 0) this.#watch(leftMs);
      else this.#end(waits[this.#wait](limitMs));
    }, delayMs);
  }

  #end(reason: ApiError): void {
    this.release();
    this.#controller.abort(reason);
  }
}
