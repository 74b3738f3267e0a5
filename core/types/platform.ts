/** What touches the world and is handed in: time, fetch, the log; and JSON. */

export type MaybePromise<T> = T | Promise<T>;

export type JsonObject = Readonly<Record<string, unknown>>;

/** A JSON Schema: an object, or `true` for anything and `false` for nothing. */
export type JsonSchema = JsonObject | boolean;

/** Where time comes from; tests hand in one of their own. */
export interface Clock {
  /** The wall clock: milliseconds since the epoch. For points in time only, as it jumps when the machine's time is set. */
  now(): number;
  /** Whole milliseconds since an unnamed moment. For durations and deadlines within the process: it never goes back. */
  monotonic(): number;
  /** Runs `task` once after `delayMs`; the function returned cancels it. */
  schedule(task: () => void, delayMs: number): () => void;
}

/** The part of `fetch` that the gateway uses. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/**
 * Decodes a whole compressed body. Resolves to undefined as soon as that has more than `maxBytes` bytes; rejects where
 * the bytes are not in the coding.
 */
export type BodyDecoder = (bytes: Uint8Array, maxBytes: number) => Promise<Uint8Array | undefined>;

/** By the name that Content-Encoding has for the coding, such as "gzip". */
export type BodyDecoders = Readonly<Record<string, BodyDecoder>>;

/** Called for each compressed body; undefined stands for the decoders that every platform has. */
export type FindBodyDecoders = () => BodyDecoders | undefined;

/** A record of plain facts. Never a key, a cookie, a nonce or the text of a message. */
export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>;

export interface Logger {
  debug(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields): void;
  /** Whether lines of a level are written at all; absent means yes. Spares the work for lines that are not. */
  writes?(level: "debug" | "info" | "warn" | "error"): boolean;
}
