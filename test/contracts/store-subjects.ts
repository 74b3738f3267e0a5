import { mkdtempSync } from "node:fs";
import { isBuiltin } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { storeDrivers } from "../../adapters/store-drivers.ts";
import { denoKvStore } from "../../core/stores/deno-kv.ts";
import { memoryStore } from "../../core/stores/memory.ts";
import { netlifyBlobsStore } from "../../core/stores/netlify-blobs.ts";
import { redisStore } from "../../core/stores/redis.ts";
import { redisRestStore } from "../../core/stores/redis-rest.ts";
import { sqliteStore } from "../../core/stores/sqlite.ts";
import type { StoreSubject } from "./store.ts";

export interface StoreServices {
  readonly redisUrl?: string | undefined;
  /** URLs of several servers, by the name of their kind. */
  readonly redisGroups?: Readonly<Record<string, string | undefined>>;
  readonly redisRest?: { readonly url: string; readonly token: string } | undefined;
  readonly blobsContext?: string | undefined;
  /** A remote Deno KV; its token is in DENO_KV_ACCESS_TOKEN. */
  readonly denoKvUrl?: string | undefined;
}

const denoKv = (name: string, path: string): StoreSubject => ({
  name: `deno-kv (${name})`,
  async open(clock) {
    const kv = await storeDrivers.openKv?.(path);
    if (kv === undefined) throw new Error("no driver for Deno KV");
    return denoKvStore({ kv, prefix: "test", clock });
  },
});

/** Node 20 has no SQLite. */
const hasSqlite = "Bun" in globalThis || isBuiltin("node:sqlite");

const sqlite = (name: string, path: string): StoreSubject => ({
  name: `sqlite (${name})`,
  async open(clock) {
    const database = await storeDrivers.openSqlite?.(path);
    if (database === undefined) throw new Error("no driver for SQLite");
    return sqliteStore({ database, clock });
  },
});

const temporaryFile = (name: string): string => join(mkdtempSync(join(tmpdir(), `${name}-`)), "store.sqlite");

/** Every store that can be opened here with what there is. */
export function storeSubjects({
  redisUrl,
  redisGroups,
  redisRest,
  denoKvUrl,
  blobsContext,
}: StoreServices): StoreSubject[] {
  const prefix = "test:";
  const subjects: StoreSubject[] = [
    { name: "memory", countsNothing: true, open: (clock) => memoryStore({ maxEntries: 1000, clock }) },
    ...(hasSqlite ? [sqlite("in memory", ":memory:"), sqlite("file", temporaryFile("sqlite"))] : []),
    denoKv("in memory", ":memory:"),
    denoKv("file", temporaryFile("deno-kv")),
  ];
  if (denoKvUrl) subjects.push(denoKv("remote", denoKvUrl));
  if (blobsContext) {
    // Every write sweeps, which must not be seen.
    const options = { context: () => blobsContext, prefix, random: () => 0.019 };
    subjects.push({
      name: "netlify-blobs",
      countsNothing: true,
      open: (clock) => netlifyBlobsStore({ ...options, clock }),
    });
  }
  for (const [kind, url] of Object.entries({ redis: redisUrl, ...redisGroups })) {
    if (url === undefined) continue;
    subjects.push({
      name: kind,
      keepsTime: true,
      async open(clock) {
        const connect = await storeDrivers.loadRedis?.(url);
        if (connect === undefined) throw new Error("no driver for Redis");
        return redisStore({ connect, prefix, clock });
      },
    });
  }
  if (redisRest) {
    subjects.push({
      name: "redis-rest",
      keepsTime: true,
      open: () => redisRestStore({ ...redisRest, fetch: (url, init) => fetch(url, init), prefix }),
    });
  }
  return subjects;
}
