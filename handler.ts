/**
 * The product in one import: `createHandler(options)`, and a default export that configures itself from the
 * environment on its first request, so that `bun handler.ts`, `deno serve -A handler.ts` and a Worker run it.
 */
import { accessControl } from "./core/access.ts";
import { systemClock } from "./core/clock.ts";
import { type Config, parseConfig } from "./core/config.ts";
import { cors } from "./core/cors.ts";
import { openAiChat } from "./core/dialects/openai-chat.ts";
import { type EnvironmentBindings, findEnvironment } from "./core/environment.ts";
import { chatExchange, toApiError } from "./core/exchange.ts";
import { createLogger } from "./core/log.ts";
import { metrics } from "./core/metrics.ts";
import { modelDirectory } from "./core/models.ts";
import { kimiWeb } from "./core/providers/kimi-web/kimi-web.ts";
import { openAiCompatible } from "./core/providers/openai-compatible.ts";
import { rateLimit } from "./core/rate-limit.ts";
import { createRouter } from "./core/router.ts";
import { gatewayRoutes } from "./core/routes.ts";
import { memoryStore } from "./core/stores/memory.ts";
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
  fetch(request: Request): Promise<Response>;
  /** Does ahead of time what the first request would wait for. */
  warmUp(): Promise<void>;
  /** Lets go of the store. Answers that still run are not waited for. */
  close(): Promise<void>;
}

export function createHandler(options: HandlerOptions): Handler {
  const { config, dialects = [openAiChat], clock = systemClock } = options;
  const log = options.log ?? createLogger({ level: config.logLevel, write: console.log, clock });
  const store = options.store ?? memoryStore({ maxEntries: config.sessions.maxEntries, clock });
  const shared = { clock, ...(options.fetch && { fetch: options.fetch }) };
  const site =
    config.site &&
    kimiWeb({ ...config.site, ...shared, store, ...(!config.circuitBreaker && { holdOffMs: 0 }) });
  const providers = options.providers ?? [
    ...(site ? [site] : []),
    ...config.providers.map((settings) => openAiCompatible({ ...settings, ...shared })),
  ];

  const models = modelDirectory({ ...config, providers });
  const asked = upstreams({ circuitBreaker: config.circuitBreaker, clock });
  const exchange = chatExchange({ ...config, models, upstreams: asked, clock, log });
  const counted = metrics();
  const crossOrigin = cors(config.corsOrigins, config.access);

  const fetch = createRouter({
    routes: gatewayRoutes({
      ...config,
      dialects,
      exchange,
      models,
      upstreams: asked,
      store,
      metrics: counted,
      log,
    }),
    authorize: accessControl({ ...config, cors: crossOrigin }),
    cors: crossOrigin,
    rateLimit: config.requestsPerMinute > 0 ? rateLimit(config.requestsPerMinute, clock) : undefined,
    clock,
    onRequest(record, error) {
      counted.observe(record);
      log.info("request", { ...record });
      if (error !== undefined && toApiError(error).code === "internal_error") {
        log.error("internal_error", { requestId: record.requestId, error: describe(error) });
        options.onError?.(error, record);
      }
      options.onRequest?.(record);
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

const describe = (error: unknown): string =>
  error instanceof Error ? (error.stack ?? error.message) : String(error);

let configured: Handler | undefined;

export default {
  /** `env` and `context` are what a Worker gets; other servers hand in something else or nothing. */
  fetch(request: Request, env?: unknown, context?: unknown): Promise<Response> {
    // Served so, it binds every address of the machine.
    configured ??= createHandler({
      config: parseConfig(findEnvironment(env as EnvironmentBindings, context), { exposed: true }),
    });
    return configured.fetch(request);
  },
};
