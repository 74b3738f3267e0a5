/** The one file that looks for the environment, wherever the handler runs. */
import type { Environment } from "./config.ts";

export type EnvironmentBindings = Readonly<Record<string, unknown>> | undefined;

interface Platform {
  readonly process?: { readonly env?: Environment };
  readonly Deno?: { readonly env: { toObject(): Environment } };
}

/** A Worker hands its variables in, with a context that has `waitUntil`; elsewhere the process has them. */
export function findEnvironment(bindings?: EnvironmentBindings, context?: unknown): Environment {
  if (typeof (context as { waitUntil?: unknown } | undefined)?.waitUntil === "function") {
    return Object.fromEntries(
      Object.entries(bindings ?? {}).filter(
        (entry): entry is [string, string] => typeof entry[1] === "string",
      ),
    );
  }
  const platform = globalThis as Platform;
  return platform.Deno?.env.toObject() ?? platform.process?.env ?? {};
}
