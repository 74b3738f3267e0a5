/** How many calls go to an upstream at once, and who waits for a place. */
import { ApiError } from "../errors.ts";

export interface Slots {
  /** Takes a place, waiting for one in the order of arrival; undefined where there is one at once. Throws ApiError overloaded, or the signal's reason. */
  enter(signal: AbortSignal): Promise<void> | undefined;
  /** Gives the place back. */
  leave(): void;
  /** Calls that have a place. */
  readonly running: number;
  /** Calls that wait for one. */
  readonly waiting: number;
}

interface Waiter {
  readonly start: () => void;
}

/** Tells a refused client when a place may be free again. */
const retryAfterMs = 5000;

/** `limit` calls at once; behind them at most `queueLimit` that wait. */
export function slots(limit: number, queueLimit: number): Slots {
  let running = 0;
  // Insertion order is the order of arrival, and one who leaves is found at once.
  const queue = new Set<Waiter>();

  return {
    enter(signal) {
      if (running < limit) {
        running++;
        return undefined;
      }
      if (queue.size >= queueLimit) {
        throw new ApiError("overloaded", "Too many requests are waiting for the upstream.", { retryAfterMs });
      }
      return new Promise((resolve, reject) => {
        const giveUp = () => {
          queue.delete(waiter);
          reject(signal.reason);
        };
        const waiter: Waiter = {
          start() {
            signal.removeEventListener("abort", giveUp);
            resolve();
          },
        };
        if (signal.aborted) return giveUp();
        signal.addEventListener("abort", giveUp, { once: true });
        queue.add(waiter);
      });
    },
    leave() {
      const [next] = queue;
      if (next === undefined) {
        running--;
        return;
      }
      // The place goes on to the next in line and is never free in between.
      queue.delete(next);
      next.start();
    },
    get running() {
      return running;
    },
    get waiting() {
      return queue.size;
    },
  };
}
