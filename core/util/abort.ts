/** How long a request lives, and how its parts are read while it does. */
import { ApiError } from "../errors.ts";
import type { Clock, StreamParts } from "../types.ts";

const ignore = () => {};

/** The life of one request: it ends with its answer, when the client leaves, or when time is up. */
export class Lifetime {
  /** Aborts with the ApiError to throw, when the client leaves or time is up. */
  readonly signal: AbortSignal;
  /** Called with the reason when the signal aborts; a plain call costs less than an event. */
  onAbort: (reason: unknown) => void = ignore;
  readonly #controller = new AbortController();
  readonly #clientSignal: AbortSignal;
  readonly #cancelDeadline: () => void;
  #isOver = false;

  constructor(clientSignal: AbortSignal, timeoutMs: number, clock: Clock) {
    this.signal = this.#controller.signal;
    this.#clientSignal = clientSignal;
    this.#cancelDeadline = clock.schedule(() => {
      const message = `The upstream did not answer within ${timeoutMs / 1000} s.`;
      this.#abort(new ApiError("upstream_timeout", message));
    }, timeoutMs);
    if (clientSignal.aborted) this.leave();
    else clientSignal.addEventListener("abort", this);
  }

  /** The client's signal has aborted. */
  handleEvent(): void {
    this.leave();
  }

  /** The client has left. */
  leave(): void {
    this.#abort(new ApiError("client_closed_request", "The client closed the connection."));
  }

  /** The answer is over: what happens from now on is no abort. */
  release(): void {
    this.#cancelDeadline();
    // Whoever calls the handler may give many requests one signal, and Deno aborts a request's even after an answer that
    // went well.
    this.#clientSignal.removeEventListener("abort", this);
    this.#isOver = true;
  }

  #abort(reason: ApiError): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#controller.abort(reason);
    this.onAbort(reason);
  }
}

/** Reads an answer's parts while its request lives. */
export class PartReader {
  readonly #iterator: AsyncIterator<StreamParts, unknown>;
  readonly #signal: AbortSignal;
  #rejectNext: ((reason: unknown) => void) | undefined;
  #isOpen = true;

  constructor(answer: AsyncIterable<StreamParts, unknown>, lifetime: Lifetime) {
    this.#iterator = answer[Symbol.asyncIterator]();
    this.#signal = lifetime.signal;
    lifetime.onAbort = (reason) => {
      this.#rejectNext?.(reason);
      this.close();
    };
  }

  /** What comes next; undefined at the end. Rejects at once when the request's life ends, whatever the provider does. */
  next(): Promise<StreamParts | undefined> {
    if (this.#signal.aborted) return Promise.reject(this.#signal.reason);
    return new Promise((resolve, reject) => {
      this.#rejectNext = reject;
      this.#iterator
        .next()
        .then(({ done, value }) => resolve(done ? undefined : (value as StreamParts)), reject);
    });
  }

  /** Releases the provider. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#iterator.return?.().then(undefined, ignore);
  }
}

/** Rejects with the signal's reason if that aborts before `promise` settles. */
export const abortable = <T>(promise: Promise<T>, signal: AbortSignal): Promise<T> =>
  new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    const settled = () => {
      signal.removeEventListener("abort", onAbort);
      resolve(promise);
    };
    promise.then(settled, settled);
  });

/** Resolves to whether `promise` has settled within `delayMs`. */
export const settlesWithin = (promise: Promise<unknown>, delayMs: number, clock: Clock): Promise<boolean> =>
  new Promise((resolve) => {
    const cancel = clock.schedule(() => resolve(false), delayMs);
    const settled = () => {
      cancel();
      resolve(true);
    };
    promise.then(settled, settled);
  });
