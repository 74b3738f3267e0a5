import type { Allowance, SessionStore, Spending } from "../types.ts";
import { spendFrom, type Tally } from "../util/allowance.ts";
import { defaultPrefix } from "./settings.ts";
import { storeTimeoutMs } from "./store-timeout.ts";

/** The part of a Worker's binding to Durable Objects that is used. */
export interface DurableObjectNamespace {
  idFromName(name: string): unknown;
  // A method, so that the platform's own type, which wants its own id, fits too.
  get(id: unknown): { fetch(url: string, init: RequestInit): Promise<Response> };
}

/** The part of what Cloudflare hands to a Durable Object that is used; its storage must be SQLite's. */
export interface DurableObjectState {
  readonly storage: {
    /** What one call writes without waiting in between is written whole or not at all. */
    readonly kv: {
      get(key: string): unknown;
      put(key: string, value: unknown): void;
      delete(key: string): boolean;
    };
    transactionSync<T>(task: () => T): T;
    setAlarm(atMs: number): Promise<void>;
    deleteAlarm(): Promise<void>;
    deleteAll(): Promise<void>;
  };
}

export interface DurableObjectStoreOptions {
  /** The Worker's binding to `Conversations`. */
  readonly namespace: DurableObjectNamespace;
  /** Stands before every key; default "kimi-ai-2api:". */
  readonly prefix?: string;
  /** How long an operation may take, in milliseconds; default 2,000. */
  readonly timeoutMs?: number;
}

const headers = { version: "x-version", ifVersion: "x-if-version", ttlMs: "x-ttl-ms" } as const;

/** Stands for "only if absent"; versions are UUIDs. */
const absent = "none";

// Not as a text: reading one from a request would drop a byte order mark at its start.
const encode = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text);
const decode = (bytes: ArrayBuffer): string => new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);

/** What Cloudflare says of a call that failed on its way, such as while new code was put in place. */
const isWorthRepeating = (error: unknown): boolean => {
  const { retryable, overloaded } = error as { readonly retryable?: boolean; readonly overloaded?: boolean };
  return retryable === true && overloaded !== true;
};

/**
 * A store in Durable Objects of a Cloudflare Worker: each key has an object of its own, which takes one write at a time.
 * The Worker exports their class, `Conversations`, and wrangler.jsonc binds it. An object that can't be reached, or takes
 * longer than `timeoutMs`, rejects: chats then fail with 503 `session_store_unavailable`.
 *
 * @example
 * ```ts
 * import { Conversations, createHandler, type DurableObjectNamespace, durableObjectStore } from "kimi-ai-2api";
 *
 * export { Conversations };
 *
 * export default {
 *   fetch(request: Request, env: { CONVERSATIONS: DurableObjectNamespace }): Promise<Response> {
 *     const store = durableObjectStore({ namespace: env.CONVERSATIONS });
 *     return createHandler({ store, hosted: true }).fetch(request);
 *   },
 * };
 * ```
 */
export function durableObjectStore({
  namespace,
  prefix = defaultPrefix,
  timeoutMs = storeTimeoutMs,
}: DurableObjectStoreOptions): SessionStore {
  const call = async (key: string, init: RequestInit): Promise<Response> => {
    const signal = AbortSignal.timeout(timeoutMs);
    // A new stub each time: one that has failed once fails for ever, and none may outlive its request.
    const once = () =>
      namespace.get(namespace.idFromName(prefix + key)).fetch("https://store", { ...init, signal });
    const response = await once().catch((error) => {
      if (isWorthRepeating(error)) return once();
      throw error;
    });
    if (response.ok || response.status === 404 || response.status === 412) return response;
    throw new Error(`The Durable Object answered with status ${response.status}`);
  };

  return {
    name: "durable-object",
    shared: true,

    async get(key) {
      const response = await call(key, { method: "GET" });
      const bytes = await response.arrayBuffer();
      const version = response.headers.get(headers.version);
      if (response.status === 404) return undefined;
      if (version === null) throw new Error("The Durable Object named no version");
      return { value: decode(bytes), version };
    },

    async set(key, value, { ttlMs, ifVersion }) {
      // Made here, so that a write that is sent twice finds its own version and still succeeds.
      const version = crypto.randomUUID();
      const response = await call(key, {
        method: "PUT",
        headers: {
          [headers.version]: version,
          [headers.ttlMs]: String(ttlMs),
          ...(ifVersion !== undefined && { [headers.ifVersion]: ifVersion ?? absent }),
        },
        body: encode(value),
      });
      return response.status === 412 ? undefined : version;
    },

    async delete(key) {
      await call(key, { method: "DELETE" });
    },

    async spend(key, spending) {
      const response = await call(key, { method: "POST", body: JSON.stringify(spending) });
      return (await response.json()) as Allowance;
    },
  };
}

interface Head {
  readonly version: string;
  readonly expiresAtMs: number;
  readonly parts: number;
}

/** What is used of an allowance. An object holds one or a value. */
interface StoredTally extends Tally {
  readonly expiresAtMs: number;
}

/** A row holds 2 MB at most. */
const partBytes = 1_000_000;

const partKey = (index: number): string => `part:${index}`;

/**
 * The class of the Durable Objects in which `durableObjectStore` keeps conversations: one value, until its time is over.
 * A Worker exports it under this name, and wrangler.jsonc names it under `durable_objects` and `migrations`. It is a plain
 * class with `fetch`, as Cloudflare's own base class would be an import.
 *
 * @example
 * ```ts
 * import { Conversations, default as gateway } from "kimi-ai-2api";
 *
 * export { Conversations };
 * export default gateway;
 * ```
 */
export class Conversations {
  readonly #storage: DurableObjectState["storage"];
  /** Of an allowance: when the alarm that this instance has set is due. */
  #alarmAtMs = 0;

  constructor(state: DurableObjectState) {
    this.#storage = state.storage;
  }

  /** Answers `durableObjectStore`; nothing else can reach it. */
  async fetch(request: Request): Promise<Response> {
    if (request.method === "GET") return this.#read();
    if (request.method === "PUT") return this.#write(request);
    if (request.method === "POST") return this.#spend(await request.json());
    await this.#forget();
    return new Response(null, { status: 204 });
  }

  /** Cloudflare calls it when the value's time is over. */
  async alarm(): Promise<void> {
    const { expiresAtMs = 0 } = this.#storedHead() ?? this.#storedTally() ?? {};
    if (expiresAtMs > Date.now()) await this.#storage.setAlarm(expiresAtMs);
    else await this.#forget();
  }

  #storedHead(): Head | undefined {
    return this.#storage.kv.get("head") as Head | undefined;
  }

  #storedTally(): StoredTally | undefined {
    return this.#storage.kv.get("tally") as StoredTally | undefined;
  }

  /** The alarm may come late. */
  #liveHead(): Head | undefined {
    const head = this.#storedHead();
    return head !== undefined && head.expiresAtMs > Date.now() ? head : undefined;
  }

  #read(): Response {
    const head = this.#liveHead();
    if (head === undefined) return new Response(null, { status: 404 });
    const parts = Array.from(
      { length: head.parts },
      (_, index) => this.#storage.kv.get(partKey(index)) as Uint8Array<ArrayBuffer>,
    );
    return new Response(new Blob(parts), { headers: { [headers.version]: head.version } });
  }

  async #write(request: Request): Promise<Response> {
    const value = new Uint8Array(await request.arrayBuffer());
    const version = request.headers.get(headers.version) ?? "";
    const ifVersion = request.headers.get(headers.ifVersion);
    const expiresAtMs = Date.now() + Number(request.headers.get(headers.ttlMs));

    // From here on nothing waits, so that no other call comes between the look and the write.
    const present = this.#liveHead()?.version;
    const isRefused = ifVersion !== null && (present ?? absent) !== ifVersion && present !== version;
    if (isRefused) return new Response(null, { status: 412 });
    this.#replace(value, { version, expiresAtMs });
    await this.#storage.setAlarm(expiresAtMs);
    return new Response(null, { status: 204 });
  }

  async #spend(spending: Spending): Promise<Response> {
    const nowMs = Date.now();
    const { allowance, tally } = spendFrom(this.#storedTally(), spending, nowMs);
    if (tally !== undefined) {
      const expiresAtMs = tally.sinceMs + spending.windowMs;
      this.#storage.kv.put("tally", { ...tally, expiresAtMs } satisfies StoredTally);
      // Once in a while, as an alarm costs as much as a write; the alarm itself looks again.
      if (this.#alarmAtMs <= nowMs) {
        this.#alarmAtMs = expiresAtMs;
        await this.#storage.setAlarm(expiresAtMs);
      }
    }
    return Response.json(allowance);
  }

  #replace(value: Uint8Array, head: Omit<Head, "parts">): void {
    const { kv } = this.#storage;
    const before = this.#storedHead()?.parts ?? 0;
    const parts = Math.ceil(value.length / partBytes);
    this.#storage.transactionSync(() => {
      for (let index = 0; index < parts; index++) {
        kv.put(partKey(index), value.slice(index * partBytes, (index + 1) * partBytes));
      }
      for (let index = parts; index < before; index++) kv.delete(partKey(index));
      kv.put("head", { ...head, parts } satisfies Head);
    });
  }

  async #forget(): Promise<void> {
    // Together: with compatibility dates before 2026-02-24 the second leaves the alarm.
    await Promise.all([this.#storage.deleteAlarm(), this.#storage.deleteAll()]);
  }
}
