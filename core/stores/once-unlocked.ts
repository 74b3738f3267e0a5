/** Waiting for an SQLite file that another process has locked. */
import type { Clock } from "../types.ts";
import { sleep } from "../util/time.ts";

/** Some two seconds of them: as long as an operation of a store may take. */
const maxLockedTries = 80;
const longestPauseMs = 50;
const lockedMessage = "database is locked";

/**
 * Tries again while another process has locked the database's file. SQLite waits for the lock only at times: neither
 * while another process creates the file nor when it writes what has been checked.
 */
export async function onceUnlocked<T>(task: () => Promise<T>, clock: Pick<Clock, "schedule">): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await task();
    } catch (error) {
      if (tries >= maxLockedTries || !String(error).includes(lockedMessage)) throw error;
    }
    await sleep(Math.random() * Math.min(longestPauseMs, 2 ** tries), { clock });
  }
}
