/** One chat request, from its body's first byte to its answer's last one. */

import type { Conversations, Turn } from "../conversations/conversations.ts";
import { sessionKey } from "../conversations/session-key.ts";
import { ApiError } from "../errors.ts";
import type { Caller } from "../http/access.ts";
import { parseBody, readBody } from "../http/read-body.ts";
import { encodeSseComment, encodeSseEvent, sseBody, sseStream } from "../http/sse.ts";
import type { FoundModel, ModelDirectory } from "../routing/model-directory.ts";
import type { Asker, Served, Upstreams } from "../routing/upstreams.ts";
import type {
  Answer,
  ChatMessage,
  Clock,
  Dialect,
  DialectCall,
  Logger,
  MaybePromise,
  RequestRecord,
  StreamEncoder,
  StreamParts,
  Trace,
  Usage,
} from "../types.ts";
import { Lifetime, PartReader, settlesWithin } from "../util/abort.ts";
import { estimateTokens } from "../util/estimate-tokens.ts";
import { andThen, isPromise } from "../util/maybe-promise.ts";
import { withoutOldest } from "../util/messages.ts";
import { addPart, emptyAnswer, listParts } from "./collect-answer.ts";

export interface ExchangeOptions {
  readonly models: ModelDirectory;
  readonly upstreams: Upstreams;
  readonly conversations: Conversations;
  /** Whether conversations are kept in one of many short-lived instances, which clients are told of. */
  readonly isMemoryUnshared: boolean;
  /** What a request without a model asks for; by default the first model of the list. */
  readonly defaultModel: string | undefined;
  readonly maxBodyBytes: number;
  /** For the whole request, whatever it tries. */
  readonly requestTimeoutMs: number;
  readonly stream: { readonly commitMs: number; readonly keepAliveMs: number };
  readonly clock: Clock;
  readonly log: Logger;
}

/** A request that has passed the router. */
export interface Inbound {
  readonly request: Request;
  readonly caller: Caller;
  readonly record: RequestRecord;
  /** Makes the response, with the headers that every answer has. */
  respond(
    status: number,
    body: string | ReadableStream<Uint8Array> | null,
    headers?: Record<string, string>,
  ): Response;
  /** The answer goes on after the response has been returned: `finish` is to be called when it is over. */
  defer(): void;
  finish(error?: unknown): void;
}

/** Any thrown value as an error for the client; what is not ours is not shown. */
export const toApiError = (error: unknown): ApiError =>
  error instanceof ApiError
    ? error
    : new ApiError("internal_error", "The gateway failed. Its log has the details.", { cause: error });

const textLength = (texts: readonly { readonly text: string }[]): number => {
  let length = 0;
  for (const { text } of texts) length += text.length;
  return length;
};

const isFinished = ({ replies }: Answer): boolean =>
  replies.length > 0 && replies.every(({ finishReason }) => finishReason !== undefined);

const requireFinish = (answer: Answer): void => {
  if (isFinished(answer)) return;
  throw new ApiError("upstream_invalid_response", "The upstream's answer ended before it was finished.");
};

const estimateUsage = (messages: readonly ChatMessage[], { replies }: Answer): Usage => {
  let promptTokens = 0;
  for (const { text } of messages) promptTokens += estimateTokens(text);
  let completionTokens = 0;
  for (const { text, reasoning, toolCalls } of replies) {
    completionTokens += estimateTokens(text) + estimateTokens(reasoning);
    for (const { name, arguments: json } of toolCalls)
      completionTokens += estimateTokens(name) + estimateTokens(json);
  }
  return { promptTokens, completionTokens, totalTokens: promptTokens + completionTokens };
};

const servedHeaders = ({ route, failed }: Served): Record<string, string> => ({
  "x-served-by": route.name,
  ...(failed.length > 0 && { "x-fallback-from": failed.map(({ name }) => name).join(", ") }),
});

const headerLines = (headers: Readonly<Record<string, string>>): string =>
  Object.entries(headers)
    .map(([name, value]) => `${name}: ${value}`)
    .join("; ");

const streamHeaders = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-cache, no-transform",
  // nginx and its like would gather the stream first.
  "x-accel-buffering": "no",
};

export function chatExchange(
  options: ExchangeOptions,
): (inbound: Inbound, dialect: Dialect) => Promise<Response> {
  return (inbound, dialect) => new Exchange(options, inbound, dialect).respond();
}

class Exchange implements Asker {
  readonly #options: ExchangeOptions;
  readonly #inbound: Inbound;
  readonly #dialect: Dialect;
  readonly #startedMs: number;
  readonly #lifetime: Lifetime;
  readonly #trace: Trace = { attempts: 0, upstreamMs: 0, droppedMessages: 0 };
  readonly #answer: Answer = emptyAnswer();
  #reader: PartReader | undefined;
  #served: Served | undefined;
  /** What the provider was told, and how many remembered messages it was not. */
  #told: readonly ChatMessage[] | undefined;
  #untold = 0;

  constructor(options: ExchangeOptions, inbound: Inbound, dialect: Dialect) {
    this.#options = options;
    this.#inbound = inbound;
    this.#dialect = dialect;
    this.#startedMs = options.clock.now();
    this.#lifetime = new Lifetime(inbound.request.signal, options.requestTimeoutMs, options.clock);
  }

  async respond(): Promise<Response> {
    const { models, defaultModel, maxBodyBytes, log } = this.#options;
    const { record, request } = this.#inbound;
    const { signal } = this.#lifetime;
    try {
      const body = parseBody(await readBody(request, maxBodyBytes, this.#lifetime), maxBodyBytes);
      const call = this.#dialect.parse(body.value);
      const model = call.model ?? defaultModel ?? (await models.list({ signal, log }))[0]?.id;
      if (model === undefined)
        throw new ApiError("invalid_request", "model is required.", { param: "model" });
      const finding = models.find(model, { signal, log });
      const found = isPromise(finding) ? await finding : finding;
      record.model = found.route.model.id;
      record.provider = found.route.provider.name;
      record.stream = call.prompt.stream;
      record.charsIn = textLength(call.prompt.messages);

      const opening = this.#openTurn(call, body.text);
      const turn = isPromise(opening) ? await opening : opening;
      const answer = turn.answer((askSignal) => this.#ask(found, call, turn, askSignal), signal);
      this.#reader = new PartReader(answer, this.#lifetime);
      record.replayed = turn.source !== "provider";

      const shown = { model, createdAtMs: this.#startedMs };
      const first = this.#reader.next();
      if (call.prompt.stream)
        return await this.#stream(turn, first, this.#dialect.streamEncoder(call, shown));

      for (let parts = await first; parts !== undefined; ) {
        for (const part of listParts(parts)) addPart(this.#answer, part);
        parts = this.#isWhole() ? undefined : await this.#reader.next();
      }
      const keeping = this.#keep(turn);
      const isKept = isPromise(keeping) ? await keeping : keeping;
      this.#end();
      const headers = this.#headers();
      if (!isKept) headers["x-session-saved"] = "false";
      return this.#inbound.respond(
        200,
        this.#dialect.encode(this.#answer, this.#usage(turn), shown),
        headers,
      );
    } catch (error) {
      this.#end();
      throw error;
    }
  }

  #openTurn(call: DialectCall, body: string): MaybePromise<Turn> {
    const { conversations, clock } = this.#options;
    const { request, caller, record } = this.#inbound;
    const { headers } = request;
    const key = sessionKey({ sessionId: headers.get("x-session-id"), user: call.user, apiKey: caller.key });
    if (key !== undefined) record.session = key.namespace;
    const openedMs = clock.now();
    const opening = conversations.open({
      key,
      messages: call.prompt.messages,
      body,
      idempotencyKey: headers.get("idempotency-key") ?? undefined,
      retryCount: Number(headers.get("x-stainless-retry-count")) || 0,
    });
    if (key === undefined) return opening;
    return andThen(opening, (turn) => {
      record.storeMs = clock.now() - openedMs;
      return turn;
    });
  }

  #ask(found: FoundModel, call: DialectCall, turn: Turn, signal: AbortSignal): AsyncIterable<StreamParts> {
    const { upstreams, requestTimeoutMs, log } = this.#options;
    const { record } = this.#inbound;
    return upstreams.ask({
      found,
      prompt: call.prompt,
      transcript: turn.transcript,
      conversation: turn.conversation,
      context: { signal, requestId: record.requestId, log, trace: this.#trace },
      deadlineMs: this.#startedMs + requestTimeoutMs,
      asker: this,
    });
  }

  onAsked(told: readonly ChatMessage[], untold: number): void {
    this.#told = told;
    this.#untold = untold;
  }

  onServed(by: Served): void {
    const { record } = this.#inbound;
    this.#served = by;
    record.firstPartMs = this.#options.clock.now() - this.#startedMs;
    record.provider = by.route.provider.name;
    record.model = by.route.model.id;
    if (by.failed[0]) record.fallbackFrom = by.failed[0].name;
  }

  async #stream(
    turn: Turn,
    first: Promise<StreamParts | undefined>,
    encoder: StreamEncoder,
  ): Promise<Response> {
    const { stream, clock } = this.#options;
    const events = new Events(encoder, this.#answer);
    // A failure before the first part keeps its status. When that takes long, the client gets a sign of life instead.
    const isEarly = await settlesWithin(first, stream.commitMs, clock);
    if (isEarly) {
      events.add(await first);
      // All events are there, and no store is to be waited for: one text costs a fraction of a stream.
      if (this.#isWhole()) {
        await this.#keep(turn);
        this.#end();
        return this.#respondStream(sseBody(events.take() + events.close(this.#usage(turn))));
      }
    }

    this.#inbound.defer();
    let isOver = false;
    const finish = (error?: unknown) => {
      // A client may leave while the turn is being kept.
      if (isOver) return;
      isOver = true;
      this.#end();
      this.#inbound.finish(error);
    };
    const texts = this.#streamedTexts(turn, isEarly ? undefined : first, events, finish);
    return this.#respondStream(
      sseStream(texts, {
        clock,
        keepAliveMs: stream.keepAliveMs,
        onError(error) {
          finish(error);
          return encodeSseEvent(JSON.stringify(toApiError(error).toBody()));
        },
        onCancel: () => {
          this.#lifetime.leave();
          finish(this.#lifetime.signal.reason);
        },
      }),
    );
  }

  /** `first` is what is still to be waited for when the stream has been opened without it. */
  async *#streamedTexts(
    turn: Turn,
    first: Promise<StreamParts | undefined> | undefined,
    events: Events,
    finish: () => void,
  ): AsyncGenerator<string, string> {
    if (first !== undefined) {
      yield events.take();
      const parts = await first;
      if (this.#served) events.addComment(headerLines(servedHeaders(this.#served)));
      events.add(parts);
    }
    while (true) {
      const text = events.take();
      if (text !== "") yield text;
      const parts = this.#isWhole() ? undefined : await this.#reader?.next();
      if (parts === undefined) break;
      events.add(parts);
    }
    const isKept = await this.#keep(turn);
    finish();
    return events.close(this.#usage(turn), isKept ? "" : encodeSseComment("x-session-saved: false"));
  }

  #respondStream(body: string | ReadableStream<Uint8Array>): Response {
    return this.#inbound.respond(200, body, { ...streamHeaders, ...this.#headers() });
  }

  /**
   * Whether the answer has all its parts, so that no more need to be asked for. Those of a conversation are read to their
   * end: another reader may have had it first, and who leaves a shared answer before it gives the upstream's call up.
   */
  #isWhole(): boolean {
    const { session } = this.#inbound.record;
    return session === undefined && this.#trace.upstreamDone === true && isFinished(this.#answer);
  }

  /** Keeps the finished turn; false if that failed. */
  #keep(turn: Turn): MaybePromise<boolean> {
    requireFinish(this.#answer);
    const { clock } = this.#options;
    const { record } = this.#inbound;
    if (record.session === undefined) return turn.finish(this.#answer);
    const finishedMs = clock.now();
    return andThen(turn.finish(this.#answer), (isKept) => {
      record.storeMs = (record.storeMs ?? 0) + clock.now() - finishedMs;
      return isKept;
    });
  }

  #usage(turn: Turn): Usage {
    const { usage } = this.#answer;
    if (usage !== undefined) return usage;
    const told = this.#told ?? turn.transcript.messages();
    return estimateUsage(withoutOldest(told, this.#trace.droppedMessages), this.#answer);
  }

  /** Messages that the provider was not told, or has left out. */
  get #droppedMessages(): number {
    return this.#untold + this.#trace.droppedMessages;
  }

  #headers(): Record<string, string> {
    const headers: Record<string, string> = {};
    const droppedMessages = this.#droppedMessages;
    if (droppedMessages > 0) headers["x-context-dropped-messages"] = String(droppedMessages);
    if (this.#served) Object.assign(headers, servedHeaders(this.#served));
    if (this.#inbound.record.session && this.#options.isMemoryUnshared) headers["x-session-shared"] = "false";
    return headers;
  }

  #end(): void {
    this.#lifetime.release();
    this.#reader?.close();
    const { record } = this.#inbound;
    const { attempts, upstreamMs } = this.#trace;
    record.attempts = attempts;
    record.upstreamMs = upstreamMs;
    record.droppedMessages = this.#droppedMessages;
    record.charsOut = textLength(this.#answer.replies);
  }
}

/** The events of a stream that are yet to go out. */
class Events {
  readonly #encoder: StreamEncoder;
  readonly #answer: Answer;
  #text: string;
  /** Held back until the answer is known to be whole, and kept. */
  #ending = "";

  constructor(encoder: StreamEncoder, answer: Answer) {
    this.#encoder = encoder;
    this.#answer = answer;
    this.#text = encoder.open();
  }

  /** Adds parts to the answer too. */
  add(parts: StreamParts | undefined): void {
    if (parts === undefined) return;
    for (const part of listParts(parts)) {
      addPart(this.#answer, part);
      if (part.type === "finish") this.#ending += this.#encoder.event(part);
      else this.#text += this.#encoder.event(part);
    }
  }

  addComment(comment: string): void {
    this.#text += encodeSseComment(comment);
  }

  /** What can go out now. */
  take(): string {
    const text = this.#text;
    this.#text = "";
    return text;
  }

  /** The last events, with `comment` before what closes the stream. */
  close(usage: Usage, comment = ""): string {
    return this.#ending + comment + this.#encoder.close(usage);
  }
}
