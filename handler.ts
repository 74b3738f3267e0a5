/**
 * The public face of the gateway, all of it: `createHandler`, what it can be made of, and the types of every seam. The
 * default export configures itself from the environment on its first request, so that `bun handler.ts`,
 * `deno serve -A handler.ts` and a Worker run it. docs/embedding.md shows it inside other applications.
 */
import { findConversations, findEnvironment, findOpenKv, isWorkerContext } from "./adapters/runtime.ts";
import { selfConfiguring } from "./adapters/self-configuring.ts";
import type { DenoKv } from "./core/stores/deno-kv.ts";
import type { DurableObjectNamespace } from "./core/stores/durable-object.ts";

export {
  type Config,
  ConfigError,
  type ConfigOptions,
  type Environment,
  parseConfig,
} from "./core/config/config.ts";
export { anthropicMessages } from "./core/dialects/anthropic-messages.ts";
export { ollama } from "./core/dialects/ollama.ts";
export { openAiChat } from "./core/dialects/openai-chat.ts";
export { openAiCompletions } from "./core/dialects/openai-completions.ts";
export { openAiResponses } from "./core/dialects/openai-responses.ts";
export { ApiError, type ApiErrorOptions, type ErrorCode } from "./core/errors.ts";
export { createHandler, type Handler, type HandlerOptions } from "./core/gateway.ts";
export type { FetchContext } from "./core/http/keep-work-alive.ts";
export type { Page, Pages } from "./core/http/pages.ts";
export type { Access, NamedKey } from "./core/http/settings.ts";
export { createLogger, type LoggerOptions, type LogLevel } from "./core/operations/log.ts";
export type { NamedModel } from "./core/providers/openai-compatible/listed-models.ts";
export {
  type OpenAiCompatibleOptions,
  openAiCompatible,
} from "./core/providers/openai-compatible/provider.ts";
export type { UpstreamSettings } from "./core/providers/openai-compatible/settings.ts";
export type { PresetParts, SiteProtocol } from "./core/providers/wordpress-chat/preset.ts";
export type { PresetName } from "./core/providers/wordpress-chat/presets/presets.ts";
export {
  type KimiWebOptions,
  kimiWeb,
  type WordpressChatOptions,
  wordpressChat,
} from "./core/providers/wordpress-chat/provider.ts";
export type { PromptLabels, SiteModel, SiteSettings } from "./core/providers/wordpress-chat/settings.ts";
export { type DenoKv, type DenoKvStoreOptions, denoKvStore } from "./core/stores/deno-kv.ts";
export {
  Conversations,
  type DurableObjectNamespace,
  type DurableObjectState,
  type DurableObjectStoreOptions,
  durableObjectStore,
} from "./core/stores/durable-object.ts";
export { type MemoryStoreOptions, memoryStore } from "./core/stores/memory.ts";
export { type NetlifyBlobsStoreOptions, netlifyBlobsStore } from "./core/stores/netlify-blobs.ts";
export { type RedisConnection, type RedisStoreOptions, redisStore } from "./core/stores/redis.ts";
export { type RedisRestStoreOptions, redisRestStore } from "./core/stores/redis-rest.ts";
export type { StoreName, StoreSettings } from "./core/stores/settings.ts";
export {
  type SqliteDatabase,
  type SqliteStatement,
  type SqliteStoreOptions,
  sqliteStore,
} from "./core/stores/sqlite.ts";
export type * from "./core/types.ts";
export { pages } from "./web/pages.generated.ts";

/** For `bun handler.ts`, `deno serve -A handler.ts` and Workers, all of which can be reached from outside. */
export default {
  ...selfConfiguring((env, context) => {
    const openKv = findOpenKv<DenoKv>();
    return {
      environment: findEnvironment(env, context),
      exposed: true,
      hosted: isWorkerContext(context),
      preferredStores: openKv === undefined ? ["redis-rest", "durable-object"] : ["deno-kv"],
      drivers: { openKv, conversations: findConversations<DurableObjectNamespace>(env) },
    };
  }),
  /** Seconds of silence after which Bun would cut an answer that is not streamed; the most that it knows. */
  idleTimeout: 255,
};
