/** What a remembered turn costs in each store that is no Redis; those are counted by Redis itself, in bench/. */
import { Database } from "bun:sqlite";
import { afterAll, expect, test } from "bun:test";
import { storeDrivers } from "../../adapters/store-drivers.ts";
import { denoKvStore } from "../../core/stores/deno-kv.ts";
import { durableObjectStore } from "../../core/stores/durable-object.ts";
import { netlifyBlobsStore } from "../../core/stores/netlify-blobs.ts";
import { type SqliteDatabase, sqliteStore } from "../../core/stores/sqlite.ts";
import type { SessionStore } from "../../core/types.ts";
import { systemClock } from "../../core/util/time.ts";
import { blobsServer } from "../fakes/blobs-server.ts";
import { memoryObject } from "../fakes/memory-object.ts";
import { rememberedChat, user } from "../support/remembered-chat.ts";

/** A store, and what its turns have cost so far. */
interface Counted {
  readonly store: SessionStore;
  readonly operations: string[];
}

const blobs = blobsServer();
afterAll(() => blobs.stop());

const stores: Readonly<Record<string, () => Counted | Promise<Counted>>> = {
  sqlite() {
    const operations: string[] = [];
    const inner = new Database(":memory:");
    const database: SqliteDatabase = {
      exec: (sql) => inner.exec(sql),
      close: () => inner.close(),
      prepare(sql) {
        const statement = inner.prepare(sql);
        return {
          get(...values) {
            operations.push("read");
            return statement.get(...values);
          },
          run(...values) {
            operations.push("write");
            return statement.run(...values);
          },
        };
      },
    };
    return { store: sqliteStore({ database }), operations };
  },

  async "deno-kv"() {
    const operations: string[] = [];
    const inner = await storeDrivers.openKv?.(":memory:");
    if (inner === undefined) throw new Error("no driver");
    const kv = {
      list(selector: Parameters<typeof inner.list>[0]) {
        operations.push("read");
        return inner.list(selector);
      },
      atomic() {
        operations.push("write");
        return inner.atomic();
      },
      close: () => inner.close(),
    };
    return { store: denoKvStore({ kv }), operations };
  },

  "durable-object"() {
    const operations: string[] = [];
    const object = memoryObject();
    const fetch = (url: string, init: RequestInit) => {
      operations.push(init.method === "GET" ? "read" : "write");
      return object.fetch(new Request(url, init));
    };
    return {
      store: durableObjectStore({ namespace: { idFromName: (name) => name, get: () => ({ fetch }) } }),
      operations,
    };
  },

  "netlify-blobs"() {
    const operations: string[] = [];
    const store = netlifyBlobsStore({
      context: () => blobs.context,
      fetch(url, init) {
        operations.push(init.method === "GET" ? "read" : "write");
        return fetch(url, init);
      },
      // No write sweeps.
      random: () => 0.5,
    });
    return { store, operations };
  },
};

test.each(Object.entries(stores))("a turn in %s is one read and one write", async (_, open) => {
  const { store, operations } = await open();
  const { say } = rememberedChat({ store, clock: systemClock });
  for (const text of ["one", "two", "three"]) {
    operations.length = 0;
    expect(await say([user(text)], { session: "s" })).toMatchObject({ isSaved: true });
    expect(operations).toEqual(["read", "write"]);
  }
  await store.close?.();
});
