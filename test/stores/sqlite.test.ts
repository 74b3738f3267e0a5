import { Database } from "bun:sqlite";
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { configureHandler } from "../../adapters/self-configuring.ts";
import { storeDrivers } from "../../adapters/store-drivers.ts";
import { sqliteStore } from "../../core/stores/sqlite.ts";
import { fakeClock } from "../fakes/fake-clock.ts";

const folder = mkdtempSync(join(tmpdir(), "sqlite-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const minuteMs = 60_000;
let files = 0;
const newFile = () => join(folder, `${++files}.sqlite`);
const open = (path: string, clock = fakeClock()) =>
  sqliteStore({ database: new Database(path, { create: true }), clock });
const configured = (environment: Record<string, string>) =>
  configureHandler({
    environment: { LOG_LEVEL: "silent", ...environment },
    preferredStore: "memory",
    drivers: storeDrivers,
  });

describe("an SQLite file", () => {
  test("has what was written before a restart", async () => {
    const path = newFile();
    const before = open(path);
    const version = await before.set("key", "value", { ttlMs: minuteMs });
    await before.close?.();
    expect(await open(path).get("key")).toEqual({ value: "value", version: version as string });
  });

  test("is written by several processes at once, each conditional write by one of them", async () => {
    const path = newFile();
    const stores = [open(path), open(path), open(path)];
    const winners = await Promise.all(
      stores.map((store) => store.set("key", "mine", { ttlMs: minuteMs, ifVersion: null })),
    );
    expect(winners.filter((version) => version !== undefined)).toHaveLength(1);
  });

  test("forgets values past their time for good, some at a time", async () => {
    const path = newFile();
    const clock = fakeClock();
    const store = open(path, clock);
    for (let index = 0; index < 600; index++) await store.set(`old ${index}`, "x", { ttlMs: 1000 });
    const count = () =>
      (new Database(path).query("SELECT count(*) AS n FROM sessions").get() as { n: number }).n;
    await clock.advance(2 * minuteMs);
    await store.set("new", "x", { ttlMs: minuteMs });
    expect(count()).toBe(101);
    await clock.advance(minuteMs - 1000);
    await store.set("newer", "x", { ttlMs: minuteMs });
    await clock.advance(1000);
    await store.set("newest", "x", { ttlMs: minuteMs });
    expect(count()).toBeLessThanOrEqual(3);
  });

  test("that another process has locked is waited for, and in the end an error", async () => {
    const path = newFile();
    const clock = fakeClock();
    const store = open(path, clock);
    const other = new Database(path);
    other.exec("BEGIN IMMEDIATE");
    let outcome = "waits";
    const writing = Promise.resolve(store.set("key", "value", { ttlMs: minuteMs })).then(
      () => {
        outcome = "written";
      },
      (error: Error) => {
        outcome = error.message;
      },
    );
    await clock.advance(50);
    expect(outcome).toBe("waits");
    other.exec("COMMIT");
    await clock.advance(1000);
    await writing;
    expect(outcome).toBe("written");

    other.exec("BEGIN IMMEDIATE");
    const refused = Promise.resolve(store.set("key", "value", { ttlMs: minuteMs })).catch(
      (error: Error) => error.message,
    );
    await clock.advance(30_000);
    expect(await refused).toContain("locked");
    other.exec("COMMIT");
  }, 20_000);
});

describe("SQLite as a setting", () => {
  test("is the store wherever a file or a folder is named", async () => {
    const path = newFile();
    const { handler: byPath } = await configured({ SQLITE_PATH: path });
    expect(byPath.store.name).toBe("sqlite");
    const { handler: byFolder } = await configured({ DATA_DIR: join(folder, "made/for/it") });
    expect(byFolder.store.name).toBe("sqlite");
    expect(existsSync(join(folder, "made/for/it/kimi-ai-2api.sqlite"))).toBe(true);
    const { handler: other } = await configured({ SQLITE_PATH: path, SESSION_STORE: "memory" });
    expect(other.store.name).toBe("memory");
    await Promise.all([byPath, byFolder, other].map((handler) => handler.close()));
  });

  test("stops the start where the file is none", async () => {
    const path = newFile();
    writeFileSync(path, "This is a text, and no database. ".repeat(100));
    const failure = await configured({ SQLITE_PATH: path }).catch((error: Error) => error.message);
    expect(failure).toContain("SESSION_STORE=sqlite: file is not a database");
  });
});
