/** The settings of where conversations are kept. */
import * as v from "valibot";
import { custom, httpUrl, integer, oneOf, text, type Values } from "../config/values.ts";
import { parseRedisUrl } from "../util/redis-url.ts";

const storeNames = [
  "memory",
  "sqlite",
  "deno-kv",
  "durable-object",
  "netlify-blobs",
  "redis-rest",
  "redis",
] as const;
export type StoreName = (typeof storeNames)[number];

export interface StoreSettings {
  /** Undefined for the platform's own preference where that is configured, else memory. */
  readonly store?: StoreName | undefined;
  /** The most values that the memory store holds. */
  readonly maxEntries: number;
  /** The most bytes that the memory store holds. */
  readonly cacheBytes: number;
  /** The first part of every key in a shared store. */
  readonly prefix: string;
  /** One server, a cluster or sentinels, as `parseRedisUrl` reads it. */
  readonly redisUrl?: string | undefined;
  readonly redisRest?: { readonly url: string; readonly token: string } | undefined;
  /** A file, ":memory:" or a remote database's URL; undefined for Deno's own file. */
  readonly denoKvPath?: string | undefined;
  /** The database file of the SQLite store. */
  readonly sqlitePath?: string | undefined;
}

export const defaultMaxEntries = 1024;
export const defaultCacheBytes = 256 * 1024 * 1024;
export const defaultPrefix = "kimi-ai-2api:";

const readRedisUrl = (value: string): string | undefined => {
  if (value === "" || parseRedisUrl(value) !== undefined) return value || undefined;
  throw new Error(
    "must be a redis:// or rediss:// URL such as redis://:PASSWORD@HOST:6379/0, redis+cluster://HOST,HOST or " +
      "redis+sentinel://HOST,HOST/MASTER; in a password write # as %23, / as %2F, ? as %3F, @ as %40 and % as %25",
  );
};

export const storeEntries = {
  SESSION_STORE: v.optional(oneOf(storeNames, "memory")),
  SESSION_PREFIX: text(defaultPrefix),
  SESSION_CACHE_MAX: integer(defaultMaxEntries, 1, 100_000_000, "conversations"),
  SESSION_CACHE_BYTES: integer(defaultCacheBytes, 1024, 1024 ** 4, "bytes"),
  REDIS_URL: custom("", readRedisUrl),
  UPSTASH_REDIS_REST_URL: v.optional(httpUrl("")),
  UPSTASH_REDIS_REST_TOKEN: v.optional(v.string()),
  KV_REST_API_URL: v.optional(httpUrl("")),
  KV_REST_API_TOKEN: v.optional(v.string()),
  DENO_KV_PATH: v.optional(v.string()),
  SQLITE_PATH: v.optional(v.string()),
  DATA_DIR: v.optional(v.string()),
};

/** What is wrong goes to `problems`. */
export function readStore(values: Values<typeof storeEntries>, problems: string[]): StoreSettings {
  const redisRest = [
    {
      name: "UPSTASH_REDIS_REST",
      url: values.UPSTASH_REDIS_REST_URL,
      token: values.UPSTASH_REDIS_REST_TOKEN,
    },
    { name: "KV_REST_API", url: values.KV_REST_API_URL, token: values.KV_REST_API_TOKEN },
  ].flatMap(({ name, url, token }) => {
    if (url !== undefined && token !== undefined) return [{ url, token }];
    if (url !== token) problems.push(`${name}_URL and ${name}_TOKEN belong together: set both or neither`);
    return [];
  })[0];
  const { SESSION_STORE: store, DATA_DIR: folder } = values;
  const inFolder = folder && `${folder.replace(/[/\\]+$/, "")}/kimi-ai-2api.sqlite`;
  const sqlitePath = values.SQLITE_PATH ?? inFolder;
  return {
    // A file that is named is to be used: nothing in it would be worse than no start.
    store: store ?? (sqlitePath === undefined ? undefined : "sqlite"),
    maxEntries: values.SESSION_CACHE_MAX,
    cacheBytes: values.SESSION_CACHE_BYTES,
    prefix: values.SESSION_PREFIX,
    redisUrl: values.REDIS_URL,
    redisRest,
    denoKvPath: values.DENO_KV_PATH,
    sqlitePath,
  };
}
