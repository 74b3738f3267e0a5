import { describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { storeDrivers } from "../../adapters/store-drivers.ts";
import { type DenoKv, denoKvStore } from "../../core/stores/deno-kv.ts";
import { systemClock } from "../../core/util/time.ts";
import { fakeClock } from "../fakes/fake-clock.ts";

const openMemory = async () => {
  const kv = await storeDrivers.openKv?.(":memory:");
  if (kv === undefined) throw new Error("no driver");
  const clock = fakeClock(Date.now());
  const keys = async () => {
    const found: unknown[] = [];
    for await (const { key } of kv.list({ prefix: ["p"] })) found.push(key);
    return found;
  };
  return { kv, clock, keys, store: denoKvStore({ kv, prefix: "p", clock }) };
};

const ttlMs = 60_000;
const long = "x".repeat(200_000);

test("splits a long value over keys and leaves none behind when it shrinks", async () => {
  const { store, keys } = await openMemory();
  const version = await store.set("k", long, { ttlMs, ifVersion: null });
  expect(await keys()).toHaveLength(4);
  await store.set("k", "short", { ttlMs, ifVersion: version ?? null });
  expect(await keys()).toEqual([["p", "k", 0]]);
  await store.set("k", long, { ttlMs });
  await store.set("k", "short", { ttlMs });
  expect(await keys()).toEqual([["p", "k", 0]]);
});

test("leaves no key behind when a value is deleted", async () => {
  const { store, keys } = await openMemory();
  await store.set("k", long, { ttlMs });
  await store.delete("k");
  expect(await keys()).toEqual([]);
});

test("leaves no key behind when a short value takes the place of a long one that has expired", async () => {
  const { store, keys, clock } = await openMemory();
  await store.set("k", long, { ttlMs });
  await clock.advance(ttlMs);
  expect(await store.get("k")).toBeUndefined();
  expect(await store.set("k", "short", { ttlMs, ifVersion: null })).toBeString();
  expect(await keys()).toEqual([["p", "k", 0]]);
});

test("hands out what somebody else has written under its key, and lets it be replaced", async () => {
  const { store, kv } = await openMemory();
  await kv.atomic().set(["p", "k", 0], { foreign: true }, { expireIn: ttlMs }).commit();
  const found = await store.get("k");
  expect(found).toBeDefined();
  expect(await store.set("k", "ours", { ttlMs, ifVersion: found?.version ?? null })).toBeString();
  expect((await store.get("k"))?.value).toBe("ours");
});

test("gives up on a database that doesn't answer within two seconds", async () => {
  const clock = fakeClock();
  const never = new Promise<never>(() => {});
  const hanging: DenoKv = {
    list: () => ({ [Symbol.asyncIterator]: () => ({ next: () => never }) }),
    atomic: () => {
      throw new Error("not reached");
    },
    close() {},
  };
  const store = denoKvStore({ kv: hanging, prefix: "p", clock });
  const reading = Promise.resolve(store.get("k"));
  const outcome = reading.then(
    () => "an answer",
    (error: Error) => error.message,
  );
  await clock.advance(2000);
  expect(await outcome).toBe("No reply within 2000 ms");
  expect(clock.pending).toBe(0);
});

test("reads once another process has left the file", async () => {
  const { store, kv } = await openMemory();
  let refusals = 2;
  const locked: DenoKv = {
    async *list(selector) {
      if (refusals-- > 0) throw new TypeError("database is locked");
      yield* kv.list(selector);
    },
    atomic: () => kv.atomic(),
    close: () => kv.close(),
  };
  await store.set("k", "kept", { ttlMs });
  const others = denoKvStore({ kv: locked, prefix: "p", clock: systemClock });
  expect((await others.get("k"))?.value).toBe("kept");
});

test("waits for others that write to the same file", async () => {
  const folder = await mkdtemp(join(tmpdir(), "deno-kv-"));
  const databases: DenoKv[] = [];
  for (let opened = 0; opened < 2; opened++) {
    const kv = await storeDrivers.openKv?.(join(folder, "kv.sqlite"));
    if (kv) databases.push(kv);
  }
  // How long that takes is the disk's affair.
  const stores = databases.map((kv) =>
    denoKvStore({ kv, prefix: "p", clock: systemClock, timeoutMs: 60_000 }),
  );
  const writing = stores.flatMap((store, index) =>
    Array.from({ length: 50 }, (_, key) => store.set(`${index}-${key}`, "x", { ttlMs, ifVersion: null })),
  );
  for (const version of await Promise.all(writing)) expect(version).toBeString();
  for (const store of stores) await store.close?.();
  await rm(folder, { recursive: true });
});

describe("a value that is broken", () => {
  const broken: Record<string, (kv: DenoKv) => Promise<unknown>> = {
    "lacks its first chunk": (kv) => kv.atomic().delete(["p", "k", 0]).commit(),
    "lacks a chunk in the middle": (kv) => kv.atomic().delete(["p", "k", 1]).commit(),
    "lacks its last chunk": (kv) => kv.atomic().delete(["p", "k", 3]).commit(),
    "has a chunk too many": (kv) =>
      kv.atomic().set(["p", "k", 4], new Uint8Array(5), { expireIn: ttlMs }).commit(),
    "has a chunk of another write": (kv) =>
      kv
        .atomic()
        .set(["p", "k", 2], new Uint8Array(60 * 1024), { expireIn: ttlMs })
        .commit(),
    "has a chunk that is no bytes": (kv) =>
      kv.atomic().set(["p", "k", 1], "text", { expireIn: ttlMs }).commit(),
    "has a foreign key beside it": (kv) =>
      kv.atomic().set(["p", "k", "x"], "text", { expireIn: ttlMs }).commit(),
    "has a foreign key below it": (kv) =>
      kv.atomic().set(["p", "k", 7, "x"], "text", { expireIn: ttlMs }).commit(),
  };

  test.each(Object.entries(broken))(
    "as it %s, is replaced by the next write, and can be deleted",
    async (_, harm) => {
      for (const way of ["by version", "unconditionally", "deleted"] as const) {
        const { store, kv, keys } = await openMemory();
        await store.set("k", long, { ttlMs });
        await harm(kv);
        const found = await store.get("k");
        expect(found?.value).toBe("");
        if (way === "deleted") await store.delete("k");
        else {
          const ifVersion = way === "by version" ? { ifVersion: found?.version ?? null } : {};
          expect(await store.set("k", "ours", { ttlMs, ...ifVersion })).toBeString();
          expect((await store.get("k"))?.value).toBe("ours");
        }
        expect(await keys()).toEqual(way === "deleted" ? [] : [["p", "k", 0]]);
      }
    },
  );
});
