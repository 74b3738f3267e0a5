import type { Clock } from "../../core/types.ts";

export interface FakeClock extends Clock {
  /** Moves time on and runs what falls due, in order; promises settle in between. */
  advance(ms: number): Promise<void>;
  /** Sets the wall clock, by so many milliseconds; durations go on as before. */
  setWall(byMs: number): void;
  /** Timers that wait. */
  readonly pending: number;
}

/** Lets everything run that waits for nothing but promises and hashes, which the platform makes in a thread. */
export const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 5; turn++) {
    await new Promise((resolve) => setImmediate(resolve));
    await crypto.subtle.digest("SHA-256", new Uint8Array());
  }
};

/** A clock that only a test moves. */
export function fakeClock(startMs = Date.UTC(2026, 0, 1)): FakeClock {
  let nowMs = startMs;
  let wallOffsetMs = 0;
  const timers = new Set<{ dueMs: number; task: () => void }>();
  return {
    now: () => nowMs + wallOffsetMs,
    monotonic: () => nowMs,
    setWall(byMs) {
      wallOffsetMs += byMs;
    },
    schedule(task, delayMs) {
      const timer = { dueMs: nowMs + delayMs, task };
      timers.add(timer);
      return () => timers.delete(timer);
    },
    async advance(ms) {
      const untilMs = nowMs + ms;
      await settle();
      while (true) {
        const due = [...timers].filter(({ dueMs }) => dueMs <= untilMs).sort((a, b) => a.dueMs - b.dueMs)[0];
        if (due === undefined) break;
        timers.delete(due);
        nowMs = Math.max(nowMs, due.dueMs);
        due.task();
        await settle();
      }
      nowMs = untilMs;
    },
    get pending() {
      return timers.size;
    },
  };
}

/** A clock that only a test moves, but on which writers that wait for each other do so in no time. */
export const hurriedClock = (): FakeClock => ({
  ...fakeClock(),
  schedule(task) {
    queueMicrotask(task);
    return () => {};
  },
});
