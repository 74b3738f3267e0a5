import type { Clock, SessionStore, StoredValue } from "../types.ts";
import { systemClock } from "../util/time.ts";
import { onceUnlocked } from "./once-unlocked.ts";
import { spendByVersion } from "./spend-by-version.ts";

/** The part of an SQLite client that is used; those of Bun, Deno and Node have it. */
export interface SqliteDatabase {
  exec(sql: string): unknown;
  prepare(sql: string): SqliteStatement;
  close(): void;
}

type SqliteValue = string | number | Uint8Array;

export interface SqliteStatement {
  /** The first row; null or undefined where there is none. */
  get(...values: SqliteValue[]): unknown;
  run(...values: SqliteValue[]): { readonly changes: number | bigint };
}

export interface SqliteStoreOptions {
  /** An open database; the store makes its own table in it. */
  readonly database: SqliteDatabase;
  readonly clock?: Clock;
}

// Bytes, since Deno's client ends a text at its first NUL.
const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array): string => new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);

/** Other processes write at the same time, and what is committed outlives a crash of this one. */
const pragmas = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA busy_timeout = 5;";

const table = `
  CREATE TABLE IF NOT EXISTS sessions (
    key BLOB PRIMARY KEY, value BLOB NOT NULL, version TEXT NOT NULL, expires_at REAL NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS sessions_expires_at ON sessions (expires_at);`;

/** How often values past their time are deleted, and how many at once: a write must not wait for thousands. */
const sweepEveryMs = 60_000;
const maxSwept = 500;

/**
 * A store in an SQLite file of this machine, so that a restart forgets nothing. Several processes may share the file. A
 * file that stays locked rejects: chats then fail with 503 `session_store_unavailable`.
 *
 * @example
 * ```ts
 * import { Database } from "bun:sqlite";
 * import { createHandler, sqliteStore } from "kimi-ai-2api";
 *
 * const handler = createHandler({ store: sqliteStore({ database: new Database("sessions.sqlite") }) });
 * ```
 */
export function sqliteStore({ database, clock = systemClock }: SqliteStoreOptions): SessionStore {
  database.exec(pragmas);
  database.exec(table);
  const select = database.prepare("SELECT value, version FROM sessions WHERE key = ? AND expires_at > ?");
  const upsert = database.prepare(`
    INSERT INTO sessions (key, value, version, expires_at) VALUES (?, ?, ?, ?)
    ON CONFLICT (key) DO UPDATE SET
      value = excluded.value, version = excluded.version, expires_at = excluded.expires_at`);
  const insertAbsent = database.prepare(`
    INSERT INTO sessions (key, value, version, expires_at) VALUES (?, ?, ?, ?)
    ON CONFLICT (key) DO UPDATE SET
      value = excluded.value, version = excluded.version, expires_at = excluded.expires_at
      WHERE sessions.expires_at <= ?`);
  const updateSame = database.prepare(`
    UPDATE sessions SET value = ?, version = ?, expires_at = ?
    WHERE key = ? AND version = ? AND expires_at > ?`);
  const remove = database.prepare("DELETE FROM sessions WHERE key = ?");
  const sweep = database.prepare(`
    DELETE FROM sessions WHERE key IN (SELECT key FROM sessions WHERE expires_at <= ? LIMIT ${maxSwept})`);
  let sweepAtMs = clock.monotonic() + sweepEveryMs;

  const sweepNowAndThen = (nowMs: number) => {
    if (clock.monotonic() < sweepAtMs) return;
    sweepAtMs = clock.monotonic() + sweepEveryMs;
    sweep.run(nowMs);
  };

  const read = (key: Uint8Array): StoredValue | undefined => {
    const row = select.get(key, clock.now()) as { value: Uint8Array; version: string } | null | undefined;
    return row ? { value: decode(row.value), version: row.version } : undefined;
  };

  const write = (
    key: Uint8Array,
    value: Uint8Array,
    { ttlMs, ifVersion }: { readonly ttlMs: number; readonly ifVersion?: string | null },
  ): string | undefined => {
    const nowMs = clock.now();
    const version = crypto.randomUUID();
    const expiresAtMs = nowMs + ttlMs;
    const { changes } =
      ifVersion === undefined
        ? upsert.run(key, value, version, expiresAtMs)
        : ifVersion === null
          ? insertAbsent.run(key, value, version, expiresAtMs, nowMs)
          : updateSame.run(value, version, expiresAtMs, key, ifVersion, nowMs);
    sweepNowAndThen(nowMs);
    return Number(changes) > 0 ? version : undefined;
  };

  const store: SessionStore = {
    name: "sqlite",
    shared: true,
    get: (key) => onceUnlocked(async () => read(encode(key)), clock),
    set: (key, value, options) => onceUnlocked(async () => write(encode(key), encode(value), options), clock),
    async delete(key) {
      await onceUnlocked(async () => void remove.run(encode(key)), clock);
    },
    spend: (key, spending) => spendByVersion(store, clock, key, spending),
    close: () => database.close(),
  };
  return store;
}
