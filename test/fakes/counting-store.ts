import { memoryStore } from "../../core/stores/memory.ts";
import type { Clock, SessionStore } from "../../core/types.ts";

export interface CountingStore extends SessionStore {
  reads: number;
  writes: number;
  /** Which operations fail. */
  failing: "none" | "reads" | "writes" | "all";
  readonly entries: Map<string, string>;
}

/** A memory store that counts, can fail, and shows what it holds; one that writes at once never makes anyone wait. */
export function countingStore(clock: Clock, { writesAtOnce = false } = {}): CountingStore {
  const inner = memoryStore({ maxEntries: 1000, clock });
  const fails = (...kinds: CountingStore["failing"][]) => {
    if (kinds.includes(counting.failing)) throw new Error("the store is broken");
  };
  const counting: CountingStore = {
    name: "counting",
    // Tests put several instances before it.
    shared: true,
    reads: 0,
    writes: 0,
    failing: "none",
    entries: new Map(),
    get(key) {
      counting.reads++;
      fails("reads", "all");
      return inner.get(key);
    },
    set(key, value, options) {
      counting.writes++;
      fails("writes", "all");
      const version = inner.set(key, value, options) as string | undefined;
      if (version !== undefined) counting.entries.set(key, value);
      return writesAtOnce ? version : Promise.resolve(version);
    },
    delete(key) {
      inner.delete(key);
      counting.entries.delete(key);
    },
  };
  return counting;
}
