/** How long a request lives, and how its parts are read while it does. */
import { ApiError } from "./errors.ts";
import type { Clock, StreamPart } from "./types.ts";

export interface Lifetime {
  /** Aborts with the ApiError to throw, when the client leaves or time is up. */
  readonly signal: AbortSignal;
  /** The client has left. */
  leave(): void;
  /** Takes timer and listener away; what happens afterwards is no abort. */
  release(): void;
}

export function requestLifetime(clientSignal: AbortSignal, timeoutMs: number, clock: Clock): Lifetime {
  const controller = new AbortController();
  const leave = () =>
    controller.abort(new ApiError("client_closed_request", "The client closed the connection."));
  const cancelDeadline = clock.schedule(
    () =>
      controller.abort(
        new ApiError("upstream_timeout", `The upstream did not answer within ${timeoutMs / 1000} s.`),
      ),
    timeoutMs,
  );
  if (clientSignal.aborted) leave();
  else clientSignal.addEventListener("abort", leave, { once: true });
  return {
    signal: controller.signal,
    leave,
    release() {
      cancelDeadline();
      // Deno aborts a request's signal even after an answer that went well.
      clientSignal.removeEventListener("abort", leave);
    },
  };
}

export interface PartReader {
  /** The next part; undefined at the end. Rejects at once when the signal aborts, whatever the provider does. */
  next(): Promise<StreamPart | undefined>;
  /** Releases the provider. */
  close(): void;
}

/** `onClose` is called once, when the provider is released. */
export function readParts(
  parts: AsyncIterable<StreamPart>,
  signal: AbortSignal,
  onClose: () => void,
): PartReader {
  const iterator = parts[Symbol.asyncIterator]();
  let rejectNext: ((reason: unknown) => void) | undefined;
  let isOpen = true;
  const close = () => {
    if (!isOpen) return;
    isOpen = false;
    onClose();
    signal.removeEventListener("abort", onAbort);
    iterator.return?.().catch(() => {});
  };
  const onAbort = () => {
    rejectNext?.(signal.reason);
    close();
  };
  signal.addEventListener("abort", onAbort, { once: true });
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
