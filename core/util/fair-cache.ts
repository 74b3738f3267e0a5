/** A bounded map for several owners, in which none can push out what the others hold. */
import { LRUCache } from "lru-cache";
import type { Clock } from "../types.ts";

export interface FairCacheOptions {
  /** The most entries of all owners. */
  readonly maxEntries: number;
  /** The most that their sizes may sum up to. */
  readonly maxSize: number;
  readonly clock: Pick<Clock, "monotonic">;
}

export interface FairCacheEntry {
  /** Whose entry it is; "" where that does not matter. */
  readonly owner: string;
  readonly size: number;
  /** Milliseconds until it goes by itself; absent for never. */
  readonly ttlMs?: number;
}

export interface FairCache<Value> {
  get(key: string): Value | undefined;
  /** An entry that alone is larger than `maxSize` is not kept. */
  set(key: string, value: Value, entry: FairCacheEntry): void;
  delete(key: string): void;
}

/**
 * Where there is too much, the owner who holds the most loses what it has used least recently: one owner alone may fill
 * the whole cache, and a flood of one costs the others nothing.
 */
export function createFairCache<Value extends object>(options: FairCacheOptions): FairCache<Value> {
  const { maxEntries, maxSize, clock } = options;
  type OwnersCache = LRUCache<string, Value>;
  const owners = new Map<string, OwnersCache>();
  const cacheOf = new Map<string, OwnersCache>();
  let totalSize = 0;

  const createOwnersCache = (): OwnersCache => {
    const cache: OwnersCache = new LRUCache({
      // Not `max`: that would allocate room for all of maxEntries at once.
      maxSize,
      perf: { now: () => clock.monotonic() },
      // Reads the clock every time, instead of once per timer.
      ttlResolution: 0,
      dispose(_value, key, reason) {
        if (reason !== "set") cacheOf.delete(key);
      },
    });
    return cache;
  };

  /** Keeps the sum of sizes true through whatever a cache does, the end of an entry's time included. */
  const measured = <Result>(cache: OwnersCache, work: () => Result): Result => {
    const before = cache.calculatedSize;
    const result = work();
    totalSize += cache.calculatedSize - before;
    return result;
  };

  const shrinkLargest = (measure: (cache: OwnersCache) => number) => {
    let largest: [string, OwnersCache] | undefined;
    for (const entry of owners) {
      if (largest === undefined || measure(entry[1]) > measure(largest[1])) largest = entry;
    }
    if (largest === undefined) return;
    const [owner, cache] = largest;
    measured(cache, () => cache.pop());
    if (cache.size === 0) owners.delete(owner);
  };

  const remove = (key: string) => {
    const cache = cacheOf.get(key);
    if (cache !== undefined) measured(cache, () => cache.delete(key));
  };

  return {
    get(key) {
      const cache = cacheOf.get(key);
      return cache && measured(cache, () => cache.get(key));
    },
    set(key, value, { owner, size, ttlMs }) {
      let cache = owners.get(owner);
      if (cacheOf.get(key) !== cache) remove(key);
      if (cache === undefined) {
        cache = createOwnersCache();
        owners.set(owner, cache);
      }
      const owned = cache;
      measured(owned, () => owned.set(key, value, { size, ...(ttlMs !== undefined && { ttl: ttlMs }) }));
      if (owned.has(key)) cacheOf.set(key, owned);
      while (totalSize > maxSize) shrinkLargest((each) => each.calculatedSize);
      while (cacheOf.size > maxEntries) shrinkLargest((each) => each.size);
    },
    delete: remove,
  };
}
