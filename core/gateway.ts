/** Puts the parts together: settings and plug-ins in, one fetch handler out. */
import { createAskResponses } from "./chat/ask-responses.ts";
import { createBodyReader, createExchange } from "./chat/exchange.ts";
import { allUpstreams, type Config, ConfigError, firstModel, parseConfig } from "./config/config.ts";
import { configuredSecrets } from "./config/secrets.ts";
import { createConversations } from "./conversations/conversations.ts";
import { createResponses } from "./conversations/responses.ts";
import { sharedResponseTtlMs } from "./conversations/settings.ts";
import { anthropicMessages } from "./dialects/anthropic-messages.ts";
import { ollama } from "./dialects/ollama.ts";
import { openAiChat } from "./dialects/openai-chat.ts";
import { openAiCompletions } from "./dialects/openai-completions.ts";
import { openAiResponses } from "./dialects/openai-responses.ts";
import { type ErrorCode, errorTable, toApiError } from "./errors.ts";
import { accessControl } from "./http/access.ts";
import { localAllowances, sharedAllowances } from "./http/allowances.ts";
import { createBodyBudget } from "./http/body-budget.ts";
import { cors } from "./http/cors.ts";
import type { FetchContext } from "./http/keep-work-alive.ts";
import { type Pages, withPages } from "./http/pages.ts";
import { createRateLimit, createTokenBudget } from "./http/rate-limit.ts";
import { createRouter } from "./http/router.ts";
import { gatewayRoutes } from "./http/routes.ts";
import { createLogger, withoutSecrets } from "./operations/log.ts";
import { createMetrics } from "./operations/metrics.ts";
import { createRecentRequests } from "./operations/recent-requests.ts";
import { openAiCompatible } from "./providers/openai-compatible/provider.ts";
import { createSiteProvider } from "./providers/wordpress-chat/provider.ts";
import { createModelDirectory } from "./routing/model-directory.ts";
import { createSharedCircuits } from "./routing/shared-circuits.ts";
import { createUpstreams, type UpstreamAnswer } from "./routing/upstreams.ts";
import { memoryStore } from "./stores/memory.ts";
import { watchStore } from "./stores/watch-store.ts";
import type {
  BodyDecoders,
  Clock,
  Dialect,
  DialectDeps,
  Fetch,
  FindBodyDecoders,
  Logger,
  Provider,
  RequestFacts,
  SessionStore,
} from "./types.ts";
import type { Secrets } from "./util/secrets.ts";
import { systemClock } from "./util/time.ts";

/** Everything that a handler is made of; whatever is left out has a default. */
export interface HandlerOptions {
  /**
   * The settings, as `parseConfig` makes them; by default `parseConfig({})`: the chat of kimi-ai.chat, and no key for
   * callers on this machine, which are the only ones let in.
   */
  readonly config?: Config;
  /**
   * Who answers; by default the site and the upstreams that `config` names. Where two have a model of the same name, the
   * first is asked.
   */
  readonly providers?: readonly Provider[];
  /**
   * What clients may speak; by default
   * `[openAiChat, openAiResponses, openAiCompletions, anthropicMessages, ollama]`.
   */
  readonly dialects?: readonly Dialect[];
  /**
   * The pages for people, such as `pages`: chat, instructions, API reference, dashboard. By default none, and
   * `config.pages` may turn them off.
   */
  readonly pages?: Pages;
  /** Where conversations are kept; by default in memory, within the bounds of `config.sessions`. */
  readonly store?: SessionStore;
  /**
   * Whether many short-lived instances run, so that conversations in memory are easily lost: clients are then told so by
   * `x-session-shared: false`. Default false.
   */
  readonly hosted?: boolean;
  /** What calls upstreams; by default the platform's `fetch`. */
  readonly fetch?: Fetch;
  /**
   * What decodes compressed request bodies, or a function that finds it once there is one; by default gzip and deflate,
   * through `DecompressionStream`.
   */
  readonly bodyDecoders?: BodyDecoders | FindBodyDecoders;
  /** Where time comes from; by default the system's clock. */
  readonly clock?: Clock;
  /** What no error and no log line may show; by default the secrets of `config`. */
  readonly secrets?: Secrets;
  /** By default a line of JSON on the console for each request, from `config.logLevel` on. */
  readonly log?: Logger;
  /** Called with the facts of each request when its answer is over. May fail without harm to the answer. */
  readonly onRequest?: (facts: RequestFacts) => void;
  /** Called with each failure of the gateway itself, such as a bug; never for an `ApiError` of another code. */
  readonly onError?: (error: unknown, facts: RequestFacts) => void;
}

/** A gateway, to be served by any server that speaks the Fetch API. */
export interface Handler {
  readonly providers: readonly Provider[];
  readonly store: SessionStore;
  /**
   * Answers one request, whatever its path: routes are served with and without `/v1`. Never rejects. `context` is a
   * Worker's, whose `waitUntil` keeps work alive that other requests wait for.
   */
  fetch(request: Request, context?: FetchContext): Promise<Response>;
  /** Does ahead of time what the first request would wait for. Never rejects. */
  warmUp(): Promise<void>;
  /** Lets go of the store. Answers that still run are not waited for. */
  close(): Promise<void>;
}

/**
 * Makes a gateway: one function from `Request` to `Response`, to be served as it is or inside another application.
 * Without options it answers as the chat of kimi-ai.chat, and only for callers on this machine.
 *
 * Nothing is thrown here and nothing is called before the first request; `parseConfig` is what refuses bad settings.
 *
 * @example
 * ```ts
 * import { createHandler } from "kimi-ai-2api";
 *
 * const { fetch } = createHandler();
 * export default { port: 8088, fetch: (request: Request) => fetch(request) }; // bun run this-file.ts
 * ```
 *
 * @example
 * ```ts
 * import { createHandler, openAiCompatible, parseConfig, redisRestStore } from "kimi-ai-2api";
 *
 * const handler = createHandler({
 *   config: parseConfig({ API_MASTER_KEY: "sk-of-this-app", API_REQUEST_TIMEOUT: "60" }),
 *   providers: [openAiCompatible({ name: "local", baseUrl: "http://127.0.0.1:11434/v1" })],
 *   store: redisRestStore({ url: "https://eu1.upstash.io", token: "…" }),
 *   onRequest: ({ model, status, ms }) => console.log(model, status, ms),
 * });
 * ```
 */
export function createHandler(options: HandlerOptions = {}): Handler {
  const { config = parseConfig({}), dialects = allDialects, clock = systemClock, hosted = false } = options;
  const { bodyDecoders } = options;
  const secrets = options.secrets ?? configuredSecrets(config);
  const log = withoutSecrets(options.log ?? createLogger({ level: config.logLevel, clock }), secrets);
  const { maxEntries, cacheBytes, ttlMs, maxBytes, headers: sessionHeaders } = config.sessions;
  const givenStore = options.store ?? memoryStore({ maxEntries, maxBytes: cacheBytes, clock });
  const watched = watchStore(givenStore, { clock, log });
  const { store } = watched;
  const fetch: Fetch = options.fetch ?? ((url, init) => globalThis.fetch(url, init));
  const providers = options.providers ?? configuredProviders(config, { fetch, clock, store, secrets });
  const maxBodyBytes = config.maxBodyBytes ?? defaultMaxBodyBytes(providers);
  for (const reason of config.warnings) log.warn("settings.questioned", { reason });

  // One chat: who answers for a model, what is remembered, and the way from a body to an answer.
  const { modelAliases, modelFallbacks, circuitBreaker } = config;
  const models = createModelDirectory({ providers, modelAliases, modelFallbacks });
  const sharedCircuits = config.sharesCircuits
    ? createSharedCircuits({ store: sharedStore(store), clock })
    : undefined;
  const upstreams = createUpstreams({ circuitBreaker, clock, log, sharedCircuits });
  const conversations = createConversations<UpstreamAnswer>({ store, clock, log, ttlMs, maxBytes });
  const responses = createResponses<UpstreamAnswer>({
    store,
    clock,
    log,
    ttlMs: config.responses.ttlMs ?? (store.shared ? sharedResponseTtlMs : ttlMs),
    maxBytes: config.responses.maxBytes,
  });
  const allowances = config.sharesLimits
    ? sharedAllowances({ store: countingStore(givenStore), clock, log })
    : localAllowances(clock);
  const bounds = {
    maxBodyBytes,
    findDecoders: typeof bodyDecoders === "function" ? bodyDecoders : () => bodyDecoders,
    bodies: createBodyBudget({
      // One body of the longest kind always has room, and so has that of another key.
      maxBytes: Math.max(config.maxBodiesBytes, 2 * maxBodyBytes),
      isShared: config.apiKeys.length > 1,
    }),
    requestTimeoutMs: config.requestTimeoutMs,
    totalTimeoutMs: config.totalTimeoutMs,
    clock,
  };
  const chat = createExchange({
    ...bounds,
    models,
    upstreams,
    conversations,
    responses,
    sessionHeaders,
    isMemoryUnshared: hosted && !store.shared,
    // Known without a look at the list, which may wait for an upstream.
    defaultModel: config.defaultModel ?? (options.providers ? undefined : firstModel(config)),
    mayPassResponses: providers.some(({ askResponses }) => askResponses !== undefined),
    remembersGuessable: config.access !== "open" || config.sessions.areOpen,
    stream: config.stream,
    tokenBudget: hasTokenBudget(config) ? createTokenBudget(allowances) : undefined,
    hide: secrets.hide,
    log,
  });

  // What stands around it: routes, keys, cross-origin rules, limits, and the facts of each request.
  const { app, access, apiKeys, corsOrigins } = config;
  const metrics = createMetrics();
  const recentRequests = createRecentRequests(clock);
  const onRequest = harmless(options.onRequest, log);
  const onError = harmless(options.onError, log);
  const crossOrigin = cors({
    corsOrigins,
    access,
    onRefused: (origin, next) => log.warn("origin.refused", { origin, next }),
  });
  const deps: DialectDeps = {
    chat,
    read: createBodyReader(bounds),
    models: ({ request, caller }) =>
      models.list({ signal: request.signal, log, only: caller.limits?.models }),
    async model(id, { request, caller }) {
      const route = await models.find(id, { signal: request.signal, log, only: caller.limits?.models });
      if (route.listError) throw route.listError;
      return { id, ...route };
    },
    responses,
    askResponses: createAskResponses({ ...bounds, providers, log }),
  };
  const handle = createRouter({
    routes: [
      ...dialects.flatMap(({ encodeError, headers, ...dialect }) =>
        dialect.routes(deps).map((route) => ({ ...route, encodeError, ...(headers && { headers }) })),
      ),
      ...withPages(
        gatewayRoutes({
          app,
          access,
          models,
          upstreams,
          providerCount: providers.length,
          storeHealth: watched,
          conversations,
          sessionHeaders,
          metrics,
          recentRequests,
          hosted,
          log,
        }),
        config.pages ? (options.pages ?? []) : [],
      ),
    ],
    encodeError: openAiChat.encodeError,
    hide: secrets.hide,
    authorize: accessControl({ access, apiKeys, corsOrigins, cors: crossOrigin, clock }),
    cors: crossOrigin,
    rateLimit: hasRateLimit(config) ? createRateLimit(config.requestsPerMinute, allowances) : undefined,
    clock,
    onRequest(facts, error) {
      metrics.observe(facts);
      recentRequests.add(facts);
      report(log, facts);
      if (error !== undefined && toApiError(error).code === "internal_error") {
        log.error("request.crashed", { requestId: facts.requestId, error: describe(error) });
        onError(error, facts);
      }
      onRequest(facts);
    },
  });

  return {
    providers,
    store: givenStore,
    fetch: handle,
    async warmUp() {
      await Promise.all(providers.map((provider) => provider.warmUp?.({ log })));
    },
    async close() {
      await store.close?.();
    },
  };
}

const hasRateLimit = ({ requestsPerMinute, apiKeys }: Config): boolean =>
  requestsPerMinute > 0 || apiKeys.some(({ limits }) => limits?.rpm);

const hasTokenBudget = ({ apiKeys }: Config): boolean => apiKeys.some(({ limits }) => limits?.tokensPerDay);

/** The store, as one that other instances see. Throws ConfigError. */
function sharedStore(store: SessionStore): SessionStore {
  if (store.shared) return store;
  throw new ConfigError([
    `CIRCUIT_SHARED is on, and the store is ${store.name}, which no other instance sees: set SESSION_STORE to another one`,
  ]);
}

/** The store, as one that counts. Throws ConfigError. */
function countingStore(store: SessionStore): Required<Pick<SessionStore, "name" | "spend">> {
  const { name, spend } = store;
  if (spend !== undefined) return { name, spend: (key, spending) => spend.call(store, key, spending) };
  throw new ConfigError([
    `RATE_LIMIT_SHARED is on, and the store is ${name}, which does not count for several instances: set SESSION_STORE to redis, redis-rest, durable-object, deno-kv or sqlite`,
  ]);
}

/** The line of a request: the operator's trouble is an error, what was refused for being too much a warning. */
function report(log: Logger, facts: RequestFacts): void {
  const { status, code } = facts;
  // A stream that fails has begun with 200.
  const kind = code === undefined ? status : Math.max(status, errorTable[code as ErrorCode].status);
  if (kind >= 500) log.error("request.finished", facts);
  else if (kind === 429 || code?.startsWith("upstream_")) log.warn("request.finished", facts);
  else log.info("request.finished", facts);
}

const allDialects: readonly Dialect[] = [
  openAiChat,
  openAiResponses,
  openAiCompletions,
  anthropicMessages,
  ollama,
];

/** Room for a few photos in base64 where a provider takes them; text alone is never so long. */
const defaultMaxBodyBytes = (providers: readonly Provider[]): number =>
  (providers.some(({ takesAttachments }) => takesAttachments) ? 32 : 4) * 1024 * 1024;

/** Everyone who answers, as the settings have it. */
function configuredProviders(
  config: Config,
  shared: {
    readonly fetch: Fetch;
    readonly clock: Clock;
    readonly store: SessionStore;
    readonly secrets: Secrets;
  },
): Provider[] {
  const { fetch, clock, store, secrets } = shared;
  const holdOff = config.circuitBreaker ? {} : { holdOffMs: 0 };
  return allUpstreams(config).map((upstream) =>
    upstream.kind === "wordpress-chat"
      ? createSiteProvider(upstream, { ...holdOff, fetch, clock, store, onSecret: secrets.add })
      : openAiCompatible({ ...upstream, fetch, clock }),
  );
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
