/**
 * The product in one import: `createHandler(options)`, and a default export that configures itself from the
 * environment on its first request, so that `bun handler.ts`, `deno serve -A handler.ts` and a Worker run it.
 */
import { accessControl } from "./core/access.ts";
import { systemClock } from "./core/clock.ts";
import {
  type Config,
  ConfigError,
  type ConfigOptions,
  type Environment,
  parseConfig,
} from "./core/config.ts";
import { conversations } from "./core/conversations.ts";
import { cors } from "./core/cors.ts";
import { openAiChat } from "./core/dialects/openai-chat.ts";
import { findEnvironment, findFetch, findOpenKv, isWorkerContext } from "./core/environment.ts";
import { ApiError } from "./core/errors.ts";
import { chatExchange, toApiError } from "./core/exchange.ts";
import { createLogger, type LoggerOptions } from "./core/log.ts";
import { metrics } from "./core/metrics.ts";
import { modelDirectory } from "./core/models.ts";
import type { FetchContext } from "./core/outlive.ts";
import { kimiWeb } from "./core/providers/kimi-web/kimi-web.ts";
import { openAiCompatible } from "./core/providers/openai-compatible.ts";
import { rateLimit } from "./core/rate-limit.ts";
import { createRouter, securityHeaders } from "./core/router.ts";
import { gatewayRoutes } from "./core/routes.ts";
import type { DenoKv } from "./core/stores/deno-kv.ts";
import { memoryStore } from "./core/stores/memory.ts";
import { openStore, type StoreDrivers, type StoreName } from "./core/stores/open-store.ts";
import type { Clock, Dialect, Fetch, Logger, Provider, RequestRecord, SessionStore } from "./core/types.ts";
import { upstreams } from "./core/upstreams.ts";

export interface HandlerOptions {
  readonly config: Config;
  /** Who answers; by default the chat of the site that `config` names. Of two with one model the first is asked. */
  readonly providers?: readonly Provider[];
  /** What clients may speak; by default OpenAI's Chat Completions. */
  readonly dialects?: readonly Dialect[];
  /** Where conversations are kept; by default in memory. */
  readonly store?: SessionStore;
  /** Whether it runs as many short-lived instances, so that conversations in memory are easily lost. */
  readonly hosted?: boolean;
  readonly fetch?: Fetch;
  readonly clock?: Clock;
  readonly log?: Logger;
  /** Told of each request when its answer is over. */
  readonly onRequest?: (record: RequestRecord) => void;
  /** Told of each failure of the gateway itself. */
  readonly onError?: (error: unknown, record: RequestRecord) => void;
}

export interface Handler {
  readonly providers: readonly Provider[];
  readonly store: SessionStore;
  fetch(request: Request, context?: FetchContext): Promise<Response>;
  /** Does ahead of time what the first request would wait for. */
  warmUp(): Promise<void>;
  /** Lets go of the store. Answers that still run are not waited for. */
  close(): Promise<void>;
}

export function createHandler(options: HandlerOptions): Handler {
  const { config, dialects = [openAiChat], clock = systemClock } = options;
  const log = options.log ?? createLogger({ level: config.logLevel, write: console.log, clock });
  const store = options.store ?? memoryStore({ maxEntries: config.sessions.maxEntries, clock });
  const shared = { clock, fetch: options.fetch ?? findFetch() };
  const site =
    config.site &&
    kimiWeb({ ...config.site, ...shared, store, ...(!config.circuitBreaker && { holdOffMs: 0 }) });
  const providers = options.providers ?? [
    ...(site ? [site] : []),
    ...config.providers.map((settings) => openAiCompatible({ ...settings, ...shared })),
  ];

  const models = modelDirectory({ ...config, providers });
  const asked = upstreams({ circuitBreaker: config.circuitBreaker, clock });
  const remembered = conversations({ ...config.sessions, store, clock, log });
  const exchange = chatExchange({
    ...config,
    models,
    upstreams: asked,
    conversations: remembered,
    isMemoryUnshared: options.hosted === true && !store.shared,
    clock,
    log,
  });
  const counted = metrics();
  const onRequest = harmless(options.onRequest, log);
  const onError = harmless(options.onError, log);
  const crossOrigin = cors(config.corsOrigins, config.access);

  const fetch = createRouter({
    routes: gatewayRoutes({
      ...config,
      dialects,
      exchange,
      models,
      upstreams: asked,
      store,
      conversations: remembered,
      metrics: counted,
      log,
    }),
    authorize: accessControl({ ...config, cors: crossOrigin }),
    cors: crossOrigin,
    rateLimit: config.requestsPerMinute > 0 ? rateLimit(config.requestsPerMinute, clock) : undefined,
    clock,
    onRequest(record, error) {
      counted.observe(record);
      log.info("request", record);
      if (error !== undefined && toApiError(error).code === "internal_error") {
        log.error("internal_error", { requestId: record.requestId, error: describe(error) });
        onError(error, record);
      }
      onRequest(record);
    },
  });

  return {
    providers,
    store,
    fetch,
    async warmUp() {
      await Promise.all(providers.map((provider) => provider.warmUp?.()));
    },
    async close() {
      await store.close?.();
    },
  };
}

/** A hook that may fail, at once or later, without harm to the answer. */
const harmless = <Args extends unknown[]>(
  hook: ((...args: Args) => unknown) | undefined,
  log: Logger,
): ((...args: Args) => void) => {
  if (hook === undefined) return () => {};
  return async (...args) => {
    try {
      await hook(...args);
    } catch (error) {
      log.error("hook_failed", { error: describe(error) });
    }
  };
};

const describe = (error: unknown): string =>
  error instanceof Error ? (error.stack ?? error.message) : String(error);

/** What a platform gives a handler that takes its settings from the environment. */
export interface PlatformOptions extends ConfigOptions, Pick<HandlerOptions, "onRequest" | "onError"> {
  readonly environment: Environment;
  /** The store to take when SESSION_STORE names none. */
  readonly preferredStore: StoreName;
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
  const { environment, preferredStore, drivers = {}, hosted = false, fetch = findFetch() } = options;
  const { logOutput = { write: console.log } } = options;
  const config = parseConfig(environment, options);
  const log = createLogger({ level: config.logLevel, clock: systemClock, ...logOutput });
  const store = await openStore({
    settings: config.sessions,
    drivers,
    preferred: preferredStore,
    hosted,
    clock: systemClock,
    // A store may be sent the same twice, so Deno need not open a connection for each call of it.
    fetch: options.fetch ?? ((url, init) => globalThis.fetch(url, init)),
    log,
  }).catch((error: Error) => {
    throw new ConfigError([error.message]);
  });
  return { config, handler: createHandler({ ...options, config, store, hosted, fetch, log }) };
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

/** For `bun handler.ts`, `deno serve -A handler.ts` and Workers, all of which can be reached from outside. */
export default {
  ...selfConfiguring((env, context) => {
    const openKv = findOpenKv<DenoKv>();
    return {
      environment: findEnvironment(env, context),
      exposed: true,
      hosted: isWorkerContext(context),
      preferredStore: openKv === undefined ? "redis-rest" : "deno-kv",
      drivers: { openKv },
    };
  }),
  /** Seconds of silence after which Bun would cut an answer that is not streamed; the most that it knows. */
  idleTimeout: 255,
};
