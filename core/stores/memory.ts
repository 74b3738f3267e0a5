import type { Clock, SessionStore, StoredValue } from "../types.ts";
import { createFairCache } from "../util/fair-cache.ts";
import { systemClock } from "../util/time.ts";
import { defaultCacheBytes, defaultMaxEntries } from "./settings.ts";

export interface MemoryStoreOptions {
  /** The most values held; of the owner who has most, the least recently used goes first. 1,024 by default. */
  readonly maxEntries?: number;
  /** The most memory that all values take together, in bytes, in the same way. 256 MiB by default. */
  readonly maxBytes?: number;
  readonly clock?: Pick<Clock, "monotonic">;
}

/** About what an entry takes beside its texts: its place in the map and in the lists of the cache, and two objects. */
const entryBytes = 256;

/** Engines hold a text with one or two bytes for each unit of its length; two is never too little. */
const bytesOf = (key: string, value: string): number => entryBytes + 2 * (key.length + value.length);

/**
 * A store in this process: what it holds lives as long as the process does, and no other instance sees it. Fails only for
 * a value that alone takes more than `maxBytes`. No timer runs: a value past its time goes when it is next met.
 *
 * @example
 * ```ts
 * import { createHandler, memoryStore } from "kimi-ai-2api";
 *
 * const handler = createHandler({ store: memoryStore({ maxEntries: 100, maxBytes: 16 * 1024 * 1024 }) });
 * ```
 */
export function memoryStore({
  maxEntries = defaultMaxEntries,
  maxBytes = defaultCacheBytes,
  clock = systemClock,
}: MemoryStoreOptions = {}): SessionStore {
  const entries = createFairCache<StoredValue>({ maxEntries, maxSize: maxBytes, clock });
  let writes = 0;

  return {
    name: "memory",
    shared: false,
    get: (key) => entries.get(key),
    set(key, value, { ttlMs, ifVersion, owner = "" }) {
      if (ifVersion !== undefined && (entries.get(key)?.version ?? null) !== ifVersion) return undefined;
      const size = bytesOf(key, value);
      if (size > maxBytes) {
        throw new Error(`A value takes ${size} bytes of memory; the store holds ${maxBytes} at most.`);
      }
      const version = String(++writes);
      // The cache drops a value when more than `ttl` has passed, but a store must once `ttlMs` has: half a millisecond
      // less, as clocks count whole ones.
      entries.set(key, { value, version }, { owner, size, ttlMs: ttlMs - 0.5 });
      return version;
    },
    delete(key) {
      entries.delete(key);
    },
  };
}
