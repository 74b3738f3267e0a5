import type { Clock, Fetch, Logger, SessionStore } from "../types.ts";
import { type DenoKv, denoKvStore } from "./deno-kv.ts";
import { memoryStore } from "./memory.ts";
import { onceUnlocked } from "./once-unlocked.ts";
import { type RedisConnection, redisStore } from "./redis.ts";
import { redisRestStore } from "./redis-rest.ts";
import type { StoreName, StoreSettings } from "./settings.ts";
import { type SqliteDatabase, sqliteStore } from "./sqlite.ts";

export type ConnectRedis = (url: string) => Promise<RedisConnection>;

/** Clients of stores that need the platform's own, or an optional package; absent where there is none. */
export interface StoreDrivers {
  readonly openKv?: ((path?: string) => Promise<DenoKv>) | undefined;
  /** Rejects where an optional package is missing: at the start, not at the first conversation. */
  readonly loadRedis?: (() => Promise<ConnectRedis>) | undefined;
  /** Opens a database file, or makes it. */
  readonly openSqlite?: ((path: string) => Promise<SqliteDatabase>) | undefined;
}

export interface OpenStoreOptions {
  readonly settings: StoreSettings;
  readonly drivers: StoreDrivers;
  /** The store to take when none is set. */
  readonly preferred: StoreName;
  /** Whether the platform runs many short-lived instances, so that memory of one is no memory. */
  readonly hosted: boolean;
  readonly clock: Clock;
  readonly fetch: Fetch;
  readonly log: Logger;
}

/** Opens the store that SESSION_STORE names. Throws an Error that names the variables to set. */
export async function openStore(options: OpenStoreOptions): Promise<SessionStore> {
  const { settings, drivers, preferred, hosted, clock, fetch, log } = options;
  const { prefix } = settings;

  const open: Record<StoreName, () => SessionStore | Promise<SessionStore>> = {
    memory: () => memoryStore({ maxEntries: settings.maxEntries, maxBytes: settings.cacheBytes, clock }),

    async "deno-kv"() {
      const { openKv } = drivers;
      if (openKv === undefined) throw new Error("this platform has no Deno KV");
      const kv = await onceUnlocked(() => openKv(settings.denoKvPath), clock);
      return denoKvStore({ kv, prefix, clock, shared: settings.denoKvPath !== ":memory:" });
    },

    async sqlite() {
      const { sqlitePath: path } = settings;
      const { openSqlite } = drivers;
      if (path === undefined) throw new Error("set SQLITE_PATH to a file, or DATA_DIR to a folder");
      if (openSqlite === undefined) throw new Error("this platform has no SQLite");
      const open = async () => sqliteStore({ database: await openSqlite(path), clock });
      return onceUnlocked(open, clock);
    },

    "redis-rest"() {
      const { redisRest } = settings;
      if (redisRest === undefined)
        throw new Error(
          "set UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN, or KV_REST_API_URL and KV_REST_API_TOKEN",
        );
      return redisRestStore({ ...redisRest, fetch, prefix });
    },

    async redis() {
      const { redisUrl } = settings;
      if (redisUrl === undefined) throw new Error("set REDIS_URL");
      const connectRedis = await drivers.loadRedis?.();
      if (connectRedis === undefined) throw new Error("this platform has no TCP client for Redis");
      return redisStore({ connect: () => connectRedis(redisUrl), prefix, clock });
    },
  };

  const openPreferred = async (): Promise<SessionStore> => {
    try {
      return await open[preferred]();
    } catch (error) {
      log.warn("store.not_opened", { reason: `${preferred}: ${(error as Error).message}` });
      return open.memory();
    }
  };

  if (settings.store === undefined) {
    const store = await openPreferred();
    if (hosted && !store.shared) log.warn("store.not_shared", { store: store.name });
    return store;
  }
  try {
    return await open[settings.store]();
  } catch (error) {
    throw new Error(`SESSION_STORE=${settings.store}: ${(error as Error).message}`);
  }
}
