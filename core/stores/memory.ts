import { LRUCache } from "lru-cache";
import type { Clock, SessionStore } from "../types.ts";

export interface MemoryStoreOptions {
  /** The most values held; the least recently used go first. */
  readonly maxEntries: number;
  readonly clock: Pick<Clock, "now">;
}

interface Entry {
  readonly value: string;
  readonly version: string;
  readonly expiresAtMs: number;
}

/**
 * One text instead of the pieces it was put together from, which engines keep, at several times its size, until
 * somebody reads a character.
 */
const flattened = (text: string): string => (text.charCodeAt(0) >= 0 ? text : "");

/** Keeps values in this process, as long as it lives. */
export function memoryStore({ maxEntries, clock }: MemoryStoreOptions): SessionStore {
  // Expiry is kept here: the cache's own lets an entry live on in the very millisecond in which it ends.
  const entries = new LRUCache<string, Entry>({ max: maxEntries });
  let writes = 0;

  const live = (key: string): Entry | undefined => {
    const entry = entries.get(key);
    if (entry === undefined || entry.expiresAtMs > clock.now()) return entry;
    entries.delete(key);
    return undefined;
  };

  return {
    name: "memory",
    shared: false,
    get: live,
    set(key, value, { ttlMs, ifVersion }) {
      if (ifVersion !== undefined && (live(key)?.version ?? null) !== ifVersion) return undefined;
      const version = String(++writes);
      entries.set(key, { value: flattened(value), version, expiresAtMs: clock.now() + ttlMs });
      return version;
    },
    delete(key) {
      entries.delete(key);
    },
  };
}
