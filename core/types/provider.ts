/** The seam of providers: code that asks one upstream. */
import type { ChatRequest, ConversationSummary, UpstreamEvent } from "./chat.ts";
import type { JsonObject, Logger, MaybePromise } from "./platform.ts";

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

/** What is asked of an upstream about responses that it keeps. */
export interface ResponsesCall {
  readonly method: "GET" | "POST" | "DELETE";
  /** What comes after `/responses`, such as `/resp_1/input_items?limit=20`. */
  readonly path: string;
  /** `model`, where it has one, is the model's id at the provider. */
  readonly body?: JsonObject;
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
  /**
   * Asks about a response that the upstream keeps. Present where the upstream speaks Responses itself: `answer` then sends
   * `ChatRequest.response` on as it is, and its events are of the format "responses". Throws ApiError.
   */
  askResponses?(call: ResponsesCall, context: ProviderContext): Promise<JsonObject>;
  /** Does ahead of time what the first request would wait for. Never throws. */
  warmUp?(context: Pick<ProviderContext, "log">): Promise<void>;
}
