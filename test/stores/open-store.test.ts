import { expect, test } from "bun:test";
import { configureHandler } from "../../adapters/self-configuring.ts";
import { storeDrivers } from "../../adapters/store-drivers.ts";
import type { DenoKv } from "../../core/stores/deno-kv.ts";
import { type OpenStoreOptions, openStore } from "../../core/stores/open-store.ts";
import type { LogFields } from "../../core/types.ts";
import { fakeClock } from "../fakes/fake-clock.ts";

const base = { maxEntries: 10, cacheBytes: 1_000_000, prefix: "p:" };

const setUp = (options: Partial<OpenStoreOptions>) => {
  const warnings: [string, LogFields | undefined][] = [];
  const warn = (event: string, fields?: LogFields) => void warnings.push([event, fields]);
  const log = { debug() {}, info() {}, warn, error() {} };
  const settings = { ...base, ...options.settings };
  const opening = openStore({
    drivers: {},
    preferred: "memory",
    hosted: false,
    clock: fakeClock(),
    fetch: () => Promise.reject(new Error("no network")),
    log,
    ...options,
    settings,
  });
  return { opening, warnings };
};

const redisRest = { url: "https://redis.test", token: "t" };

test("opens memory where nothing is set", async () => {
  const { opening, warnings } = setUp({});
  const { name, shared } = await opening;
  expect({ name, shared, warnings }).toEqual({ name: "memory", shared: false, warnings: [] });
});

test("opens the store that SESSION_STORE names", async () => {
  const { opening } = setUp({ settings: { ...base, store: "redis-rest", redisRest } });
  expect(await opening).toMatchObject({ name: "redis-rest", shared: true });
});

test("takes the platform's preferred store once it is configured", async () => {
  const { opening, warnings } = setUp({
    preferred: "redis-rest",
    hosted: true,
    settings: { ...base, redisRest },
  });
  expect((await opening).name).toBe("redis-rest");
  expect(warnings).toEqual([]);
});

test("takes memory on a hosted platform without a remote store, and says so", async () => {
  const { opening, warnings } = setUp({ preferred: "redis-rest", hosted: true });
  expect((await opening).name).toBe("memory");
  expect(warnings.map(([event]) => event)).toEqual(["store.not_opened", "store.not_shared"]);
});

test("takes memory on Deno without KV, with a warning", async () => {
  const { opening, warnings } = setUp({ preferred: "deno-kv" });
  expect((await opening).name).toBe("memory");
  expect(warnings).toEqual([["store.not_opened", { reason: "deno-kv: this platform has no Deno KV" }]]);
});

test.each([
  ["as SESSION_STORE says", "deno-kv"],
  ["as the platform prefers", undefined],
] as const)("waits for another process that is creating the same Deno KV file (%s)", async (_, store) => {
  const clock = fakeClock();
  let tries = 0;
  const kv: DenoKv = {
    async *list() {},
    atomic: () => {
      throw new Error("not reached");
    },
    close() {},
  };
  const openKv = async () => {
    if (++tries < 3) throw new TypeError("database is locked");
    return kv;
  };
  const { opening, warnings } = setUp({
    drivers: { openKv },
    preferred: "deno-kv",
    clock,
    settings: { ...base, store },
  });
  await clock.advance(1000);
  expect((await opening).name).toBe("deno-kv");
  expect(warnings).toEqual([]);
  expect(tries).toBe(3);
});

test("says so when a Deno KV file stays locked", async () => {
  const clock = fakeClock();
  const openKv = () => Promise.reject(new TypeError("database is locked"));
  const { opening } = setUp({ drivers: { openKv }, clock, settings: { ...base, store: "deno-kv" } });
  const outcome = opening.catch((error: Error) => error.message);
  await clock.advance(10_000);
  expect(await outcome).toBe("SESSION_STORE=deno-kv: database is locked");
});

test.each([
  ["redis", "REDIS_URL"],
  ["redis-rest", "UPSTASH_REDIS_REST_URL"],
  ["redis-rest", "KV_REST_API_TOKEN"],
  ["deno-kv", "DENO_KV_PATH"],
  ["sqlite", "SQLITE_PATH"],
] as const)("stops the start when %s is chosen and not configured, naming %s", async (store, variable) => {
  const { opening } = setUp({ drivers: storeDrivers, settings: { ...base, store } });
  expect(await opening.catch((error: Error) => error.message)).toContain(variable);
});

test("is reached by the platform's fetch, which knows its proxies", async () => {
  const asked: string[] = [];
  const { handler } = await configureHandler({
    environment: {
      LOG_LEVEL: "silent",
      UPSTASH_REDIS_REST_URL: "https://redis.test",
      UPSTASH_REDIS_REST_TOKEN: "t",
    },
    preferredStore: "redis-rest",
    async fetch(url) {
      asked.push(url);
      return Response.json({ result: null });
    },
  });
  expect(await handler.store.get("key")).toBeUndefined();
  expect(asked.map((url) => new URL(url).host)).toEqual(["redis.test"]);
});

test("says that a database in memory is not shared", async () => {
  const { opening } = setUp({
    drivers: storeDrivers,
    settings: { ...base, store: "deno-kv", denoKvPath: ":memory:" },
  });
  expect(await opening).toMatchObject({ name: "deno-kv", shared: false });
});
