import type { Clock, SessionStore, StoredValue } from "../types.ts";
import { systemClock } from "../util/clock.ts";
import { defaultCacheBytes, defaultMaxEntries } from "./settings.ts";

export interface MemoryStoreOptions {
  /** The most values held; the least recently used go first. Default 1,024. */
  readonly maxEntries?: number;
  /** The most bytes of keys and values held, two for each UTF-16 code unit; the newest value is held whatever its size. Default 256 MiB. */
  readonly maxBytes?: number;
  readonly clock?: Pick<Clock, "now">;
}

/** A link of a ring from the least to the most recently used. */
interface Link {
  newer: Link;
  older: Link;
}

interface Entry extends Link {
  readonly key: string;
  stored: StoredValue;
  expiresAtMs: number;
}

const bytesOf = ({ key, stored }: Entry): number => 2 * (key.length + stored.value.length);

const unlink = (link: Link): void => {
  link.older.newer = link.newer;
  link.newer.older = link.older;
};

/** In place of a value that is gone. */
const nothing: StoredValue = { value: "", version: "" };

/**
 * A store in this process: what it holds lives as long as the process does, and no other instance sees it. Never fails.
 *
 * The order of use is a ring of links: a Map has an order too, but engines look for its first key among all that were
 * deleted. lru-cache would cost 18 KB, and Bun 4 ms of its start.
 *
 * @example
 * ```ts
 * import { createHandler, memoryStore } from "kimi-ai-2api";
 *
 * const handler = createHandler({ store: memoryStore({ maxEntries: 100, maxBytes: 16 * 1024 * 1024 }) });
 * ```
 */
export function memoryStore(options: MemoryStoreOptions = {}): SessionStore {
  const { maxEntries = defaultMaxEntries, maxBytes = defaultCacheBytes, clock = systemClock } = options;
  const entries = new Map<string, Entry>();
  /** Where the ring begins and ends: the most recently used is `older` than it, the least recently used `newer`. */
  const ends = {} as Link;
  ends.newer = ends;
  ends.older = ends;
  let writes = 0;
  let bytes = 0;

  const linkNewest = (link: Link) => {
    link.older = ends.older;
    link.newer = ends;
    ends.older.newer = link;
    ends.older = link;
  };

  const remove = (entry: Entry) => {
    unlink(entry);
    entries.delete(entry.key);
    bytes -= bytesOf(entry);
    // JavaScriptCore keeps what was in a map until its next full collection; so that it is the entry alone:
    entry.stored = nothing;
    entry.newer = entry;
    entry.older = entry;
  };

  const live = (key: string): Entry | undefined => {
    const entry = entries.get(key);
    if (entry === undefined) return undefined;
    if (entry.expiresAtMs <= clock.now()) {
      remove(entry);
      return undefined;
    }
    unlink(entry);
    linkNewest(entry);
    return entry;
  };

  return {
    name: "memory",
    shared: false,
    get: (key) => live(key)?.stored,
    set(key, value, { ttlMs, ifVersion }) {
      const before = live(key);
      if (ifVersion !== undefined && (before?.stored.version ?? null) !== ifVersion) return undefined;
      const stored = { value, version: String(++writes) };
      const expiresAtMs = clock.now() + ttlMs;
      if (before !== undefined) remove(before);
      const entry: Entry = { key, stored, expiresAtMs, newer: ends, older: ends };
      entries.set(key, entry);
      linkNewest(entry);
      bytes += bytesOf(entry);
      while (ends.newer !== entry && (entries.size > maxEntries || bytes > maxBytes))
        remove(ends.newer as Entry);
      return stored.version;
    },
    delete(key) {
      const entry = entries.get(key);
      if (entry !== undefined) remove(entry);
    },
  };
}
