/**
 * Every seam of the gateway, and nothing else. A dialect (what clients speak) and a provider (code that asks one
 * upstream) meet only in `ChatRequest` and `UpstreamEvent`; adapters hand in what touches the world.
 */
import type { ApiError } from "./errors.ts";

export type MaybePromise<T> = T | Promise<T>;

export type JsonObject = Readonly<Record<string, unknown>>;

/** A JSON Schema: an object, or `true` for anything and `false` for nothing. */
export type JsonSchema = JsonObject | boolean;

/** Where time comes from; tests hand in one of their own. */
export interface Clock {
  /** The wall clock: milliseconds since the epoch. For points in time only, as it jumps when the machine's time is set. */
  now(): number;
  /** Whole milliseconds since an unnamed moment. For durations and deadlines within the process: it never goes back. */
  monotonic(): number;
  /** Runs `task` once after `delayMs`; the function returned cancels it. */
  schedule(task: () => void, delayMs: number): () => void;
}

/** The part of `fetch` that the gateway uses. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/**
 * Decodes a whole compressed body. Resolves to undefined as soon as that has more than `maxBytes` bytes; rejects where
 * the bytes are not in the coding.
 */
export type BodyDecoder = (bytes: Uint8Array, maxBytes: number) => Promise<Uint8Array | undefined>;

/** By the name that Content-Encoding has for the coding, such as "gzip". */
export type BodyDecoders = Readonly<Record<string, BodyDecoder>>;

/** A record of plain facts. Never a key, a cookie, a nonce or the text of a message. */
export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>;

export interface Logger {
  debug(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields): void;
  /** Whether lines of a level are written at all; absent means yes. Spares the work for lines that are not. */
  writes?(level: "debug" | "info" | "warn" | "error"): boolean;
}

export type Role = "system" | "developer" | "user" | "assistant" | "tool" | "function";

/** A part of a message that is not text. */
export interface Attachment {
  /** The part's type in Chat Completions' words, such as "image_url" or "file". */
  readonly type: string;
  /** A file's name, where the client gave one. */
  readonly name?: string;
}

/** A call of a tool that a model has made. */
export interface ToolCall {
  readonly id: string;
  readonly name: string;
  /** JSON text, as the model wrote it. */
  readonly arguments: string;
  /** Fields that are not modelled, by their Chat Completions names. */
  readonly fields?: JsonObject;
}

/**
 * One message of a chat. Chat Completions' message shape is the lingua franca of upstreams, so a message travels as it
 * was written (`native`); what every provider needs is lifted out of it.
 */
export interface ChatMessage {
  /** Of a role that is none of these, such as `control`, "system"; `native` has its own word. */
  readonly role: Role;
  /** String content, or all text parts joined; "" when there is none. */
  readonly text: string;
  /** The parts that are not text; absent when there are none. */
  readonly attachments?: readonly Attachment[];
  /** The calls of functions that an assistant's message makes; absent when there are none. */
  readonly toolCalls?: readonly ToolCall[];
  /** The call that a tool's message answers. */
  readonly toolCallId?: string;
  /** The whole message in Chat Completions' shape, for providers that speak it. */
  readonly native: JsonObject;
}

/** The upstream's view of a conversation: the same for every turn of it, fresh for a stateless call. */
export interface ConversationRef {
  /** Nine random characters of a-z and 0-9. */
  readonly id: string;
  /** Milliseconds since the epoch. */
  readonly startedAtMs: number;
  /** What an earlier turn's `ProviderAnswer.summarize` made, where the gateway keeps the conversation. */
  readonly summary?: ConversationSummary;
}

/** The older part of a conversation in few words. */
export interface ConversationSummary {
  readonly text: string;
  /** How many of the newest messages, system texts apart, it does not cover. */
  readonly recentMessages: number;
}

/** A function that the model may call. Tools of other kinds travel in `ChatPrompt.native` alone. */
export interface ToolDefinition {
  readonly name: string;
  readonly description?: string;
  readonly parameters?: JsonSchema;
  readonly strict?: boolean;
}

export type ToolChoice = "auto" | "none" | "required" | { readonly tool: string };

export type ResponseFormat =
  | "text"
  | "json_object"
  | { readonly name?: string; readonly description?: string; readonly schema: JsonSchema };

/** What a dialect understood of a request: all that a provider gets, but for model and conversation. */
export interface ChatPrompt {
  readonly messages: readonly ChatMessage[];
  readonly stream: boolean;
  /** Texts that end the reply. */
  readonly stop: readonly string[];
  /** The most tokens that the reply may have, as the client wrote it: 0 and -1 mean something to some upstreams. */
  readonly maxTokens?: number;
  /** How many replies are wanted (`n`). */
  readonly choices: number;
  /** The functions on offer; empty when there are none. */
  readonly tools: readonly ToolDefinition[];
  readonly toolChoice: ToolChoice;
  /** Whether one reply may call several tools. */
  readonly parallelToolCalls: boolean;
  readonly responseFormat: ResponseFormat;
  /** Whether token counts are wanted; a provider that must estimate them spares itself the work otherwise. */
  readonly usage: boolean;
  /**
   * The request's body in Chat Completions' shape, for providers that speak it. They replace in it what the gateway
   * decides (model, messages, stream) and send the rest on untouched.
   */
  readonly native: JsonObject;
  /**
   * The body as a client of the older Completions sent it, where one did: for providers whose upstreams have that route.
   * `messages` and `native` say it as well as a chat can.
   */
  readonly completion?: JsonObject;
}

export interface ChatRequest extends ChatPrompt {
  /** The model's id at the provider. */
  readonly model: string;
  readonly conversation: ConversationRef;
}

export type FinishReason = "stop" | "length" | "tool_calls" | "content_filter" | "function_call";

/** Token counts. */
export interface Usage {
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly totalTokens: number;
  /** Prompt tokens that the upstream had in its cache. */
  readonly cachedTokens?: number;
  /** Completion tokens that were reasoning. */
  readonly reasoningTokens?: number;
  /** Further fields of an upstream's usage object, by their Chat Completions names. */
  readonly details?: JsonObject;
}

/** One piece of an answer's meaning. `choice` is the index of the reply when several were asked for; absent means 0. */
export type StreamPart =
  | { readonly type: "text-delta"; readonly choice?: number; readonly delta: string }
  | { readonly type: "reasoning-delta"; readonly choice?: number; readonly delta: string }
  | { readonly type: "refusal-delta"; readonly choice?: number; readonly delta: string }
  | {
      readonly type: "tool-call-delta";
      readonly choice?: number;
      /** The call's place in the reply, from 0 on. */
      readonly index: number;
      /** In the first part of a call only, as `name`. */
      readonly id?: string;
      readonly name?: string;
      /** The next piece of the arguments' JSON text. */
      readonly delta: string;
      /** Fields that are not modelled, such as Gemini's thought signature, which it wants to see again. */
      readonly fields?: JsonObject;
    }
  | {
      /** Ends one choice. */
      readonly type: "finish";
      readonly choice?: number;
      readonly reason: FinishReason;
      /** The text of `stop` that ended the reply, where that is known. */
      readonly stopSequence?: string;
    }
  | { readonly type: "usage"; readonly usage: Usage };

/**
 * One event of an upstream: what it means and, where it came in a format that clients speak too, the event as it was. A
 * dialect of that format passes the event on, mended only where its schema or a promise needs it; memory, usage, metrics
 * and every other dialect read `parts`. So nothing that a vendor sends is renamed, moved or lost on the way.
 */
export interface UpstreamEvent {
  readonly parts: readonly StreamPart[];
  readonly native?: {
    readonly format: "chat-completions";
    /** Whether it is a whole answer, with a `message` in each choice; else a chunk of a stream, with a `delta`. */
    readonly isWhole: boolean;
    readonly event: JsonObject;
    /** An earlier event of the stream that differs from this one in the text of its only delta, and in nothing else. */
    readonly like?: JsonObject;
  };
}

/** How the conversation was made to fit the model. */
export interface ContextReport {
  /** Messages that were left out, the oldest first. */
  readonly droppedMessages: number;
  /** Messages of which a part was left out; 0 by default. */
  readonly shortenedMessages?: number;
  /** Present where the model itself was to put long texts in fewer words. */
  readonly condensed?: CondensedReport;
}

/** What became of the texts that were to be condensed, all together. Sizes are in code points. */
export interface CondensedReport {
  readonly fromChars: number;
  readonly toChars: number;
  /** Calls that it took; 0 where all was known from earlier requests. */
  readonly calls: number;
  /** Whether a call failed, so that a text was shortened instead. */
  readonly failed: boolean;
}

/** An answer that has begun. */
export interface ProviderAnswer {
  /**
   * The events in the order in which the upstream sent them; those that arrived together come together. The last ones
   * hold a `finish` for each choice and, where it is known, `usage`. Returning the iterator early ends the upstream call.
   */
  readonly events: AsyncIterable<readonly UpstreamEvent[]>;
  /** Absent where every message was sent as it was. */
  readonly context?: ContextReport;
  /** HTTP calls that it took to get here; 1 by default. */
  readonly calls?: number;
  /** Whether the upstream has sent everything already, so that another call may have its slot. */
  readonly isComplete?: boolean;
  /**
   * Summarises what did not fit, for the conversation's next turn; undefined where there is nothing to add. Called only
   * for conversations that the gateway keeps, once the answer has gone out.
   */
  summarize?(context: ProviderContext): Promise<ConversationSummary | undefined>;
}

export interface ProviderContext {
  /** Aborts when the client has left or time is up; its `reason` is then the error to throw. */
  readonly signal: AbortSignal;
  readonly requestId: string;
  readonly log: Logger;
  /** When the request's time is over, by the monotonic clock; absent for no limit. */
  readonly deadlineMs?: number;
  /** A further slot among the calls that may run at once, if one is free now; absent means that there always is. */
  extraSlot?(): { release(): void } | undefined;
}

export interface Model {
  readonly id: string;
  /** Other names by which the model may be asked for; not listed. */
  readonly aliases?: readonly string[];
  /** Seconds since the epoch; constant. */
  readonly createdAt: number;
  /** About how many tokens a prompt may have, where that is known. */
  readonly contextTokens?: number;
}

/** Asks one upstream. */
export interface Provider {
  /** Short and unique, of a-z, 0-9, "-" and "_"; shown as `owned_by`. */
  readonly name: string;
  /** The most calls at once; absent or 0 for no limit. */
  readonly maxConcurrency?: number;
  /** The most remembered messages that can matter to it: of longer histories it gets the newest turns. Absent for no limit. */
  readonly maxHistoryMessages?: number;
  /** Whether its rate limit is one for all callers of the gateway, as a site's by address is. */
  readonly sharesRateLimit?: boolean;
  /**
   * How many milliseconds a stream's headers wait for the first event, so that a failure keeps its true status; 5,000 by
   * default. The setting STREAM_COMMIT_MS wins.
   */
  readonly streamCommitMs?: number;
  /** Whether messages may have images and files, so that requests are long. */
  readonly takesAttachments?: boolean;
  /** Whether `provider/id` may be asked for although the list does not have it. */
  readonly takesUnlistedModels?: boolean;
  /** The models on offer; called for every request, so it caches what costs. */
  models(context: Pick<ProviderContext, "signal" | "log">): MaybePromise<readonly Model[]>;
  /** Throws ApiError for a request that it could never answer; called first, so that this shows in an outage too. */
  check?(request: ChatRequest): void;
  /** Asks the upstream; resolves once it has begun to answer. Throws ApiError. */
  answer(request: ChatRequest, context: ProviderContext): Promise<ProviderAnswer>;
  /** Does ahead of time what the first request would wait for. Never throws. */
  warmUp?(context: Pick<ProviderContext, "log">): Promise<void>;
}

/** A stored value and the version that a conditional write must name. */
export interface StoredValue {
  readonly value: string;
  readonly version: string;
}

/** Keeps short texts by key for a while, with compare-and-set. */
export interface SessionStore {
  readonly name: string;
  /** Whether other instances of the gateway see the same values. */
  readonly shared: boolean;
  get(key: string): MaybePromise<StoredValue | undefined>;
  /**
   * Writes `value` for `ttlMs`. With `ifVersion` only if that is still the stored version, `null` meaning "only if
   * absent". Resolves to the new version, or undefined if it was not so. `owner` stands for the API key whose value it is:
   * a store with a bound lets no owner push out what others hold.
   */
  set(
    key: string,
    value: string,
    options: {
      readonly ttlMs: number;
      readonly ifVersion?: string | null;
      readonly owner?: string | undefined;
    },
  ): MaybePromise<string | undefined>;
  delete(key: string): MaybePromise<void>;
  close?(): MaybePromise<void>;
}

/** A reply that is being put together from its parts. */
export interface Reply {
  text: string;
  reasoning: string;
  refusal: string | undefined;
  readonly toolCalls: { id: string; name: string; arguments: string; fields?: Record<string, unknown> }[];
  finishReason: FinishReason | undefined;
  stopSequence: string | undefined;
  /** Fields of the message, the choice and the answer that are not modelled, by their Chat Completions names. */
  readonly messageFields: Record<string, unknown>;
  readonly choiceFields: Record<string, unknown>;
}

/** An answer, put together from its events: one reply for each choice. */
export interface Answer {
  readonly replies: Reply[];
  readonly fields: Record<string, unknown>;
  usage: Usage | undefined;
  /** The whole answer as the upstream sent it, where it came in one event. */
  native: UpstreamEvent["native"];
}

/** What the client sees of an answer beside its events. */
export interface AnswerHead {
  /** 32 random hex digits; a dialect puts its own prefix before it. */
  readonly id: string;
  /** The model's id: the one that was asked for. */
  readonly model: string;
  /** Milliseconds since the epoch. */
  readonly createdAtMs: number;
  readonly requestId: string;
}

/** Writes one answer in a client's format. It keeps what it has sent, so that the last event can hold the whole answer. */
export interface AnswerEncoder {
  /** The Content-Type of a stream; by default that of server-sent events. */
  readonly streamType?: string;
  /** The body of a whole answer. */
  whole(answer: Answer, usage: Usage): string;
  /** The first bytes of a stream whose first event is still awaited. */
  open(): string;
  /** The events for one of the upstream's; "" when it has nothing for the client. */
  event(event: UpstreamEvent): string;
  /** A remark that clients skip; "" where the format has none. */
  comment(text: string): string;
  /** What goes out in a silence. */
  keepAlive(): string;
  /** The last events of a stream that went well. Throws ApiError for an answer that the format can't say. */
  close(answer: Answer, usage: Usage): string;
  /** The last events of a stream that failed. */
  fail(error: ApiError): string;
}

/** What a dialect gets to read. */
export interface DialectInput {
  /** The parsed JSON body. */
  readonly body: unknown;
  readonly headers: Headers;
  /** What the route's pattern took from the path. */
  readonly params: Readonly<Record<string, string>>;
}

/** A client's call as its dialect read it. */
export interface DialectCall {
  /** The model asked for; absent means the default one. */
  readonly model?: string;
  readonly prompt: ChatPrompt;
  /** Whether the turn may belong to a conversation that the gateway keeps; `user` is the client's name for its end user. */
  readonly memory: { readonly kind: "none" } | { readonly kind: "session"; readonly user?: string };
  encoder(head: AnswerHead): AnswerEncoder;
}

/** Who calls. */
export interface Caller {
  /** The name of the API key, for the log. */
  readonly name: string;
  /** The API key; "" on a server without keys. */
  readonly key: string;
}

/** A request that may enter. */
export interface RoutedRequest {
  readonly request: Request;
  readonly requestId: string;
  readonly caller: Caller;
  /** What the route's pattern took from the path, percent-decoded where it was valid. */
  readonly params: Readonly<Record<string, string>>;
  /** Keeps work alive after the answer, on platforms that would freeze it. */
  waitUntil?(task: Promise<unknown>): void;
  /** Makes a response with the headers that every answer has. */
  respond(
    status: number,
    body: string | ReadableStream<Uint8Array> | null,
    headers?: Readonly<Record<string, string>>,
  ): Response;
  /** 200 with a JSON body. */
  json(body: unknown): Response;
}

/** A response, and what is known once its last byte has gone out. */
export interface ChatResponse {
  readonly response: Response;
  /** Resolves when the answer is over; never rejects. */
  readonly finished: Promise<{ readonly facts: ChatFacts; readonly error?: unknown }>;
}

export interface Route {
  readonly method: "GET" | "POST" | "DELETE";
  /** Without `/v1`: every route is served with and without it. `:name+` takes the rest of the path. */
  readonly path: `/${string}`;
  /** Needs no API key. */
  readonly isPublic?: boolean;
  /** Counts against the rate limit. */
  readonly isLimited?: boolean;
  /** Whether it answers a request with these headers; the next route of the same path does otherwise. */
  matches?(headers: Headers): boolean;
  handle(routed: RoutedRequest): MaybePromise<Response | ChatResponse>;
}

/** A model that clients may ask for. */
export interface OfferedModel {
  /** By which it is asked for. */
  readonly id: string;
  readonly model: Model;
  readonly provider: Pick<Provider, "name">;
}

/** What a dialect's routes are made of. */
export interface DialectDeps {
  /** The models on offer. */
  models(routed: RoutedRequest): Promise<readonly OfferedModel[]>;
  /** One of them, by any of its names. Throws ApiError model_not_found. */
  model(id: string, routed: RoutedRequest): Promise<OfferedModel>;
  /** Reads the body of a request that no model is asked for. */
  read(routed: RoutedRequest): Promise<DialectInput>;
  /** Answers one chat request: reads the body, has it parsed, finds the model, asks, and encodes the answer. */
  chat(routed: RoutedRequest, parse: (input: DialectInput) => DialectCall): Promise<ChatResponse>;
}

/** A wire format that clients speak. */
export interface Dialect {
  readonly name: string;
  routes(deps: DialectDeps): readonly Route[];
  /** Headers that every answer of its routes has. */
  headers?(requestId: string): Readonly<Record<string, string>>;
  /**
   * The body of a failure, in the format's own shape, and headers that only this format has. `status` is given where the
   * format has another one than the error.
   */
  encodeError(
    error: ApiError,
    requestId: string,
  ): {
    readonly status?: number;
    readonly body: unknown;
    readonly headers?: Readonly<Record<string, string>>;
  };
}

/** The facts of one chat, for the log, metrics and hooks. Never a key or the text of a message. */
export interface ChatFacts {
  readonly model?: string | undefined;
  readonly provider?: string | undefined;
  /** Whether no list has the model, so that its name is the client's; absent where one has it. */
  readonly unlisted?: true | undefined;
  readonly stream?: boolean | undefined;
  /** Milliseconds until the provider's first event. */
  readonly firstPartMs?: number | undefined;
  /** Milliseconds spent waiting for the upstream. */
  readonly upstreamMs?: number | undefined;
  /** Calls made to upstreams. */
  readonly attempts?: number | undefined;
  readonly charsIn?: number | undefined;
  readonly charsOut?: number | undefined;
  readonly droppedMessages?: number | undefined;
  readonly shortenedMessages?: number | undefined;
  /** Which kind of name the conversation has; absent for a stateless request. */
  readonly session?: "session" | "user" | undefined;
  /** Milliseconds spent with the session store. */
  readonly storeMs?: number | undefined;
  /** Whether the answer is one given before, or one under way for another request, to the same question. */
  readonly replayed?: boolean | undefined;
  /** The provider and model that were asked first, where another one had to answer. */
  readonly fallbackFrom?: string | undefined;
}

/** The facts of one request. */
export interface RequestFacts extends ChatFacts {
  readonly requestId: string;
  readonly method: string;
  /** The route's pattern, such as "/chat/completions"; not the path, which may hold anything. */
  readonly route: string;
  /** The name of the API key. */
  readonly key?: string | undefined;
  readonly status: number;
  /** The error's code. */
  readonly code?: string | undefined;
  /** The error's message, without secrets; absent where it may quote the request. */
  readonly reason?: string | undefined;
  /** Milliseconds until the answer's last byte was handed over. */
  readonly ms: number;
}
