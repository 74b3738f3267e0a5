/** The shape of the API reference's rows, and of the answers that they name. */
import type * as v from "valibot";
import type { ErrorCode } from "../../core/errors.ts";
import type { Access } from "../../core/http/settings.ts";
import type { JsonObject, JsonSchema } from "../../core/types.ts";
import type { Words } from "../../web/shared/language.ts";

export interface Example {
  readonly name: Words;
  readonly headers?: Readonly<Record<string, string>>;
  /** Absent for requests without a body. */
  readonly body?: JsonObject;
  /** The id of the operation whose first example makes what the path names. */
  readonly needs?: string;
  /** Values for the path's parameters. */
  readonly path?: Readonly<Record<string, string>>;
}

export interface Parameter {
  readonly name: string;
  readonly in: "header" | "path";
  readonly what: Words;
}

export interface Operation {
  readonly method: "GET" | "POST" | "DELETE";
  /** As the router has it, without `/v1`. */
  readonly path: string;
  readonly id: string;
  readonly group: keyof typeof groups;
  readonly summary: Words;
  readonly description: Words;
  readonly isPublic?: boolean;
  readonly parameters?: readonly Parameter[];
  readonly request?: v.GenericSchema;
  /** What the body's fields mean; those without a word are described by their type alone. */
  readonly fields?: Readonly<Record<string, Words>>;
  /** Absent where all that there is is a refusal. */
  readonly success?: {
    readonly status: 200 | 204;
    /** By content type; of a stream, the schema of each event's data. */
    readonly content?: Readonly<Record<string, JsonSchema>>;
    readonly headers?: Readonly<Record<string, Words>>;
  };
  /** Answers with a status of a failure that are none, such as a "not yet", by status. */
  readonly further?: Readonly<Record<number, { readonly what: string; readonly schema: JsonSchema }>>;
  /** Beyond those of keys, and `internal_error`, which all have. */
  readonly errors: readonly ErrorCode[];
  /** Each is sent in a test. */
  readonly examples: readonly Example[];
}

export const groups = {
  chat: ["OpenAI's Chat Completions", "OpenAI 的 Chat Completions"],
  responses: ["OpenAI's Responses", "OpenAI 的 Responses"],
  messages: ["Anthropic's Messages", "Anthropic 的 Messages"],
  completions: ["OpenAI's Completions", "OpenAI 的 Completions"],
  ollama: ["Ollama", "Ollama"],
  models: ["Models", "模型"],
  conversations: ["Conversations", "会话"],
  operators: ["Operators", "运维"],
} satisfies Record<string, Words>;

export const object = (
  properties: Record<string, JsonSchema>,
  required = Object.keys(properties),
): JsonSchema => ({
  type: "object",
  properties,
  required,
});
export const text = { type: "string" };
export const number = { type: "integer" };
export const ref = (name: string) => ({ $ref: `#/components/schemas/${name}` });
const nullable = (schema: JsonSchema) => ({ anyOf: [schema, { type: "null" }] });

/** The shapes of answers. */
export const schemas: Readonly<Record<string, JsonSchema>> = {
  Error: object({
    error: object({ message: text, type: text, param: nullable(text), code: nullable(text) }),
  }),
  AnthropicError: object({ type: { const: "error" }, error: object({ type: text, message: text }) }),
  OllamaError: object({ error: text }),
  Model: object({ id: text, object: { const: "model" }, created: number, owned_by: text }),
  ModelList: object({ object: { const: "list" }, data: { type: "array", items: ref("Model") } }),
  AnthropicModel: object({ type: { const: "model" }, id: text, display_name: text, created_at: text }),
  AnthropicModelList: object({
    data: { type: "array", items: ref("AnthropicModel") },
    has_more: { type: "boolean" },
    first_id: nullable(text),
    last_id: nullable(text),
  }),
  Usage: object({ prompt_tokens: number, completion_tokens: number, total_tokens: number }),
  ChatCompletion: object({
    id: text,
    object: { const: "chat.completion" },
    created: number,
    model: text,
    choices: {
      type: "array",
      items: object({
        index: number,
        message: object(
          { role: { const: "assistant" }, content: nullable(text), reasoning_content: nullable(text) },
          ["role", "content"],
        ),
        finish_reason: text,
      }),
    },
    usage: ref("Usage"),
  }),
  ChatCompletionChunk: object(
    {
      id: text,
      object: { const: "chat.completion.chunk" },
      created: number,
      model: text,
      choices: {
        type: "array",
        items: object(
          {
            index: number,
            delta: object(
              { role: { const: "assistant" }, content: nullable(text), reasoning_content: nullable(text) },
              [],
            ),
            finish_reason: nullable(text),
          },
          ["index", "delta", "finish_reason"],
        ),
      },
      // In the midst of a stream it is the upstream's own.
      usage: { type: ["object", "null"] },
    },
    ["id", "object", "created", "model", "choices"],
  ),
  TextCompletion: object({
    id: text,
    object: { const: "text_completion" },
    created: number,
    model: text,
    choices: { type: "array", items: object({ index: number, text, finish_reason: text }) },
    usage: ref("Usage"),
  }),
  TextCompletionChunk: object(
    {
      id: text,
      object: { const: "text_completion" },
      created: number,
      model: text,
      choices: { type: "array", items: object({ index: number, text, finish_reason: nullable(text) }) },
      usage: nullable(ref("Usage")),
    },
    ["id", "object", "created", "model", "choices"],
  ),
  Message: object({
    id: text,
    type: { const: "message" },
    role: { const: "assistant" },
    model: text,
    content: { type: "array", items: object({ type: text }) },
    stop_reason: nullable(text),
    usage: object({ input_tokens: number, output_tokens: number }),
  }),
  MessageEvent: {
    oneOf: [
      object({ type: { const: "message_start" }, message: ref("Message") }),
      object({
        type: { const: "content_block_start" },
        index: number,
        content_block: object({ type: text }),
      }),
      object({ type: { const: "content_block_delta" }, index: number, delta: object({ type: text }) }),
      object({ type: { const: "content_block_stop" }, index: number }),
      object({
        type: { const: "message_delta" },
        delta: object({ stop_reason: nullable(text) }),
        usage: object({ output_tokens: number }),
      }),
      object({ type: { enum: ["message_stop", "ping"] } }),
    ],
  },
  Response: object({
    id: text,
    object: { const: "response" },
    status: text,
    model: text,
    output: { type: "array", items: object({ type: text }) },
  }),
  ResponseEvent: object({ type: text, sequence_number: number }),
  OllamaChat: object({
    model: text,
    created_at: text,
    message: object({ role: text, content: text }),
    done: { type: "boolean" },
  }),
  Session: object({
    object: { const: "session" },
    messages: { type: "array", items: object({ role: text, content: nullable(text) }, ["role"]) },
    started_at: nullable(number),
    finished_at: nullable(number),
    expires_at: nullable(number),
    keeps_own_history: { type: "boolean" },
  }),
  Health: object({
    status: text,
    version: text,
    sessions: object({ store: text, shared: { type: "boolean" } }),
    upstreams: { type: "array", items: object({ name: text }) },
  }),
  RequestList: object({
    object: { const: "list" },
    started_at: number,
    is_one_of_many: { type: "boolean" },
    data: {
      type: "array",
      items: object({
        at: text,
        requestId: text,
        method: text,
        route: text,
        status: number,
        ms: { type: "number" },
      }),
    },
  }),
  Welcome: object({
    name: text,
    version: text,
    description: text,
    access: { enum: ["keys", "open", "loopback", "unconfigured"] satisfies Access[] },
    links: { type: "object" },
  }),
};

/** A stream's events may end with a failure, and OpenAI's with a word. */
export const eventsOf = (...schemas: readonly JsonSchema[]): JsonSchema => ({ anyOf: schemas });
export const done: JsonSchema = { const: "[DONE]" };

/** What can go wrong with any body. */
export const bodyErrors: readonly ErrorCode[] = [
  "invalid_json",
  "invalid_request",
  "request_timeout",
  "request_too_large",
  "unsupported_encoding",
  "too_many_bodies",
];

/** What can go wrong at any upstream. */
export const upstreamErrors: readonly ErrorCode[] = [
  "upstream_rate_limited",
  "upstream_error",
  "upstream_out_of_credit",
  "upstream_auth_failed",
  "upstream_invalid_response",
  "upstream_unreachable",
  "upstream_unavailable",
  "upstream_nonce_unavailable",
  "upstream_challenge",
  "upstream_timeout",
];

/** What can go wrong with any chat. */
export const chatErrors: readonly ErrorCode[] = [
  ...bodyErrors,
  "unsupported_content",
  "unsupported_parameter",
  "context_length_exceeded",
  "model_not_allowed",
  "model_not_found",
  "idempotency_key_reused",
  "rate_limit_exceeded",
  "token_limit_exceeded",
  "overloaded",
  ...upstreamErrors,
  "upstream_rejected",
  "upstream_message_refused",
  "session_store_unavailable",
];

export const exampleModel = "kimi-k2-instruct-0905";

/** The schemas of a failure, by group; OpenAI's for all others. */
export const errorSchemas: Partial<Record<Operation["group"], JsonSchema>> = {
  messages: ref("AnthropicError"),
  ollama: ref("OllamaError"),
  // Of the dialect that the request's headers speak.
  models: { anyOf: [ref("Error"), ref("AnthropicError")] },
};
