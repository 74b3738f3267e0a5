/** One request at an OpenAI-compatible upstream, from its first byte to the end of its connection. */
import type { ApiError } from "../../errors.ts";
import type { ChatRequest, Clock, Fetch, ProviderContext, StreamPart } from "../../types.ts";
import { BodyReader, failConnection, isClosedConnection } from "../shared/upstream-http.ts";
import { ReplyReader } from "./reply.ts";

/** What all calls to one upstream have in common. */
export interface Upstream {
  readonly name: string;
  readonly url: string;
  readonly headers: Headers;
  readonly send: Fetch;
  readonly clock: Clock;
  /** The most characters that one event, or a reply that is not a stream, may have. */
  readonly maxEventChars: number;
  /** Makes an ApiError of an error object that came in place of, or amid, a reply. */
  readonly failure: (body: unknown) => ApiError;
  /** Makes an ApiError of an answer that is none. */
  readonly readFailure: (response: Response, body: BodyReader, signal: AbortSignal) => Promise<ApiError>;
  /** The messages that the model has room for. */
  readonly fit: (request: ChatRequest) => ChatRequest["messages"];
  /** The client's whole request, but for what the gateway decides. */
  readonly encodeRequest: (request: ChatRequest, messages: ChatRequest["messages"]) => string;
  /** Whether there can be a connection that was kept. */
  hasAnswered: boolean;
}

/** How long a connection may take to end after the last event; it is closed then, and not used again. */
const lingerMs = 1000;
/** A kept connection that turns out to be closed does so at once; after this long, the upstream had begun to work. */
const staleConnectionMs = 1000;

/** A client's request at the upstream, with the calls that it takes and the answer as far as it has been read. */
export class UpstreamCall {
  /** What has been read and not yet been taken. */
  readonly parts: StreamPart[] = [];
  /** What has put an end to the answer after these parts. */
  failure: unknown;
  readonly #upstream: Upstream;
  readonly #request: ChatRequest;
  readonly #context: ProviderContext;
  readonly #reply: ReplyReader;
  readonly #startedMs: number;
  readonly #earlierMs: number;
  #body: BodyReader | undefined;
  #isOver = false;

  constructor(upstream: Upstream, request: ChatRequest, context: ProviderContext) {
    this.#upstream = upstream;
    this.#startedMs = upstream.clock.now();
    this.#request = request;
    this.#context = context;
    this.#earlierMs = context.trace.upstreamMs;
    this.#reply = new ReplyReader(this.parts, upstream);
  }

  /** Whether the answer has been read to its end. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Sends the request and waits for the head of its answer. */
  async open(): Promise<void> {
    const { maxEventChars, readFailure } = this.#upstream;
    const response = await this.#send();
    this.#upstream.hasAnswered = true;
    this.#stopWatch();
    const isStream = response.headers.get("content-type")?.startsWith("text/event-stream");
    this.#body = new BodyReader(response, isStream ? 0 : maxEventChars);
    if (!response.ok) throw await readFailure(response, this.#body, this.#context.signal);
  }

  /** Reads the next piece of the answer into `parts`. */
  async read(): Promise<void> {
    const { signal, upstreamDone } = this.#context;
    let text: string | undefined;
    try {
      text = await this.#body?.next();
    } catch (error) {
      // What was complete before the connection broke is an answer.
      if (!this.#reply.complete) this.#fail(error);
    }
    signal.throwIfAborted();
    try {
      if (text === undefined) this.#reply.end();
      else this.#reply.feed(text);
    } catch (error) {
      this.failure = error;
    }
    this.#isOver = text === undefined || this.#reply.done || this.failure !== undefined;
    // Whoever has all parts then looks at the time at once, and `release` may be later.
    if (this.#isOver) this.#stopWatch();
    if (this.#reply.done) upstreamDone();
  }

  release(): void {
    this.#stopWatch();
    if (this.#body !== undefined && this.#reply.done) this.#linger(this.#body);
    else this.#body?.release();
  }

  #send(): Promise<Response> {
    const { send, url, headers, encodeRequest, fit } = this.#upstream;
    const { signal, trace } = this.#context;
    signal.throwIfAborted();
    const messages = fit(this.#request);
    trace.droppedMessages = this.#request.messages.length - messages.length;
    trace.attempts += 1;
    const init: RequestInit = {
      method: "POST",
      headers,
      body: encodeRequest(this.#request, messages),
      // No answer can make the gateway call another host.
      redirect: "manual",
      signal,
    };
    return send(url, init).catch((error) => this.#sendAgain(init, error));
  }

  #stopWatch(): void {
    this.#context.trace.upstreamMs = this.#earlierMs + this.#upstream.clock.now() - this.#startedMs;
  }

  /** The connection can be used again once its response has ended, which is nearly always at once. */
  #linger(body: BodyReader): void {
    if (body.isOver) return;
    const cancelTimer = this.#upstream.clock.schedule(() => body.release(), lingerMs);
    const end = () => {
      cancelTimer();
      body.release();
    };
    body.next().then(end, end);
  }

  /** Once, where a kept connection was closed before the request could get through. */
  #sendAgain(init: RequestInit, error: unknown): Promise<Response> {
    const { send, url, clock, hasAnswered } = this.#upstream;
    const { signal, trace } = this.#context;
    const isStale = hasAnswered && clock.now() - this.#startedMs < staleConnectionMs;
    if (!isStale || !isClosedConnection(error) || signal.aborted) return this.#fail(error);
    trace.attempts += 1;
    return send(url, init).catch((again) => this.#fail(again));
  }

  #fail(error: unknown): never {
    return failConnection(this.#upstream.name, error, this.#context.signal);
  }
}
