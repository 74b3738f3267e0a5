/** Puts the parts together: settings and plug-ins in, one fetch handler out. */
import { chatExchange, toApiError } from "./chat/exchange.ts";
import type { Config } from "./config/config.ts";
import { conversations } from "./conversations/conversations.ts";
import { openAiChat } from "./dialects/openai-chat.ts";
import { accessControl } from "./http/access.ts";
import { cors } from "./http/cors.ts";
import type { FetchContext } from "./http/keep-work-alive.ts";
import { rateLimit } from "./http/rate-limit.ts";
import { createRouter } from "./http/router.ts";
import { gatewayRoutes } from "./http/routes.ts";
import { createLogger } from "./operations/log.ts";
import { metrics } from "./operations/metrics.ts";
import { kimiWeb } from "./providers/kimi-web/provider.ts";
import { openAiCompatible } from "./providers/openai-compatible/provider.ts";
import { modelDirectory } from "./routing/model-directory.ts";
import { upstreams } from "./routing/upstreams.ts";
import { memoryStore } from "./stores/memory.ts";
import type { Clock, Dialect, Fetch, Logger, Provider, RequestRecord, SessionStore } from "./types.ts";
import { systemClock } from "./util/time.ts";

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
  const shared = { clock, fetch: options.fetch ?? ((url, init) => fetch(url, init)) };
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

  const handle = createRouter({
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
    fetch: handle,
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
