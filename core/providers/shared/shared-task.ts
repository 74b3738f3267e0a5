import { ApiError } from "../../errors.ts";
import type { Clock } from "../../types.ts";

export interface SharedTaskOptions {
  readonly clock: Clock;
  readonly limitMs: number;
  /** The message of the error for those that still wait when `limitMs` is over. */
  readonly timeoutMessage: string;
  /** Called once, when the work has ended or no caller waits for it any more. */
  readonly onOver: () => void;
}

/** Work that several callers wait for: it goes on while one of them waits and is aborted when the last has left. */
export interface SharedTask<Result> {
  /** The first to join starts the work. */
  join(signal: AbortSignal): Promise<Result>;
}

interface Waiter<Result> {
  resolve(result: Result): void;
  reject(reason: unknown): void;
}

/**
 * On Cloudflare Workers, work dies silently with the request that began it. So when that one has left and nothing has
 * come for this long, another one begins anew.
 */
const orphanMs = 5_000;

/** Workers do not let one request abort what another has begun; that ends with the other anyway. */
const abort = (controller: AbortController): void => {
  try {
    controller.abort();
  } catch {}
};

/** `work` for all who join. */
export function sharedTask<Result>(
  work: (signal: AbortSignal) => Promise<Result>,
  { clock, limitMs, timeoutMessage, onOver }: SharedTaskOptions,
): SharedTask<Result> {
  const deadlineMs = clock.monotonic() + limitMs;
  const waiters = new Set<Waiter<Result>>();
  let starter: Waiter<Result> | undefined;
  let orphanedAtMs = Number.POSITIVE_INFINITY;
  let controller = new AbortController();
  let isOver = false;

  function begin(waiter: Waiter<Result>): void {
    abort(controller);
    controller = new AbortController();
    const { signal } = controller;
    starter = waiter;
    orphanedAtMs = Number.POSITIVE_INFINITY;
    work(signal).then(
      (result) => signal === controller.signal && end((waiter) => waiter.resolve(result)),
      (reason) => signal === controller.signal && end((waiter) => waiter.reject(reason)),
    );
  }

  function end(tell: (waiter: Waiter<Result>) => void): void {
    if (isOver) return;
    isOver = true;
    onOver();
    for (const waiter of waiters) tell(waiter);
    abort(controller);
  }

  return {
    async join(signal) {
      if (signal.aborted) {
        if (waiters.size === 0) end(() => {});
        throw signal.reason;
      }
      let waiter: Waiter<Result> | undefined;
      let onAbort = () => {};
      let cancelTimer = () => {};
      // Everyone who waits has a timer of their own: Workers end a request that waits for another request alone.
      const watch = () => {
        const nowMs = clock.monotonic();
        if (nowMs >= deadlineMs) {
          end(({ reject }) => reject(new ApiError("upstream_timeout", timeoutMessage)));
          return;
        }
        if (nowMs - orphanedAtMs >= orphanMs && waiter !== undefined) begin(waiter);
        cancelTimer = clock.schedule(watch, Math.min(orphanMs, deadlineMs - nowMs));
      };
      try {
        return await new Promise<Result>((resolve, reject) => {
          waiter = { resolve, reject };
          waiters.add(waiter);
          onAbort = () => reject(signal.reason);
          signal.addEventListener("abort", onAbort);
          if (starter === undefined) begin(waiter);
          watch();
        });
      } finally {
        cancelTimer();
        signal.removeEventListener("abort", onAbort);
        if (waiter !== undefined) waiters.delete(waiter);
        if (waiter === starter) orphanedAtMs = clock.monotonic();
        if (waiters.size === 0) end(() => {});
      }
    },
  };
}
