/**
 * How many calls go to an upstream at once, and which wait for a slot. Each call has an owner, its API key: none can keep
 * the others out of the slots or of the line.
 */
import { ApiError } from "../errors.ts";

/** A place among the calls that run. */
export interface Slot {
  /** Gives the slot to the next call in line. Called again, it does nothing. */
  release(): void;
}

export interface ConcurrencyLimit {
  /**
   * Resolves to a slot: in the order of arrival for calls of one owner, and for several the owner with the fewest running
   * calls comes first. Rejects with ApiError overloaded where too many wait already, this owner's among the most, or when
   * a call of another owner needs the place in line; and with the signal's reason when that aborts first.
   */
  acquire(signal: AbortSignal, owner?: string): Promise<Slot>;
  /** A slot, if one is free now. */
  tryAcquire(owner?: string): Slot | undefined;
  /** Calls that have a slot. */
  readonly running: number;
  /** Calls that wait for one. */
  readonly waiting: number;
}

/** After how long a refused client should try again. */
const retryAfterMs = 5000;

const overloaded = () => {
  const message = `Too many requests wait for the upstream. Try again in ${retryAfterMs / 1000} s.`;
  return new ApiError("overloaded", message, { retryAfterMs });
};

/** A call in line. */
interface Waiter {
  /** Its place among all that ever waited. */
  readonly number: number;
  readonly takeOver: () => void;
  readonly refuse: () => void;
}

/** What one owner has. */
interface Share {
  running: number;
  /** In the order of arrival; a call that gives up is found at once. */
  readonly waiting: Set<Waiter>;
}

/** Lets `limit` calls run at once and at most `queueLimit` more wait. */
export function createConcurrencyLimit(limit: number, queueLimit: number): ConcurrencyLimit {
  const shares = new Map<string, Share>();
  let running = 0;
  let waiting = 0;
  let arrivals = 0;

  const shareOf = (owner: string): Share => {
    const share = shares.get(owner) ?? { running: 0, waiting: new Set() };
    shares.set(owner, share);
    return share;
  };

  const dropEmpty = (owner: string, share: Share) => {
    if (share.running === 0 && share.waiting.size === 0) shares.delete(owner);
  };

  /** The head of the line: of the owner with the fewest running calls, the first to arrive where several have as few. */
  const next = (): Waiter | undefined => {
    let best: { readonly running: number; readonly waiter: Waiter } | undefined;
    for (const share of shares.values()) {
      const [waiter] = share.waiting;
      if (waiter === undefined) continue;
      const isBetter =
        best === undefined ||
        share.running < best.running ||
        (share.running === best.running && waiter.number < best.waiter.number);
      if (isBetter) best = { running: share.running, waiter };
    }
    return best?.waiter;
  };

  const createSlot = (owner: string, share: Share): Slot => {
    let isHeld = true;
    share.running++;
    return {
      release() {
        if (!isHeld) return;
        isHeld = false;
        share.running--;
        const waiter = next();
        if (waiter === undefined) running--;
        else waiter.takeOver();
        dropEmpty(owner, share);
      },
    };
  };

  const waitInLine = (signal: AbortSignal, owner: string, share: Share): Promise<Slot> =>
    new Promise((resolve, reject) => {
      const leaveLine = () => {
        if (share.waiting.delete(waiter)) waiting--;
        signal.removeEventListener("abort", giveUp);
      };
      const waiter: Waiter = {
        number: arrivals++,
        takeOver() {
          leaveLine();
          resolve(createSlot(owner, share));
        },
        refuse() {
          leaveLine();
          reject(overloaded());
          dropEmpty(owner, share);
        },
      };
      const giveUp = () => {
        leaveLine();
        reject(signal.reason);
        dropEmpty(owner, share);
      };
      share.waiting.add(waiter);
      waiting++;
      signal.addEventListener("abort", giveUp);
    });

  /** Sends the last call of the owner with the most waiting ones away, if that has more than the newcomer's. */
  const makeRoom = (newcomer: Share): boolean => {
    let longest: Share | undefined;
    for (const share of shares.values()) {
      if (longest === undefined || share.waiting.size > longest.waiting.size) longest = share;
    }
    if (longest === undefined || longest.waiting.size <= newcomer.waiting.size + 1) return false;
    [...longest.waiting].at(-1)?.refuse();
    return true;
  };

  return {
    async acquire(signal, owner = "") {
      signal.throwIfAborted();
      const share = shareOf(owner);
      if (running < limit) {
        running++;
        return createSlot(owner, share);
      }
      if (waiting >= queueLimit && !makeRoom(share)) {
        dropEmpty(owner, share);
        throw overloaded();
      }
      return waitInLine(signal, owner, share);
    },
    tryAcquire(owner = "") {
      if (running >= limit) return undefined;
      running++;
      return createSlot(owner, shareOf(owner));
    },
    get running() {
      return running;
    },
    get waiting() {
      return waiting;
    },
  };
}
