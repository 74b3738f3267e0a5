/** What the operations of a store say about it, for `/health`. */
import { errorTable } from "../errors.ts";
import type { Clock, Logger, SessionStore } from "../types.ts";
import { RedisRefusal } from "./redis-commands.ts";

export interface WatchedStore {
  /** The same store. */
  readonly store: SessionStore;
  /** Whether its last operation failed. */
  readonly isFailing: boolean;
  readonly lastFailure: StoreFailure | undefined;
}

export interface StoreFailure {
  /** Milliseconds since the epoch. */
  readonly atMs: number;
  /** Fit for everyone to read: no address, no text of an answer. */
  readonly reason: string;
}

/** Everyone may read `/health`: an error's own text may have an address in it, which belongs into the log. */
const reasonFor = (error: unknown): string => {
  if (error instanceof RedisRefusal) return error.message;
  const { code } = error as { readonly code?: unknown };
  return typeof code === "string" && /^[A-Z][A-Z_]{2,40}$/.test(code) ? code : "no answer";
};

/** Notes how the operations of `store` end, and logs its failures and its return. */
export function watchStore(
  store: SessionStore,
  { clock, log }: { readonly clock: Clock; readonly log: Logger },
): WatchedStore {
  /** Since when it fails, by both clocks. */
  let since: { readonly atMs: number; readonly monotonicMs: number } | undefined;
  let lastFailure: StoreFailure | undefined;

  const watch = async <T>(operation: () => T | Promise<T>): Promise<T> => {
    try {
      const result = await operation();
      if (since !== undefined)
        log.warn("store.recovered", { store: store.name, failedMs: clock.monotonic() - since.monotonicMs });
      since = undefined;
      return result;
    } catch (error) {
      since ??= { atMs: clock.now(), monotonicMs: clock.monotonic() };
      log.error("store.failed", {
        store: store.name,
        reason: error instanceof Error ? error.message : String(error),
        since: new Date(since.atMs).toISOString(),
        next: errorTable.session_store_unavailable.operator,
      });
      lastFailure = { atMs: clock.now(), reason: reasonFor(error) };
      throw error;
    }
  };

  return {
    store: {
      name: store.name,
      shared: store.shared,
      get: (key) => watch(() => store.get(key)),
      set: (key, value, options) => watch(() => store.set(key, value, options)),
      delete: (key) => watch(() => store.delete(key)),
      close: () => store.close?.(),
    },
    get isFailing() {
      return since !== undefined;
    },
    get lastFailure() {
      return lastFailure;
    },
  };
}
