import type { Clock, SessionStore, StoredValue } from "../types.ts";
import { systemClock, withTimeout } from "../util/time.ts";
import { onceUnlocked } from "./once-unlocked.ts";
import { defaultPrefix } from "./settings.ts";
import { spendByVersion } from "./spend-by-version.ts";
import { storeTimeoutMs } from "./store-timeout.ts";

type Key = readonly (string | number)[];

interface Entry {
  readonly key: readonly unknown[];
  readonly value: unknown;
  readonly versionstamp: string;
}

interface AtomicOperation {
  check(check: { key: Key; versionstamp: string | null }): AtomicOperation;
  set(key: Key, value: unknown, options: { expireIn: number }): AtomicOperation;
  delete(key: Key): AtomicOperation;
  commit(): Promise<{ ok: true; versionstamp: string } | { ok: false }>;
}

/** The part of a Deno KV database that is used: https://docs.deno.com/api/deno/~/Deno.Kv */
export interface DenoKv {
  list(selector: { prefix: Key }): AsyncIterable<Entry>;
  atomic(): AtomicOperation;
  close(): void;
}

export interface DenoKvStoreOptions {
  readonly kv: DenoKv;
  /** The first part of every key; default "kimi-ai-2api:". */
  readonly prefix?: string;
  readonly clock?: Clock;
  /** Whether the database outlives this process or is somewhere else; true unless said otherwise. */
  readonly shared?: boolean;
  /** How long an operation may take, in milliseconds; default 2,000. */
  readonly timeoutMs?: number;
}

/** Deno KV takes 64 KiB a value, so a longer one is split over the keys [prefix, key, 0], [prefix, key, 1], … */
const chunkBytes = 60 * 1024;

/** Of writers that meet, each round lets at least one through. */
const maxRounds = 100;

/** A conditional write reads nothing first: the version holds all that it must know of what it replaces. */
interface Version {
  readonly versionstamp: string;
  readonly chunks: number;
  /** NaN for a value that this store has not written. */
  readonly expiresAtMs: number;
}

const encodeVersion = ({ versionstamp, chunks, expiresAtMs }: Version): string =>
  `${versionstamp}/${chunks}/${expiresAtMs}`;

const decodeVersion = (version: string): Version => {
  const [versionstamp = "", chunks, expiresAtMs] = version.split("/");
  return { versionstamp, chunks: Number(chunks), expiresAtMs: Number(expiresAtMs) };
};

/** Of what no write of this store has left. It is handed out as an empty value, and the next write takes its place. */
const brokenVersion = "broken";

/** What a write takes away: the version of its first chunk, on which it insists, and every key. */
interface Replaced {
  /** Null where there is no first chunk. */
  readonly versionstamp: string | null;
  readonly keys: readonly Key[];
}

const isFirst = ({ key }: Entry): boolean => key.length === 3 && key[2] === 0;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/**
 * A store in a Deno KV database, which `Deno.openKv` opens, or `openKv` of the package `@deno/kv`. An operation that fails,
 * or takes longer than `timeoutMs`, rejects: chats then fail with 503 `session_store_unavailable`.
 *
 * All chunks of a value are written, replaced and deleted in one atomic operation, and one range read sees them as of one
 * moment. The time of its end and the number of its chunks stand before each value, as
 * Deno KV deletes late, and others may delete a chunk.
 *
 * @example
 * ```ts
 * import { serialize, deserialize } from "node:v8";
 * import { openKv } from "@deno/kv";
 * import { createHandler, denoKvStore } from "kimi-ai-2api";
 *
 * const kv = await openKv("conversations.sqlite", { encodeV8: serialize, decodeV8: deserialize });
 * const handler = createHandler({ store: denoKvStore({ kv }) });
 * ```
 */
export function denoKvStore({
  kv,
  prefix = defaultPrefix,
  clock = systemClock,
  shared = true,
  timeoutMs = storeTimeoutMs,
}: DenoKvStoreOptions): SessionStore {
  const chunksOf = (key: string): Promise<Entry[]> =>
    onceUnlocked(async () => {
      const chunks: Entry[] = [];
      for await (const chunk of kv.list({ prefix: [prefix, key] })) chunks.push(chunk);
      return chunks;
    }, clock);

  /** Whether they are what one write of this store has left: all of its chunks, and nothing else under the key. */
  const isWhole = (chunks: readonly Entry[]): boolean =>
    chunks.every(
      ({ key, value, versionstamp }, index) =>
        key.length === 3 &&
        key[2] === index &&
        value instanceof Uint8Array &&
        versionstamp === chunks[0]?.versionstamp &&
        (index === chunks.length - 1 || value.length === chunkBytes),
    );

  const join = (chunks: readonly Entry[]): StoredValue | undefined => {
    const [first] = chunks;
    if (first === undefined) return undefined;
    if (!isWhole(chunks)) return { value: "", version: brokenVersion };
    let text = "";
    for (const { value } of chunks) {
      if (value instanceof Uint8Array) text += decoder.decode(value, { stream: true });
    }
    text += decoder.decode();
    const headEnd = text.indexOf("\n");
    const [expires, count = chunks.length] = headEnd > 0 ? text.slice(0, headEnd).split(" ") : [];
    const expiresAtMs = Number(expires);
    if (Number(count) !== chunks.length) return { value: "", version: brokenVersion };
    if (expiresAtMs <= clock.now()) return undefined;
    const version = encodeVersion({ versionstamp: first.versionstamp, chunks: chunks.length, expiresAtMs });
    return { value: text.slice(headEnd + 1), version };
  };

  const write = async (
    key: string,
    value: string,
    ttlMs: number,
    replaced: Replaced,
  ): Promise<string | undefined> => {
    const expiresAtMs = clock.now() + Math.ceil(ttlMs);
    const body = encoder.encode(value);
    const head = (chunks: number) => encoder.encode(`${expiresAtMs} ${chunks}\n`);
    // The count's own digits may need one chunk more.
    const least = Math.ceil((head(1).length + body.length) / chunkBytes);
    const chunks = Math.ceil((head(least).length + body.length) / chunkBytes);
    const bytes = new Uint8Array(head(chunks).length + body.length);
    bytes.set(head(chunks));
    bytes.set(body, head(chunks).length);
    const operation = kv.atomic().check({ key: [prefix, key, 0], versionstamp: replaced.versionstamp });
    for (let index = 0; index < chunks; index++) {
      const chunk = bytes.subarray(index * chunkBytes, (index + 1) * chunkBytes);
      operation.set([prefix, key, index], chunk, { expireIn: Math.ceil(ttlMs) });
    }
    for (const last of replaced.keys) {
      const isOverwritten = last.length === 3 && Number.isInteger(last[2]) && (last[2] as number) < chunks;
      if (!isOverwritten || (last[2] as number) < 0) operation.delete(last);
    }
    const result = await commit(operation);
    return result.ok ? encodeVersion({ versionstamp: result.versionstamp, chunks, expiresAtMs }) : undefined;
  };

  const commit = (operation: AtomicOperation) => onceUnlocked(() => operation.commit(), clock);

  /** Tries until there was no other write between the read and its own. */
  const retried = async <T>(round: (chunks: Entry[]) => Promise<T | undefined>, key: string): Promise<T> => {
    for (let rounds = 0; rounds < maxRounds; rounds++) {
      const result = await round(await chunksOf(key));
      if (result !== undefined) return result;
    }
    throw new Error("Too many writers of one key");
  };

  const asReplaced = (chunks: readonly Entry[]): Replaced => ({
    versionstamp: chunks.find(isFirst)?.versionstamp ?? null,
    keys: chunks.map(({ key }) => key as Key),
  });

  const set = async (
    key: string,
    value: string,
    { ttlMs, ifVersion }: Parameters<SessionStore["set"]>[2],
  ): Promise<string | undefined> => {
    if (ifVersion === undefined)
      return retried((chunks) => write(key, value, ttlMs, asReplaced(chunks)), key);
    if (ifVersion === brokenVersion) {
      const chunks = await chunksOf(key);
      return join(chunks)?.version === brokenVersion
        ? write(key, value, ttlMs, asReplaced(chunks))
        : undefined;
    }
    if (ifVersion !== null) {
      const replaced = decodeVersion(ifVersion);
      return replaced.expiresAtMs <= clock.now()
        ? undefined
        : write(key, value, ttlMs, {
            versionstamp: replaced.versionstamp,
            keys: Array.from({ length: replaced.chunks }, (_, index) => [prefix, key, index]),
          });
    }
    const version = await write(key, value, ttlMs, { versionstamp: null, keys: [] });
    if (version !== undefined) return version;
    // What is in the way may have expired without being deleted yet.
    const chunks = await chunksOf(key);
    return join(chunks) === undefined ? write(key, value, ttlMs, asReplaced(chunks)) : undefined;
  };

  const remove = (key: string): Promise<boolean> =>
    retried(async (chunks) => {
      if (chunks.length === 0) return true;
      const operation = kv
        .atomic()
        .check({ key: [prefix, key, 0], versionstamp: asReplaced(chunks).versionstamp });
      for (const chunk of chunks) operation.delete(chunk.key as Key);
      return (await commit(operation)).ok || undefined;
    }, key);

  const bounded = <T>(task: Promise<T>) => withTimeout(task, timeoutMs, { clock });
  const store: SessionStore = {
    name: "deno-kv",
    shared,
    get: (key) => bounded(chunksOf(key).then(join)),
    set: (key, value, options) => bounded(set(key, value, options)),
    async delete(key) {
      await bounded(remove(key));
    },
    spend: (key, spending) => bounded(spendByVersion(store, clock, key, spending)),
    close: () => kv.close(),
  };
  return store;
}
