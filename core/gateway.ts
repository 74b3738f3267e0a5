/** Puts the parts together: settings and plug-ins in, one fetch handler out. */
import { createExchange } from "./chat/exchange.ts";
import type { Config } from "./config/config.ts";
import { createConversations } from "./conversations/conversations.ts";
import { openAiChat } from "./dialects/openai-chat.ts";
import { toApiError } from "./errors.ts";
import { accessControl } from "./http/access.ts";
import { cors } from "./http/cors.ts";
import type { FetchContext } from "./http/keep-work-alive.ts";
import { createRateLimit } from "./http/rate-limit.ts";
import { createRouter } from "./http/router.ts";
import { gatewayRoutes } from "./http/routes.ts";
import { createLogger } from "./operations/log.ts";
import { createMetrics } from "./operations/metrics.ts";
import { kimiWeb } from "./providers/kimi-web/provider.ts";
import { openAiCompatible } from "./providers/openai-compatible/provider.ts";
import { createModelDirectory } from "./routing/model-directory.ts";
import { createUpstreams, type UpstreamAnswer } from "./routing/upstreams.ts";
import { memoryStore } from "./stores/memory.ts";
import type { Clock, Dialect, Fetch, Logger, Provider, RequestFacts, SessionStore } from "./types.ts";
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
  readonly onRequest?: (facts: RequestFacts) => void;
  /** Told of each failure of the gateway itself. */
  readonly onError?: (error: unknown, facts: RequestFacts) => void;
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

  const { modelAliases, modelFallbacks, defaultModel, maxBodyBytes, requestTimeoutMs, stream } = config;
  const models = createModelDirectory({ providers, modelAliases, modelFallbacks });
  const upstreams = createUpstreams({ circuitBreaker: config.circuitBreaker, clock });
  const { ttlMs, maxBytes } = config.sessions;
  const conversations = createConversations<UpstreamAnswer>({ store, clock, log, ttlMs, maxBytes });
  const chat = createExchange({
    models,
    upstreams,
    conversations,
    isMemoryUnshared: options.hosted === true && !store.shared,
    defaultModel,
    maxBodyBytes,
    requestTimeoutMs,
    stream,
    clock,
    log,
  });
  const metrics = createMetrics();
  const onRequest = harmless(options.onRequest, log);
  const onError = harmless(options.onError, log);
  const { app, access, apiKeys, corsOrigins } = config;
  const crossOrigin = cors(corsOrigins, access);

  const handle = createRouter({
    routes: [
      ...gatewayRoutes({ app, access, models, upstreams, store, conversations, metrics, log }),
      ...dialects.flatMap((dialect) =>
        dialect.routes({ chat }).map((route) => ({ ...route, encodeError: dialect.encodeError })),
      ),
    ],
    encodeError: openAiChat.encodeError,
    authorize: accessControl({ access, apiKeys, corsOrigins, cors: crossOrigin }),
    cors: crossOrigin,
    rateLimit: config.requestsPerMinute > 0 ? createRateLimit(config.requestsPerMinute, clock) : undefined,
    clock,
    onRequest(facts, error) {
      metrics.observe(facts);
      log.info("request.finished", { ...facts });
      if (error !== undefined && toApiError(error).code === "internal_error") {
        log.error("request.crashed", { requestId: facts.requestId, error: describe(error) });
        onError(error, facts);
      }
      onRequest(facts);
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
      log.error("hook.failed", { error: describe(error) });
    }
  };
};

const describe = (error: unknown): string =>
  error instanceof Error ? (error.stack ?? error.message) : String(error);
