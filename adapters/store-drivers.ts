import type { DenoKv } from "../core/stores/deno-kv.ts";
import type { StoreDrivers } from "../core/stores/open-store.ts";
import type { SqliteDatabase } from "../core/stores/sqlite.ts";
import { loadRedis, optional } from "./load-redis.ts";

const { Bun, Deno } = globalThis as typeof globalThis & {
  Deno?: { openKv?: (path?: string) => Promise<DenoKv> };
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

/** Bun's own, else the `node:sqlite` of Deno and of Node from 22.13 on. */
const openSqlite = async (path: string): Promise<SqliteDatabase> => {
  if (path !== ":memory:") {
    const [{ mkdir }, { dirname }] = await Promise.all([import("node:fs/promises"), import("node:path")]);
    await mkdir(dirname(path), { recursive: true });
  }
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
