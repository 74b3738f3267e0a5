import type { Clock } from "../types.ts";

/** The real one. */
export const systemClock: Clock = {
  now: Date.now,
  schedule(task, delayMs) {
    const timer = setTimeout(task, delayMs);
    return () => clearTimeout(timer);
  },
};
