/** A handler that takes its settings, its store and its fetch from the platform that runs it. */
import {
  type Config,
  ConfigError,
  type ConfigOptions,
  type Environment,
  parseConfig,
} from "../core/config/config.ts";
import { configuredSecrets } from "../core/config/secrets.ts";
import { ApiError } from "../core/errors.ts";
import { createHandler, type Handler, type HandlerOptions } from "../core/gateway.ts";
import { securityHeaders } from "../core/http/router.ts";
import { createLogger, type LoggerOptions, withoutSecrets } from "../core/operations/log.ts";
import { openStore, type StoreDrivers } from "../core/stores/open-store.ts";
import type { StoreName } from "../core/stores/settings.ts";
import type { Fetch } from "../core/types.ts";
import { systemClock } from "../core/util/time.ts";
import { pages } from "../web/pages.generated.ts";
import { findBodyDecoders, findFetch } from "./runtime.ts";

/** What a platform gives a handler that takes its settings from the environment. */
export interface PlatformOptions extends ConfigOptions, Pick<HandlerOptions, "onRequest" | "onError"> {
  readonly environment: Environment;
  /** The stores to take when SESSION_STORE names none: the first one that is configured, else memory. */
  readonly preferredStores: readonly StoreName[];
  readonly drivers?: StoreDrivers;
  /** Whether it runs many short-lived instances. */
  readonly hosted?: boolean;
  readonly fetch?: Fetch | undefined;
  /** Where log lines go; by default to the console. */
  readonly logOutput?: Pick<LoggerOptions, "write">;
}

/** A handler as the environment's settings want it, with its store. Throws ConfigError. */
export async function configureHandler(
  options: PlatformOptions,
): Promise<{ readonly config: Config; readonly handler: Handler }> {
  const { environment, preferredStores, drivers = {}, hosted = false, fetch = findFetch() } = options;
  const { logOutput = { write: console.log } } = options;
  const config = parseConfig(environment, options);
  const secrets = configuredSecrets(config, environment);
  const log = createLogger({ level: config.logLevel, clock: systemClock, ...logOutput });
  const store = await openStore({
    settings: config.sessions,
    drivers,
    preferred: preferredStores,
    hosted,
    clock: systemClock,
    // A store may be sent the same twice, so Deno need not open a connection for each call of it.
    fetch: options.fetch ?? ((url, init) => globalThis.fetch(url, init)),
    log: withoutSecrets(log, secrets),
  }).catch((error: Error) => {
    throw new ConfigError([secrets.hide(error.message)]);
  });
  return {
    config,
    handler: createHandler({
      ...options,
      config,
      pages,
      store,
      hosted,
      fetch,
      log,
      secrets,
      bodyDecoders: findBodyDecoders,
    }),
  };
}

export interface FetchHandler {
  /** `env` and `context` are what a Worker gets; other servers hand in something else or nothing. */
  fetch(request: Request, env?: unknown, context?: unknown): Promise<Response>;
}

/** A handler that is configured by its first request. Bad settings end in the log, and in a 500 for every caller. */
export function selfConfiguring(options: (env: unknown, context: unknown) => PlatformOptions): FetchHandler {
  let configured: Promise<Handler> | undefined;
  const configure = async (env: unknown, context: unknown): Promise<Handler> => {
    const { handler } = await configureHandler(options(env, context));
    return handler;
  };
  return {
    async fetch(request, env, context) {
      try {
        configured ??= configure(env, context).catch((error) => {
          // What is wrong now may pass, such as a store that can't be reached.
          configured = undefined;
          throw error;
        });
        return await (await configured).fetch(request, context ?? undefined);
      } catch (error) {
        console.error(error instanceof ConfigError ? error.message : error);
        const shown = new ApiError("internal_error", "The gateway can't start. Its log has the details.");
        return Response.json(shown.toBody(), { status: shown.status, headers: securityHeaders });
      }
    },
  };
}
