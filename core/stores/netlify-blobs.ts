import type { Clock, Fetch, SessionStore } from "../types.ts";
import { sha256Hex } from "../util/hash.ts";
import { isRecord, tryParseJson } from "../util/json.ts";
import { systemClock } from "../util/time.ts";
import { defaultPrefix } from "./settings.ts";
import { storeTimeoutMs } from "./store-timeout.ts";

export interface NetlifyBlobsStoreOptions {
  /** What Netlify puts into NETLIFY_BLOBS_CONTEXT, base64 as it is; asked for at every call, as each call has its own. */
  readonly context: () => string | undefined;
  /** By default the platform's. */
  readonly fetch?: Fetch;
  /** Stands before every key; default "kimi-ai-2api:". */
  readonly prefix?: string;
  readonly clock?: Pick<Clock, "now">;
  /** How long a request may take, in milliseconds; default 2,000. */
  readonly timeoutMs?: number;
  /** From 0 to 1: decides which writes sweep, and where. */
  readonly random?: () => number;
}

/** All values of a site, whatever their prefix: the sweep looks at none but their ends. */
const storeName = "site:kimi-ai-2api";

/** How many writes there are for one that sweeps, and how many blobs that one looks at. */
const writesPerSweep = 50;
const maxSwept = 10;

interface Blob {
  readonly value: string;
  readonly etag: string;
  readonly expiresAtMs: number;
}

interface Place {
  /** Where the store is, without a slash at its end. */
  readonly url: string;
  readonly token: string;
}

const placeIn = (context: string | undefined): Place => {
  const fields = context === undefined ? undefined : tryParseJson(atob(context));
  const { uncachedEdgeURL: base, siteID, token } = isRecord(fields) ? fields : {};
  if (typeof base !== "string" || typeof siteID !== "string" || typeof token !== "string") {
    throw new Error("Netlify has handed no Blobs to this call");
  }
  return { url: new URL(`/${siteID}/${storeName}`, base).href, token };
};

/** An ETag that a proxy has weakened, as it may when it compresses, still names the same value. */
const etagOf = (response: Response): string => {
  const etag = response.headers.get("etag")?.replace(/^W\//, "");
  if (!etag) throw new Error("Netlify Blobs named no ETag");
  return etag;
};

/** The end of life, a random id and the value. The id is for ETags, which may be hashes: a value written anew has another one. */
const encode = (value: string, expiresAtMs: number): string =>
  `${expiresAtMs} ${crypto.randomUUID()}\n${value}`;

const readBlob = async (response: Response): Promise<Blob> => {
  // Not `text()`, which drops a byte order mark.
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(await response.arrayBuffer());
  const [, expiresAtMs = "0", value = ""] = /^(\d+) [\da-f-]{36}\n(.*)$/s.exec(text) ?? [];
  return { value, etag: etagOf(response), expiresAtMs: Number(expiresAtMs) };
};

// A value that is past its time is gone though its ETag is there still, so a version knows when that is.
const versionOf = ({ expiresAtMs, etag }: Pick<Blob, "expiresAtMs" | "etag">): string =>
  `${expiresAtMs} ${etag}`;

/**
 * A store in Netlify Blobs, by plain requests: Netlify's own package reports conditional writes that failed as done. A
 * request that fails, or takes longer than `timeoutMs`, rejects: chats then fail with 503 `session_store_unavailable`.
 *
 * @example
 * ```ts
 * import { createHandler, netlifyBlobsStore } from "kimi-ai-2api";
 *
 * const store = netlifyBlobsStore({ context: () => process.env.NETLIFY_BLOBS_CONTEXT });
 * const handler = createHandler({ store, hosted: true });
 * ```
 */
export function netlifyBlobsStore({
  context,
  fetch = (input, init) => globalThis.fetch(input, init),
  prefix = defaultPrefix,
  clock = systemClock,
  timeoutMs = storeTimeoutMs,
  random = Math.random,
}: NetlifyBlobsStoreOptions): SessionStore {
  /** Any status but those of `expected` rejects: above all, a conditional write that failed has not been made. */
  const send = async (
    method: string,
    path: string,
    { expected, headers, body }: { expected: number[]; headers?: Record<string, string>; body?: string },
  ): Promise<Response> => {
    const { url, token } = placeIn(context());
    const response = await fetch(url + path, {
      method,
      headers: { authorization: `Bearer ${token}`, "accept-encoding": "identity", ...headers },
      ...(body !== undefined && { body }),
      // The token goes to no other host.
      redirect: "manual",
      signal: AbortSignal.timeout(timeoutMs),
    });
    if (response.ok || expected.includes(response.status)) return response;
    throw new Error(`Netlify Blobs answered with status ${response.status}`);
  };

  // Hashed, as names of blobs are limited in length and letters.
  const pathOf = async (key: string): Promise<string> => `/${await sha256Hex(prefix + key)}`;

  const read = async (path: string): Promise<Blob | undefined> => {
    const response = await send("GET", path, { expected: [404] });
    return response.status === 404 ? undefined : readBlob(response);
  };

  const isLive = ({ expiresAtMs }: Pick<Blob, "expiresAtMs">): boolean => expiresAtMs > clock.now();

  const sweep = async (): Promise<void> => {
    const anywhere = Math.floor(random() * 256)
      .toString(16)
      .padStart(2, "0");
    const list: unknown = await (await send("GET", `?prefix=${anywhere}`, { expected: [] })).json();
    const blobs =
      isRecord(list) && Array.isArray(list.blobs) ? list.blobs.filter(isRecord).slice(0, maxSwept) : [];
    await Promise.all(
      blobs.map(async ({ key }) => {
        const path = `/${key}`;
        const blob = await read(path);
        if (blob === undefined || isLive(blob)) return;
        await send("DELETE", path, { expected: [404, 412], headers: { "if-match": blob.etag } });
      }),
    );
  };

  return {
    name: "netlify-blobs",
    shared: true,

    async get(key) {
      const blob = await read(await pathOf(key));
      return blob && isLive(blob) ? { value: blob.value, version: versionOf(blob) } : undefined;
    },

    async set(key, value, { ttlMs, ifVersion }) {
      const path = await pathOf(key);
      const expiresAtMs = Math.ceil(clock.now() + ttlMs);
      const write = async (headers: Record<string, string>): Promise<string | undefined> => {
        const body = encode(value, expiresAtMs);
        const response = await send("PUT", path, { expected: [412], headers, body });
        return response.status === 412 ? undefined : versionOf({ expiresAtMs, etag: etagOf(response) });
      };
      const writeAbsent = async (): Promise<string | undefined> => {
        const version = await write({ "if-none-match": "*" });
        if (version !== undefined) return version;
        const present = await read(path);
        return present && !isLive(present) ? write({ "if-match": present.etag }) : undefined;
      };
      const writeOver = (before: string): Promise<string | undefined> | undefined => {
        const [, expiredAtMs = "0", etag = ""] = /^(\d+) (.*)$/s.exec(before) ?? [];
        return isLive({ expiresAtMs: Number(expiredAtMs) }) ? write({ "if-match": etag }) : undefined;
      };

      const version = await (ifVersion === undefined
        ? write({})
        : ifVersion === null
          ? writeAbsent()
          : writeOver(ifVersion));
      // Blobs have no end of life of their own. What fails here is done by another write.
      if (random() * writesPerSweep < 1) await sweep().catch(() => {});
      return version;
    },

    async delete(key) {
      await send("DELETE", await pathOf(key), { expected: [404] });
    },
  };
}
