import type { Clock, Fetch, Logger, SessionStore } from "../types.ts";
import { type DenoKv, denoKvStore } from "./deno-kv.ts";
import { type DurableObjectNamespace, durableObjectStore } from "./durable-object.ts";
import { memoryStore } from "./memory.ts";
import { netlifyBlobsStore } from "./netlify-blobs.ts";
import { onceUnlocked } from "./once-unlocked.ts";
import { type RedisConnection, redisStore } from "./redis.ts";
import { redisRestStore } from "./redis-rest.ts";
import type { StoreName, StoreSettings } from "./settings.ts";
import { type SqliteDatabase, sqliteStore } from "./sqlite.ts";

export type ConnectRedis = () => Promise<RedisConnection>;

/** Clients of stores that need the platform's own, or an optional package; absent where there is none. */
export interface StoreDrivers {
  readonly openKv?: ((path?: string) => Promise<DenoKv>) | undefined;
  /** For a `REDIS_URL`. Rejects where an optional package is missing: at the start, not at the first conversation. */
  readonly loadRedis?: ((url: string) => Promise<ConnectRedis>) | undefined;
  /** Opens a database file, or makes it. */
  readonly openSqlite?: ((path: string) => Promise<SqliteDatabase>) | undefined;
  /** A Worker's binding to its Durable Objects. */
  readonly conversations?: DurableObjectNamespace | undefined;
  /** What Netlify has handed to the running call for its Blobs; undefined where there are none that can compare and set. */
  readonly blobsContext?: (() => string | undefined) | undefined;
}

export interface OpenStoreOptions {
  readonly settings: StoreSettings;
  readonly drivers: StoreDrivers;
  /** The stores to take when none is set: the first one that is configured and can be opened, else memory. */
  readonly preferred: readonly StoreName[];
  /** Whether the platform runs many short-lived instances, so that memory of one is no memory. */
  readonly hosted: boolean;
  readonly clock: Clock;
  readonly fetch: Fetch;
  readonly log: Logger;
}

/** Nothing says where the store is: no fault while nobody has asked for it. */
class NotConfigured extends Error {
  override readonly name = "NotConfigured";
}

/** Opens the store that SESSION_STORE names. Throws an Error that names the variables to set. */
export async function openStore(options: OpenStoreOptions): Promise<SessionStore> {
  const { settings, drivers, preferred, hosted, clock, fetch, log } = options;
  const { prefix } = settings;

  const open: Record<StoreName, () => SessionStore | Promise<SessionStore>> = {
    memory: () => memoryStore({ maxEntries: settings.maxEntries, maxBytes: settings.cacheBytes, clock }),

    async "deno-kv"() {
      const { openKv } = drivers;
      if (openKv === undefined) throw new NotConfigured("this platform has no Deno KV");
      const kv = await onceUnlocked(() => openKv(settings.denoKvPath), clock);
      return denoKvStore({ kv, prefix, clock, shared: settings.denoKvPath !== ":memory:" });
    },

    async sqlite() {
      const { sqlitePath: path } = settings;
      const { openSqlite } = drivers;
      if (path === undefined) throw new NotConfigured("set SQLITE_PATH to a file, or DATA_DIR to a folder");
      if (openSqlite === undefined) throw new NotConfigured("this platform has no SQLite");
      const open = async () => sqliteStore({ database: await openSqlite(path), clock });
      return onceUnlocked(open, clock);
    },

    "durable-object"() {
      const { conversations: namespace } = drivers;
      if (namespace === undefined)
        throw new NotConfigured("bind CONVERSATIONS as wrangler.jsonc does; only Workers can");
      return durableObjectStore({ namespace, prefix });
    },

    "netlify-blobs"() {
      const { blobsContext: context } = drivers;
      if (context?.() === undefined)
        throw new NotConfigured("only a function on Netlify has it, not its local server");
      return netlifyBlobsStore({ context, fetch, prefix, clock });
    },

    "redis-rest"() {
      const { redisRest } = settings;
      if (redisRest === undefined)
        throw new NotConfigured(
          "set UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN, or KV_REST_API_URL and KV_REST_API_TOKEN",
        );
      return redisRestStore({ ...redisRest, fetch, prefix });
    },

    async redis() {
      const { redisUrl } = settings;
      if (redisUrl === undefined) throw new NotConfigured("set REDIS_URL");
      const connect = await drivers.loadRedis?.(redisUrl);
      if (connect === undefined) throw new NotConfigured("this platform has no TCP client for Redis");
      return redisStore({ connect, prefix, clock });
    },
  };

  const openPreferred = async (): Promise<SessionStore> => {
    const missing: string[] = [];
    for (const name of preferred) {
      try {
        return await open[name]();
      } catch (error) {
        const reason = `${name}: ${(error as Error).message}`;
        if (error instanceof NotConfigured) missing.push(reason);
        else log.warn("store.not_opened", { reason });
      }
    }
    if (missing.length > 0) log.warn("store.not_opened", { reason: missing.join("; ") });
    return open.memory();
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
