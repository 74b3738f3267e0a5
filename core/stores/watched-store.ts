/** Notices when a store fails and when it is back, for the log and for /health. */
import { type ErrorCode, errorTable } from "../errors.ts";
import type { Clock, Logger, MaybePromise, SessionStore } from "../types.ts";

export interface StoreHealth {
  /** Whether the last operation failed. */
  readonly isFailing: boolean;
  /** Milliseconds since the epoch; undefined where none has failed yet. */
  readonly lastFailure: { readonly code: ErrorCode; readonly atMs: number } | undefined;
}

const code = "session_store_unavailable";

/** The same store, watched. */
export function watchStore(
  store: SessionStore,
  { clock, log }: { readonly clock: Clock; readonly log: Logger },
): { readonly store: SessionStore; readonly health: StoreHealth } {
  const health: { isFailing: boolean; lastFailure: StoreHealth["lastFailure"] } = {
    isFailing: false,
    lastFailure: undefined,
  };
  let sinceMs = 0;
  let failingSinceMs = 0;

  const failed = (error: unknown): never => {
    const atMs = clock.now();
    if (!health.isFailing) {
      sinceMs = atMs;
      failingSinceMs = clock.monotonic();
    }
    health.isFailing = true;
    health.lastFailure = { code, atMs };
    log.error("store.failed", {
      store: store.name,
      reason: error instanceof Error ? error.message : String(error),
      since: new Date(sinceMs).toISOString(),
      next: errorTable[code].operator,
    });
    throw error;
  };
  const succeeded = () => {
    if (!health.isFailing) return;
    health.isFailing = false;
    log.warn("store.recovered", { store: store.name, failedMs: clock.monotonic() - failingSinceMs });
  };

  const watched = async <Result>(work: () => MaybePromise<Result>): Promise<Result> => {
    let result: Result;
    try {
      result = await work();
    } catch (error) {
      return failed(error);
    }
    succeeded();
    return result;
  };

  return {
    health,
    store: {
      name: store.name,
      shared: store.shared,
      get: (key) => watched(() => store.get(key)),
      set: (key, value, options) => watched(() => store.set(key, value, options)),
      delete: (key) => watched(() => store.delete(key)),
    },
  };
}
