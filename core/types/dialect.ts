/** The seam of dialects: what clients speak, and the routes where they do. */
import type { ApiError } from "../errors.ts";
import type { ChatMessage, ChatPrompt, FinishReason, UpstreamEvent, Usage } from "./chat.ts";
import type { ChatFacts } from "./facts.ts";
import type { Clock, JsonObject, MaybePromise } from "./platform.ts";
import type { Model, Provider, ResponsesCall } from "./provider.ts";

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
  /** The whole answer as the upstream sent it, where it came in one event: of a stream of Responses the last one. */
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
  readonly clock: Pick<Clock, "now">;
  readonly requestId: string;
  /** Whether the events may be an upstream's own, with its own ids: none of the gateway's may go out before them. */
  readonly mayBeNative?: boolean;
}

/** What is kept of an answer that can be had again by its id. */
export interface AnswerRecord {
  /** The response as JSON, but for its output. */
  readonly response: string;
  /** Its items, which are JSON objects. */
  readonly output: readonly object[];
  /** The same items as JSON. */
  readonly outputJson: readonly string[];
}

/** Writes one answer in a client's format. It keeps what it has sent, so that the last event can hold the whole answer. */
export interface AnswerEncoder {
  /** The Content-Type of a stream; by default that of server-sent events. */
  readonly streamType?: string;
  /** The body of a whole answer. */
  whole(answer: Answer, usage: Usage): string;
  /** The answer as it is kept by its id; for dialects whose memory is of the kind "response". */
  record?(answer: Answer, usage: Usage): AnswerRecord;
  /** The first bytes of a stream whose first event is still awaited. */
  open(): string;
  /** The events for one of the upstream's; "" when it has nothing for the client. */
  event(event: UpstreamEvent): string;
  /** A remark that clients skip; "" where the format has none. */
  comment(text: string): string;
  /** What goes out in a silence, which has lasted for `silentMs` milliseconds. */
  keepAlive(silentMs: number): string;
  /**
   * The last events of a stream that went well; `countTokens` is called where they tell of tokens. Throws ApiError for an
   * answer that the format can't say.
   */
  close(answer: Answer, countTokens: () => Usage): string;
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

/** A turn that goes on from a stored answer, or is to be stored as one. */
export interface ResponseMemory {
  readonly kind: "response";
  /** The id of the answer that this turn goes on from. */
  readonly previous?: string;
  /** Whether the answer is to be had again by its id. */
  readonly store: boolean;
  /** What the client has sent, each item with its type; `item_reference` stands for a stored item. */
  readonly input: readonly JsonObject[];
  /** Items as they are kept and listed, each with an id; `id` is that of the answer, of 32 hexadecimal digits. */
  identify(items: readonly JsonObject[], id: string): readonly JsonObject[];
  /** What the model reads before all items. */
  readonly instructions: readonly ChatMessage[];
  /**
   * Items of a chain, the oldest first, as what the model reads. They are "past" where a message of the user comes after
   * them, and "present" where they go up to the newest one.
   */
  toMessages(items: readonly JsonObject[], time: "past" | "present"): readonly ChatMessage[];
}

/** An answer that the gateway keeps by its id. */
export interface StoredResponse {
  readonly kind: "stored";
  /** As the client got it. */
  readonly response: JsonObject;
  /** The items of its own turn, with ids; references have been resolved. */
  readonly input: readonly JsonObject[];
}

/** An answer that the upstream keeps which has made it. */
export interface HeldResponse {
  readonly kind: "held";
  /** The name of its provider. */
  readonly provider: string;
  /** The model that was asked for. */
  readonly model: string;
}

/** The answers that are kept; each caller sees its own. */
export interface StoredResponses {
  /** Throws ApiError response_not_found or session_store_unavailable. */
  find(id: string, caller: Caller): Promise<StoredResponse | HeldResponse>;
  /** Throws ApiError session_store_unavailable. */
  forget(id: string, caller: Caller): Promise<void>;
  /** All items that a turn's model reads, or the provider whose upstream keeps them. Throws ApiError. */
  items(
    memory: ResponseMemory,
    caller: Caller,
  ): Promise<{ readonly items: readonly JsonObject[]; readonly heldBy?: HeldBy | undefined }>;
}

/** Who keeps what a request refers to by ids: the gateway, or an upstream, by the name of its provider. */
export type HeldBy =
  | { readonly kind: "gateway" }
  | {
      readonly kind: "upstream";
      readonly provider: string;
      readonly param: "previous_response_id" | "input";
    };

/** A client's call as its dialect read it. */
export interface DialectCall {
  /** The model asked for; absent means the default one. */
  readonly model?: string;
  readonly prompt: ChatPrompt;
  /** Whether the turn may belong to a conversation that the gateway keeps; `user` is the client's name for its end user. */
  readonly memory:
    | { readonly kind: "none" }
    | { readonly kind: "session"; readonly user?: string }
    | ResponseMemory;
  encoder(head: AnswerHead): AnswerEncoder;
}

/** What one API key may do, where it may not do everything. */
export interface KeyLimits {
  /** Requests a minute, in place of RATE_LIMIT_RPM; 0 for no limit. */
  readonly rpm?: number | undefined;
  /** Tokens of prompts and answers within 24 hours. */
  readonly tokensPerDay?: number | undefined;
  /** The models that it may use, by any of their names; the first one is for requests that name none. */
  readonly models?: readonly string[] | undefined;
  /** Milliseconds since the epoch; from then on it is refused. */
  readonly expiresAtMs?: number | undefined;
}

/** Who calls. */
export interface Caller {
  /** The name of the API key, for the log. */
  readonly name: string;
  /** The API key; "" on a server without keys. */
  readonly key: string;
  readonly limits?: KeyLimits;
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
  readonly provider: Pick<Provider, "name" | "askResponses">;
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
  readonly responses: StoredResponses;
  /** Asks the upstream of the provider of that name about responses that it keeps. Throws ApiError. */
  askResponses(routed: RoutedRequest, provider: string, call: ResponsesCall): Promise<JsonObject>;
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
