/** The one file that looks for what the platform has, wherever the handler runs. */
import type { Environment } from "../core/config/config.ts";
import type { BodyDecoder, BodyDecoders, Fetch } from "../core/types.ts";

type Unzip = (
  bytes: Uint8Array,
  options: { maxOutputLength: number },
  done: (error: (Error & { code?: string }) | null, result?: Uint8Array) => void,
) => void;

/** What is used of https://nodejs.org/api/zlib.html; zstd came with Node 22.15. */
interface Zlib {
  readonly gunzip: Unzip;
  readonly inflate: Unzip;
  readonly brotliDecompress: Unzip;
  readonly zstdDecompress?: Unzip;
}

interface Platform {
  readonly process?: {
    readonly env?: Environment;
    loadEnvFile?(): void;
    getBuiltinModule?(name: "node:zlib"): Zlib | undefined;
  };
  readonly Bun?: unknown;
  readonly Deno?: {
    readonly env: { toObject(): Environment };
    createHttpClient?(options: { poolMaxIdlePerHost: number }): unknown;
    openKv?: unknown;
  };
}

const platform = globalThis as Platform;

const processEnvironment = (): Environment => platform.Deno?.env.toObject() ?? { ...platform.process?.env };

/** Bun reads `.env` before the program starts; Node and Deno do it when told. */
const loadEnvFile = () => {
  if (platform.Bun !== undefined) return;
  try {
    platform.process?.loadEnvFile?.();
  } catch {
    // There is no such file, or Deno may not read it.
  }
};

/** Whether a fetch handler's third argument is that of a Worker. */
export const isWorkerContext = (context: unknown): boolean =>
  typeof (context as { waitUntil?: unknown } | undefined)?.waitUntil === "function";

/** A Worker's binding to its Durable Objects, as wrangler.jsonc names it; what is pasted into the dashboard has none. */
export function findConversations<Namespace>(bindings: unknown): Namespace | undefined {
  const { CONVERSATIONS: namespace } = (bindings ?? {}) as {
    readonly CONVERSATIONS?: { idFromName?: unknown };
  };
  return typeof namespace?.idFromName === "function" ? (namespace as Namespace) : undefined;
}

/**
 * What Netlify has handed to the running call for its Blobs; each call has its own. None from Netlify's local server, whose
 * Blobs say no version when they are read.
 */
export function findBlobsContext(): string | undefined {
  const { NETLIFY_DEV: isLocal, NETLIFY_BLOBS_CONTEXT: context } = platform.process?.env ?? {};
  return isLocal === "true" ? undefined : context;
}

/** A Worker hands its variables in; elsewhere the process has them. */
export function findEnvironment(bindings?: unknown, context?: unknown): Environment {
  if (isWorkerContext(context)) {
    return Object.fromEntries(
      Object.entries(bindings ?? {}).filter(
        (entry): entry is [string, string] => typeof entry[1] === "string",
      ),
    );
  }
  const given = processEnvironment();
  loadEnvFile();
  // What was set wins over the file; Deno would have it the other way round.
  return { ...processEnvironment(), ...given };
}

/**
 * The platform's fetch. Deno's sends a POST again, unasked, when the connection that it reused has died, and the
 * upstream gets a message twice; a client that reuses none doesn't.
 */
export function findFetch(): Fetch {
  const client = platform.Deno?.createHttpClient?.({ poolMaxIdlePerHost: 0 });
  if (client === undefined) return (url, init) => fetch(url, init);
  return (url, init) => fetch(url, init.method === "POST" ? ({ ...init, client } as RequestInit) : init);
}

/** Deno's own database, where it is switched on. */
export const findOpenKv = <Kv>() => platform.Deno?.openKv as ((path?: string) => Promise<Kv>) | undefined;

const decoderOf =
  (unzip: Unzip): BodyDecoder =>
  (bytes, maxBytes) =>
    new Promise((resolve, reject) => {
      unzip(bytes, { maxOutputLength: maxBytes }, (error, result) => {
        if (error?.code === "ERR_BUFFER_TOO_LARGE") resolve(undefined);
        else if (error || result === undefined) reject(error ?? new Error("Nothing was decoded"));
        else resolve(result);
      });
    });

/**
 * Node's zlib, wherever it is, which decodes more than `DecompressionStream` does and stops at a limit by itself. Not to be
 * called at the start: to load it takes 20 ms.
 */
export function findBodyDecoders(): BodyDecoders | undefined {
  const zlib = platform.process?.getBuiltinModule?.("node:zlib");
  if (zlib?.brotliDecompress === undefined) return undefined;
  const { gunzip, inflate, brotliDecompress, zstdDecompress } = zlib;
  return {
    gzip: decoderOf(gunzip),
    deflate: decoderOf(inflate),
    br: decoderOf(brotliDecompress),
    ...(zstdDecompress && { zstd: decoderOf(zstdDecompress) }),
  };
}
