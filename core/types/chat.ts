/** What dialects and providers say to each other: a chat, and the events of its answer. */
import type { ApiError } from "../errors.ts";
import type { JsonObject, JsonSchema } from "./platform.ts";

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
  /**
   * The body as a client of Responses sent it, where one did: for providers whose upstreams speak that themselves, and keep
   * what its ids stand for. `messages` and `native` say it as well as a chat can.
   */
  readonly response?: JsonObject | undefined;
  /** Why a chat can't say it: thrown where it has to be asked as one. `messages` is empty then. */
  readonly unsayable?: ApiError;
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

/** An event as an upstream of Chat Completions sent it. */
export interface NativeChatEvent {
  readonly format: "chat-completions";
  /** Whether it is a whole answer, with a `message` in each choice; else a chunk of a stream, with a `delta`. */
  readonly isWhole: boolean;
  readonly event: JsonObject;
  /** An earlier event of the stream that differs from this one in the text of its only delta, and in nothing else. */
  readonly like?: JsonObject;
}

/** An event as an upstream sent it that speaks Responses itself. */
export interface NativeResponseEvent {
  readonly format: "responses";
  /** The name of the provider, where its ids mean something. */
  readonly provider: string;
  /** Whether it is a response; else an event of a stream, with a `type`. */
  readonly isWhole: boolean;
  readonly event: JsonObject;
  /** The event as text, in one line. */
  readonly json: string;
}

/**
 * One event of an upstream: what it means and, where it came in a format that clients speak too, the event as it was. A
 * dialect of that format passes the event on, mended only where its schema or a promise needs it; memory, usage, metrics
 * and every other dialect read `parts`. So nothing that a vendor sends is renamed, moved or lost on the way.
 */
export interface UpstreamEvent {
  readonly parts: readonly StreamPart[];
  readonly native?: NativeChatEvent | NativeResponseEvent;
}
