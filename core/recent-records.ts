import type { ConversationRecord } from "./conversation-record.ts";
import type { StoredValue } from "./types.ts";

export interface RecentRecords {
  /** The record that was stored under `key` as `version`, if it is still at hand. */
  find(key: string, version: string): ConversationRecord | undefined;
  keep(key: string, stored: StoredValue, record: ConversationRecord): void;
  drop(key: string): void;
}

type Entries = Map<string, { readonly version: string; readonly record: ConversationRecord }>;

/**
 * The records written last, as they were before they became text, up to `maxLength` characters of it: a turn parses
 * only what another instance has written meanwhile. The store's version says whether a record is still the stored one.
 */
export function recentRecords(maxLength: number): RecentRecords {
  // Two generations: when the younger is full the older goes, all at once, which costs less than to drop one by one.
  let younger: Entries = new Map();
  let older: Entries = new Map();
  let length = 0;

  return {
    find(key, version) {
      const entry = younger.get(key) ?? older.get(key);
      return entry?.version === version ? entry.record : undefined;
    },
    keep(key, { value, version }, record) {
      if (length + value.length > maxLength / 2) {
        older = younger;
        younger = new Map();
        length = 0;
      }
      younger.set(key, { version, record });
      length += value.length;
    },
    drop(key) {
      younger.delete(key);
      older.delete(key);
    },
  };
}
