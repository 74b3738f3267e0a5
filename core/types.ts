/**
 * Every seam of the gateway, and nothing else. A dialect (what clients speak) and a provider (who answers)
 * meet only in `ChatRequest` and `StreamPart`; adapters hand in what touches the world.
 */

export type MaybePromise<T> = T | Promise<T>;

/** Where time comes from; tests hand in one of their own. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Runs `task` once after `delayMs`; the function returned cancels it. */
  schedule(task: () => void, delayMs: number): () => void;
}

/** The part of `fetch` that the gateway uses. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** A record of plain facts. Never a key, a cookie, a nonce or the text of a message. */
export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>;

export interface Logger {
  debug(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields): void;
}

export type Role = "system" | "developer" | "user" | "assistant" | "tool" | "function";

/**
 * One message of a chat. Chat Completions' own message shape is the lingua franca of upstreams, so a message
 * travels as it was written; what every provider needs is lifted out of it.
 */
export interface ChatMessage {
  readonly role: Role;
  /** String content, or all text parts joined; "" when there is none. */
  readonly text: string;
  /** The types of the parts that are not text, such as "image_url"; for providers that take only text. */
  readonly attachments?: readonly string[];
  /** The whole message in Chat Completions' shape, for providers that speak it. */
  readonly native: Readonly<Record<string, unknown>>;
}

/** The site's or upstream's view of a conversation: the same for every turn of it, fresh for a stateless call. */
export interface ConversationRef {
  /** Nine random characters of a-z and 0-9. */
  readonly id: string;
  /** Milliseconds since the epoch. */
  readonly startedAtMs: number;
}

/** What a dialect understood of a request; all that a provider is told, but for model and conversation. */
export interface ChatPrompt {
  readonly messages: readonly ChatMessage[];
  readonly stream: boolean;
  /** Up to four texts that end the reply. */
  readonly stop: readonly string[];
  /** The most tokens that the reply may have. */
  readonly maxTokens?: number;
  /** How many replies are wanted (`n`). */
  readonly choices: number;
  readonly toolChoice?: "none" | "auto" | "required" | "named";
  readonly responseFormat?: "text" | "json_object" | "json_schema";
  /** Whether token counts are wanted; a provider that must estimate them spares itself the work otherwise. */
  readonly usage: boolean;
  /**
   * The request's body as Chat Completions has it, for providers that speak it. They replace in it what the
   * gateway decides (model, messages, stream) and send the rest on untouched.
   */
  readonly native: Readonly<Record<string, unknown>>;
}

export interface ChatRequest extends ChatPrompt {
  /** The model's id at the provider. */
  readonly model: string;
  readonly conversation: ConversationRef;
}

export type FinishReason = "stop" | "length" | "tool_calls" | "content_filter" | "function_call";

/** Token counts as OpenAI has them; `details` are passed on as they came. */
export interface Usage {
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly totalTokens: number;
  /** Further fields of an upstream's usage object, by their names on the wire. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** One piece of an answer. `choice` is the index of the reply when several were asked for; absent means 0. */
export type StreamPart =
  | { readonly type: "text-delta"; readonly choice?: number; readonly delta: string }
  | { readonly type: "reasoning-delta"; readonly choice?: number; readonly delta: string }
  | { readonly type: "refusal-delta"; readonly choice?: number; readonly delta: string }
  | {
      readonly type: "tool-call-delta";
      readonly choice?: number;
      readonly index: number;
      readonly id?: string;
      readonly name?: string;
      /** The next piece of the arguments' JSON text. */
      readonly delta: string;
      /** What is not modelled, such as Gemini's thought signature, which it wants to see again. */
      readonly fields?: Readonly<Record<string, unknown>>;
    }
  /** What is not modelled (log probabilities, annotations, audio, …), by its names on the wire. */
  | {
      readonly type: "extension";
      readonly choice?: number;
      /** Where the fields belong: in the message (`delta` of a stream), beside it in the choice, or in the answer itself. */
      readonly scope: "message" | "choice" | "answer";
      readonly fields: Readonly<Record<string, unknown>>;
    }
  /** Ends one choice. */
  | { readonly type: "finish"; readonly choice?: number; readonly reason: FinishReason }
  | { readonly type: "usage"; readonly usage: Usage };

/** A part, or several that came at the same time: passing them on together costs little more than passing on one. */
export type StreamParts = StreamPart | readonly StreamPart[];

/** What a provider tells of its work while it does it; it ends up in response headers, log and metrics. */
export interface Trace {
  /** Calls made to the upstream for this request. */
  attempts: number;
  /** Milliseconds spent waiting for the upstream. */
  upstreamMs: number;
  /** Messages left out so that the rest fits; set before the first part. */
  droppedMessages: number;
  /** The upstream has given all that it will. */
  upstreamDone?: boolean;
}

export interface ProviderContext {
  /** Aborts when the client has left or time is up; its `reason` is then the error to throw. */
  readonly signal: AbortSignal;
  readonly requestId: string;
  readonly log: Logger;
  readonly trace: Trace;
  /**
   * The upstream has given all that it will: another call may take its place while the rest of the answer goes out.
   * What is handed over next is the end, if the answer's last choice has ended by then: no more is asked for. Counts as
   * called when the iterator ends.
   */
  upstreamDone(): void;
}

export interface Model {
  readonly id: string;
  /** Other names by which the model may be asked for; not listed. */
  readonly aliases?: readonly string[];
  /** Seconds since the epoch; constant. */
  readonly createdAt: number;
}

/** Someone who answers chats. */
export interface Provider {
  /** Short and unique, of a-z, 0-9, "-" and "_"; shown as `owned_by`. */
  readonly name: string;
  /** The most calls at once; absent or 0 for no limit. */
  readonly maxConcurrency?: number;
  /** The most remembered messages that can matter to it: of longer histories it is told the newest turns. Absent for no limit. */
  readonly maxRemembered?: number;
  /** Whether its rate limit is one for all callers of the gateway, as a site's by address is. */
  readonly sharesRateLimit?: boolean;
  /** Whether `provider/id` may be asked for although the list does not have it. */
  readonly takesUnlistedModels?: boolean;
  /** The models on offer; called on every listing, so it caches what costs. */
  models(context: Pick<ProviderContext, "signal" | "log">): MaybePromise<readonly Model[]>;
  /** Throws ApiError for a request that it could never answer; asked first, so that this shows in an outage too. */
  check?(request: ChatRequest): void;
  /**
   * Answers one request: parts in order, ending with a `finish` for each choice and, where it is known, `usage`.
   * Throws ApiError. Leaving the iterator early releases the upstream call.
   */
  stream(request: ChatRequest, context: ProviderContext): AsyncIterable<StreamParts>;
  /** Does ahead of time what the first request would wait for. Never throws. */
  warmUp?(): Promise<void>;
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
   * absent". Resolves to the new version, or undefined if it was not so.
   */
  set(
    key: string,
    value: string,
    options: { readonly ttlMs: number; readonly ifVersion?: string | null },
  ): MaybePromise<string | undefined>;
  delete(key: string): MaybePromise<void>;
  close?(): MaybePromise<void>;
}

/** A client's call as its dialect read it. */
export interface DialectCall {
  /** The model asked for; absent means the default one. */
  readonly model?: string;
  /** The client's name for its end user; absent when null or empty. */
  readonly user?: string;
  readonly prompt: ChatPrompt;
}

export interface ToolCall {
  id: string;
  name: string;
  /** JSON text, as the model wrote it. */
  arguments: string;
  /** Extension fields, by their names on the wire. */
  fields?: Record<string, unknown>;
}

/** One reply, put together from its parts. */
export interface Reply {
  text: string;
  reasoning: string;
  refusal: string | undefined;
  readonly toolCalls: ToolCall[];
  finishReason: FinishReason | undefined;
  /** Extension fields of the message, by their names on the wire. */
  readonly messageFields: Record<string, unknown>;
  /** Extension fields of the choice. */
  readonly choiceFields: Record<string, unknown>;
}

/** An answer, put together from its parts: one reply for each choice. */
export interface Answer {
  readonly replies: Reply[];
  /** Extension fields of the answer itself. */
  readonly fields: Record<string, unknown>;
  usage: Usage | undefined;
}

/** What the client is shown of an answer beside its parts. */
export interface Shown {
  /** The model's id: the one that was asked for. */
  readonly model: string;
  /** Milliseconds since the epoch. */
  readonly createdAtMs: number;
}

/** Turns the parts of one answer into the events of a stream. */
export interface StreamEncoder {
  /** The events that open a stream. */
  open(): string;
  /** The events of one part; "" when it has none. */
  event(part: StreamPart): string;
  /** The events that end a stream that went well. */
  close(usage: Usage): string;
}

/** A wire format that clients speak. */
export interface Dialect {
  readonly name: string;
  /** The route, without `/v1`. */
  readonly path: `/${string}`;
  /** Throws ApiError that names the `param`. */
  parse(body: unknown): DialectCall;
  /** The body of a whole answer. */
  encode(answer: Answer, usage: Usage, shown: Shown): string;
  streamEncoder(call: DialectCall, shown: Shown): StreamEncoder;
}

/** The facts of one request, for the log, metrics and hooks. Never a key or the text of a message. */
export type RequestRecord = {
  readonly requestId: string;
  readonly method: string;
  /** The route's pattern, such as "/chat/completions"; not the path, which may hold anything. */
  route: string;
  /** The name of the API key. */
  key?: string | undefined;
  model?: string | undefined;
  provider?: string | undefined;
  stream?: boolean | undefined;
  status: number;
  /** The error's code. */
  code?: string | undefined;
  /** Milliseconds until the provider's first part. */
  firstPartMs?: number | undefined;
  /** Milliseconds until the answer's last byte was handed over. */
  ms: number;
  upstreamMs?: number | undefined;
  attempts?: number | undefined;
  charsIn?: number | undefined;
  charsOut?: number | undefined;
  droppedMessages?: number | undefined;
  /** Which kind of name the conversation has; absent for a stateless request. */
  session?: "session" | "user" | undefined;
  /** Milliseconds spent with the session store. */
  storeMs?: number | undefined;
  /** Whether the answer is one given before, or one under way for another request, to the same question. */
  replayed?: boolean | undefined;
  /** The provider and model that were asked first, where another one had to answer. */
  fallbackFrom?: string | undefined;
};
