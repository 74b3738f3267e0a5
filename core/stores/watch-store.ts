/** What the operations of a store say about it, for `/health`. */
import type { Clock, SessionStore } from "../types.ts";
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

/** Notes how the operations of `store` end. */
export function watchStore(store: SessionStore, clock: Pick<Clock, "now">): WatchedStore {
  let isFailing = false;
  let lastFailure: StoreFailure | undefined;

  const watch = async <T>(operation: () => T | Promise<T>): Promise<T> => {
    try {
      const result = await operation();
      isFailing = false;
      return result;
    } catch (error) {
      isFailing = true;
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
      return isFailing;
    },
    get lastFailure() {
      return lastFailure;
    },
  };
}
