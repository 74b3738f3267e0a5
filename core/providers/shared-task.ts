import { ApiError } from "../errors.ts";
import type { Clock } from "../types.ts";

export interface SharedTaskOptions {
  readonly clock: Clock;
  readonly limitMs: number;
  /** What those are told who still wait when `limitMs` is over. */
  readonly timeoutMessage: string;
  /** Called once: the work has ended, or nobody waits for it any more. */
  readonly onOver: () => void;
}

/** Work that several callers wait for: it goes on while one of them waits and is aborted when the last has left. */
export interface SharedTask<Result> {
  join(signal: AbortSignal): Promise<Result>;
}

/** Starts `work` at once; whoever starts it joins in the same turn. */
export function sharedTask<Result>(
  work: (signal: AbortSignal) => Promise<Result>,
  { clock, limitMs, timeoutMessage, onOver }: SharedTaskOptions,
): SharedTask<Result> {
  const deadlineMs = clock.now() + limitMs;
  const controller = new AbortController();
  let waiting = 0;
  let isOver = false;

  const end = (reason?: unknown) => {
    if (isOver) return;
    isOver = true;
    onOver();
    controller.abort(reason);
  };
  const result = work(controller.signal).finally(end);
  // Whoever has left does not hear of a failure.
  result.catch(() => {});

  return {
    join: (signal) =>
      new Promise((resolve, reject) => {
        let isWaiting = true;
        const leave = (settle: () => void) => {
          if (!isWaiting) return;
          isWaiting = false;
          cancelTimer();
          signal.removeEventListener("abort", onAbort);
          settle();
          waiting--;
          if (waiting === 0) end();
        };
        const onAbort = () => leave(() => reject(signal.reason));
        const onTimeout = () => {
          const timeout = new ApiError("upstream_timeout", timeoutMessage);
          leave(() => reject(timeout));
          end(timeout);
        };
        // Everyone who waits has a timer of their own: Cloudflare Workers end a request that waits only for another
        // request's work, and that work dies with the request that began it.
        const cancelTimer = clock.schedule(onTimeout, Math.max(deadlineMs - clock.now(), 0));
        waiting++;
        signal.addEventListener("abort", onAbort);
        if (signal.aborted) return onAbort();
        result.then(
          (value) => leave(() => resolve(value)),
          (error) => leave(() => reject(error)),
        );
      }),
  };
}
