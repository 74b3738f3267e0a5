import type { Clock, SessionStore } from "../types.ts";

export interface MemoryStoreOptions {
  /** The most values held; the least recently used go first. */
  readonly maxEntries: number;
  readonly clock: Pick<Clock, "now">;
}

/** A value, and its neighbours in the order of use. */
interface Entry {
  readonly key: string;
  readonly value: string;
  readonly version: string;
  readonly expiresAtMs: number;
  older?: Entry | undefined;
  newer?: Entry | undefined;
}

/**
 * One text instead of the pieces it was put together from, which engines keep, at several times its size, until
 * somebody reads a character.
 */
const flattened = (text: string): string => (text.charCodeAt(0) >= 0 ? text : "");

/**
 * Keeps values in this process, as long as it lives. The order of use is a linked list: a Map has an order too, but
 * engines look for its first key among all that were deleted. lru-cache would cost 18 KB, and Bun 4 ms of its start.
 */
export function memoryStore({ maxEntries, clock }: MemoryStoreOptions): SessionStore {
  const entries = new Map<string, Entry>();
  let oldest: Entry | undefined;
  let newest: Entry | undefined;
  let writes = 0;

  const link = (entry: Entry) => {
    entry.older = newest;
    entry.newer = undefined;
    if (newest === undefined) oldest = entry;
    else newest.newer = entry;
    newest = entry;
  };

  const unlink = ({ older, newer }: Entry) => {
    if (older === undefined) oldest = newer;
    else older.newer = newer;
    if (newer === undefined) newest = older;
    else newer.older = older;
  };

  const remove = (entry: Entry | undefined) => {
    if (entry === undefined) return;
    entries.delete(entry.key);
    unlink(entry);
  };

  const live = (key: string): Entry | undefined => {
    const entry = entries.get(key);
    if (entry === undefined || entry.expiresAtMs > clock.now()) return entry;
    remove(entry);
    return undefined;
  };

  return {
    name: "memory",
    shared: false,
    get(key) {
      const entry = live(key);
      if (entry === undefined) return undefined;
      unlink(entry);
      link(entry);
      return { value: entry.value, version: entry.version };
    },
    set(key, value, { ttlMs, ifVersion }) {
      const before = live(key);
      if (ifVersion !== undefined && (before?.version ?? null) !== ifVersion) return undefined;
      if (before !== undefined) unlink(before);
      const version = String(++writes);
      const entry = { key, value: flattened(value), version, expiresAtMs: clock.now() + ttlMs };
      entries.set(key, entry);
      link(entry);
      if (entries.size > maxEntries) remove(oldest);
      return version;
    },
    delete(key) {
      remove(entries.get(key));
    },
  };
}
