/** How many calls go to an upstream at once, and which wait for a slot. */
import { ApiError } from "../errors.ts";

/** A place among the calls that run. */
export interface Slot {
  /** Gives the slot to the next call in line. Called again, it does nothing. */
  release(): void;
}

export interface ConcurrencyLimit {
  /**
   * Resolves to a slot, in the order of arrival. Rejects with ApiError overloaded where too many wait already, and with
   * the signal's reason when that aborts first.
   */
  acquire(signal: AbortSignal): Promise<Slot>;
  /** A slot, if one is free now. */
  tryAcquire(): Slot | undefined;
  /** Calls that have a slot. */
  readonly running: number;
  /** Calls that wait for one. */
  readonly waiting: number;
}

/** After how long a refused client should try again. */
const retryAfterMs = 5000;

/** Lets `limit` calls run at once and at most `queueLimit` more wait. */
export function createConcurrencyLimit(limit: number, queueLimit: number): ConcurrencyLimit {
  let running = 0;
  /** Each takes over a slot. Insertion order is the order of arrival, and a call that gives up is found at once. */
  const queue = new Set<() => void>();

  const createSlot = (): Slot => {
    let isHeld = true;
    return {
      release() {
        if (!isHeld) return;
        isHeld = false;
        const [takeOver] = queue;
        if (takeOver === undefined) running--;
        else takeOver();
      },
    };
  };

  const waitInLine = (signal: AbortSignal): Promise<Slot> =>
    new Promise((resolve, reject) => {
      const leaveLine = () => {
        queue.delete(takeOver);
        signal.removeEventListener("abort", giveUp);
      };
      const takeOver = () => {
        leaveLine();
        resolve(createSlot());
      };
      const giveUp = () => {
        leaveLine();
        reject(signal.reason);
      };
      queue.add(takeOver);
      signal.addEventListener("abort", giveUp);
    });

  return {
    async acquire(signal) {
      signal.throwIfAborted();
      if (running < limit) {
        running++;
        return createSlot();
      }
      if (queue.size >= queueLimit) {
        const message = `Too many requests wait for the upstream. Try again in ${retryAfterMs / 1000} s.`;
        throw new ApiError("overloaded", message, { retryAfterMs });
      }
      return waitInLine(signal);
    },
    tryAcquire() {
      if (running >= limit) return undefined;
      running++;
      return createSlot();
    },
    get running() {
      return running;
    },
    get waiting() {
      return queue.size;
    },
  };
}
