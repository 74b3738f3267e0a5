/** Conversation records in a session store: read, written with compare-and-set, and deleted for good. */
import { ApiError } from "../errors.ts";
import type { Clock, Logger, SessionStore, StoredValue } from "../types.ts";
import { createFairCache } from "../util/fair-cache.ts";
import { type ConversationRecord, decodeRecord, emptyRecord, encodeRecord, withMark } from "./record.ts";
import type { KeptTurn } from "./turn-plan.ts";

/** What is stored under a conversation's key. */
export interface StoredRecord {
  /** Undefined where there is none, or none that counts. */
  readonly record: ConversationRecord | undefined;
  /** What a conditional write must name. */
  readonly version: string | null;
  /** Changes with each deletion. */
  readonly generation: string | undefined;
}

/** Where a conversation is kept. */
export interface Place {
  readonly storeKey: string;
  /** Stands for the API key that it belongs to. */
  readonly owner: string;
}

export interface RecordStore {
  /** Throws ApiError session_store_unavailable. */
  read(place: Place): Promise<StoredRecord>;
  /** Resolves to the new version, or undefined if another write was faster. */
  write(place: Place, turn: KeptTurn, ifVersion: string | null): Promise<string | undefined>;
  /** Leaves a mark, so that a turn under way does not bring the conversation back. Throws ApiError session_store_unavailable. */
  forget(place: Place): Promise<void>;
}

/** How long a deletion leaves a mark: longer than any platform lets a request run. */
const deletionTtlMs = 60 * 60_000;
/** For a client, before it tries a broken store again. */
const storeRetryAfterMs = 2_000;
/** Up to this length, in characters, a record is parsed faster than it is kept. */
const maxShortLength = 4096;
/** How many characters of long records are kept parsed, so that a turn parses only what another instance has written. */
const maxParsedLength = 1024 * 1024;

/** A store's failure as a client sees it. */
export const storeUnavailable = (cause: unknown): ApiError => {
  const message = "The store of the conversations can't be reached. Please try again.";
  return new ApiError("session_store_unavailable", message, { retryAfterMs: storeRetryAfterMs, cause });
};

export function createRecordStore(store: SessionStore, clock: Clock, log: Logger): RecordStore {
  const parsed = createFairCache<{ readonly version: string; readonly record: ConversationRecord }>({
    maxEntries: Number.POSITIVE_INFINITY,
    maxSize: maxParsedLength,
    clock,
  });

  const keepParsed = (
    { storeKey, owner }: Place,
    version: string,
    record: ConversationRecord,
    length: number,
  ) => {
    if (length > maxShortLength) parsed.set(storeKey, { version, record }, { owner, size: length });
    else parsed.delete(storeKey);
  };

  const decode = (place: Place, { value, version }: StoredValue): ConversationRecord | undefined => {
    const known = parsed.get(place.storeKey);
    if (known?.version === version) return known.record;
    const record = decodeRecord(value, place.storeKey);
    if (record === undefined) log.warn("session.not_read", { store: store.name });
    else keepParsed(place, version, record, value.length);
    return record;
  };

  return {
    async read(place) {
      let stored: StoredValue | undefined;
      try {
        stored = await store.get(place.storeKey);
      } catch (cause) {
        throw storeUnavailable(cause);
      }
      if (stored === undefined) return { record: undefined, version: null, generation: undefined };
      const { version } = stored;
      const record = decode(place, stored);
      // The store's own expiry may be late.
      if (record === undefined || record.head.expiresAtMs <= clock.now())
        return { record: undefined, version, generation: undefined };
      const { isDeleted, generation } = record.head;
      return { record: isDeleted ? undefined : record, version, generation };
    },

    async write(place, { record, text, ttlMs }, ifVersion) {
      const { storeKey, owner } = place;
      const version = await store.set(storeKey, withMark(text, storeKey), { ttlMs, ifVersion, owner });
      if (version !== undefined) keepParsed(place, version, record, text.length);
      return version;
    },

    async forget({ storeKey, owner }) {
      const nowMs = clock.now();
      const mark = emptyRecord({
        id: "",
        startedAtMs: nowMs,
        finishedAtMs: nowMs,
        expiresAtMs: nowMs + deletionTtlMs,
        droppedMessages: 0,
        generation: crypto.randomUUID(),
        isDeleted: true,
      });
      parsed.delete(storeKey);
      try {
        const text = withMark(encodeRecord(mark).text, storeKey);
        await store.set(storeKey, text, { ttlMs: deletionTtlMs, owner });
      } catch (cause) {
        throw storeUnavailable(cause);
      }
    },
  };
}
