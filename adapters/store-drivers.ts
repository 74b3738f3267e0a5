import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import type { DenoKv } from "../core/stores/deno-kv.ts";
import type { ConnectRedis, StoreDrivers } from "../core/stores/open-store.ts";
import type { SqliteDatabase } from "../core/stores/sqlite.ts";

const { Bun, Deno } = globalThis as typeof globalThis & {
  Deno?: { openKv?: (path?: string) => Promise<DenoKv> };
};

/** An optional package, or an error that says how to get it. */
const optional = async <Package>(name: string, loading: Promise<Package>): Promise<Package> => {
  try {
    return await loading;
  } catch (cause) {
    throw new Error(`needs the package ${name} (npm install ${name})`, { cause });
  }
};

const openKv = async (path?: string): Promise<DenoKv> => {
  if (Deno?.openKv) return Deno.openKv(path);
  if (path === undefined) throw new Error("set DENO_KV_PATH to a file or to a remote database's URL");
  const [{ openKv }, { serialize, deserialize }] = await Promise.all([
    optional("@deno/kv", import("@deno/kv")),
    import("node:v8"),
  ]);
  // Bun has no V8 whose serializer the package could find by itself.
  return openKv(path, { encodeV8: serialize, decodeV8: deserialize });
};

const loadRedis = async (): Promise<ConnectRedis> => {
  if (Bun !== undefined) {
    return async (url) => {
      const client = new Bun.RedisClient(url, { autoReconnect: false, connectionTimeout: 2_000 });
      await client.connect();
      return client;
    };
  }
  const { createClient } = await optional("redis", import("redis"));
  return async (url) => {
    const client = createClient({ url, socket: { reconnectStrategy: false, connectTimeout: 2_000 } });
    // Without a listener an error would end the process; the call that waits for a reply fails with it anyway.
    client.on("error", () => {});
    await client.connect();
    return {
      send: (command, args) => client.sendCommand([command, ...args]),
      close: () => client.destroy(),
    };
  };
};

/** Bun's own, else the `node:sqlite` of Deno and of Node from 22.13 on. */
const openSqlite = async (path: string): Promise<SqliteDatabase> => {
  if (path !== ":memory:") mkdirSync(dirname(path), { recursive: true });
  if (Bun !== undefined) {
    const { Database } = await import("bun:sqlite");
    return new Database(path);
  }
  const { DatabaseSync } = await import("node:sqlite").catch((cause: unknown) => {
    throw new Error("needs Node 22.13 or newer, Bun or Deno", { cause });
  });
  return new DatabaseSync(path);
};

/** The platform's own clients, or the optional packages `@deno/kv` and `redis`, loaded when they are chosen. */
export const storeDrivers: StoreDrivers = { openKv, loadRedis, openSqlite };
