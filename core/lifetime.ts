/** How long a request lives, and how its parts are read while it does. */
import { ApiError } from "./errors.ts";
import type { Clock, StreamParts } from "./types.ts";

export interface Lifetime {
  /** Aborts with the ApiError to throw, when the client leaves or time is up. */
  readonly signal: AbortSignal;
  /** Called with the reason when the signal aborts; a plain call costs less than an event. */
  onAbort: (reason: unknown) => void;
  /** The client has left. */
  leave(): void;
  /** Takes the timer away; what happens afterwards is no abort. */
  release(): void;
}

export function requestLifetime(clientSignal: AbortSignal, timeoutMs: number, clock: Clock): Lifetime {
  const controller = new AbortController();
  let isOver = false;
  const abort = (reason: ApiError) => {
    if (isOver) return;
    isOver = true;
    controller.abort(reason);
    lifetime.onAbort(reason);
  };
  const leave = () => abort(new ApiError("client_closed_request", "The client closed the connection."));
  const cancelDeadline = clock.schedule(
    () =>
      abort(new ApiError("upstream_timeout", `The upstream did not answer within ${timeoutMs / 1000} s.`)),
    timeoutMs,
  );
  const lifetime: Lifetime = {
    signal: controller.signal,
    onAbort() {},
    leave,
    release() {
      cancelDeadline();
      // The listener goes with the request; to take it away would cost more than to let it do nothing. Deno aborts a
      // request's signal even after an answer that went well.
      isOver = true;
    },
  };
  if (clientSignal.aborted) leave();
  else clientSignal.addEventListener("abort", leave, { once: true });
  return lifetime;
}

export interface PartReader {
  /** What comes next; undefined at the end. Rejects at once when the request's life ends, whatever the provider does. */
  next(): Promise<StreamParts | undefined>;
  /** Releases the provider. */
  close(): void;
}

export function readParts(answer: AsyncIterable<StreamParts>, lifetime: Lifetime): PartReader {
  const { signal } = lifetime;
  const iterator = answer[Symbol.asyncIterator]();
  let rejectNext: (reason: unknown) => void = () => {};
  let isOpen = true;
  const close = () => {
    if (!isOpen) return;
    isOpen = false;
    iterator.return?.().catch(() => {});
  };
  lifetime.onAbort = (reason) => {
    rejectNext(reason);
    close();
  };
  return {
    next() {
      if (signal.aborted) return Promise.reject(signal.reason);
      return new Promise((resolve, reject) => {
        rejectNext = reject;
        iterator.next().then(({ done, value }) => resolve(done ? undefined : value), reject);
      });
    },
    close,
  };
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
