/** The one file that looks for what the platform has, wherever the handler runs. */
import type { Environment } from "../core/config/config.ts";
import type { Fetch } from "../core/types.ts";

interface Platform {
  readonly process?: { readonly env?: Environment; loadEnvFile?(): void };
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
