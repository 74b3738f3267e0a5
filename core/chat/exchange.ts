/** One chat request, from its body's first byte to its answer's last one. */
import type { Conversations, Turn, TurnAnswer } from "../conversations/conversations.ts";
import type { ResponseOpening, Responses } from "../conversations/responses.ts";
import { guessable, type SessionKey, sessionKey } from "../conversations/session-key.ts";
import { ApiError, toApiError } from "../errors.ts";
import type { BodyBudget } from "../http/body-budget.ts";
import type { TokenBudget } from "../http/rate-limit.ts";
import { type JsonBody, type ReadBodyOptions, readJson } from "../http/read-body.ts";
import type { ModelDirectory, ModelRoute } from "../routing/model-directory.ts";
import { AskError, type Question, type UpstreamAnswer, type Upstreams } from "../routing/upstreams.ts";
import type {
  Answer,
  AnswerEncoder,
  ChatFacts,
  ChatResponse,
  Clock,
  CondensedReport,
  DialectCall,
  DialectInput,
  FindBodyDecoders,
  Logger,
  RoutedRequest,
  UpstreamEvent,
  Usage,
} from "../types.ts";
import { Lifetime } from "../util/abort.ts";
import { settlesWithin } from "../util/time.ts";
import { addEvent, emptyAnswer, isFinished } from "./collect-answer.ts";
import type { ChatSettings } from "./settings.ts";
import { createStream, streamHeaders } from "./stream-response.ts";
import { keepSummaryOf } from "./summary.ts";
import { estimateUsage } from "./usage.ts";

export interface ExchangeOptions {
  readonly models: ModelDirectory;
  readonly upstreams: Upstreams;
  readonly conversations: Conversations<UpstreamAnswer>;
  readonly responses: Responses<UpstreamAnswer>;
  /** The headers that name a conversation. */
  readonly sessionHeaders: readonly string[];
  /** Whether conversations are kept in one of many short-lived instances; a header says so. */
  readonly isMemoryUnshared: boolean;
  /** What a request without a model asks for; by default the first model of the list. */
  readonly defaultModel: string | undefined;
  readonly maxBodyBytes: number;
  readonly bodies: BodyBudget;
  /** Whether conversations are kept under names that others could guess. */
  readonly remembersGuessable: boolean;
  /** For compressed bodies. */
  readonly findDecoders: FindBodyDecoders;
  /** Until the first text, whatever the request tries, and then for each further one. */
  readonly requestTimeoutMs: number;
  readonly totalTimeoutMs: number;
  /** Whether any provider's upstream speaks Responses itself. */
  readonly mayPassResponses: boolean;
  /** Takes secrets out of texts. */
  readonly hide: (text: string) => string;
  readonly stream: ChatSettings["stream"];
  /** Of callers who may use so many tokens a day; undefined where nobody has such a limit. */
  readonly tokenBudget: TokenBudget | undefined;
  readonly clock: Clock;
  readonly log: Logger;
}

export type Bounds = Pick<
  ExchangeOptions,
  "maxBodyBytes" | "bodies" | "findDecoders" | "requestTimeoutMs" | "totalTimeoutMs" | "clock"
>;
type Parse = (input: DialectInput) => DialectCall;
type Writable<Type> = { -readonly [Key in keyof Type]: Type[Key] };

/** Answers chat requests. The promise rejects where there is no answer at all; the error then has the facts so far. */
export const createExchange =
  (options: ExchangeOptions) =>
  (routed: RoutedRequest, parse: Parse): Promise<ChatResponse> =>
    new Exchange(options, routed).respond(parse);

/** Reads the bodies of requests that no model is asked for, within the same bounds. */
export const createBodyReader =
  (bounds: Bounds) =>
  async ({ request, params, caller }: RoutedRequest): Promise<DialectInput> => {
    const lifetime = createLifetime(request, bounds);
    const room = bounds.bodies.open(caller.key);
    const { maxBodyBytes: maxBytes, findDecoders } = bounds;
    try {
      const { value } = await readJson(request, {
        maxBytes,
        findDecoders,
        signal: lifetime.signal,
        take: room.take,
      });
      return { body: value, headers: request.headers, params };
    } finally {
      lifetime.release();
      room.release();
    }
  };

export const createLifetime = (
  request: Request,
  { requestTimeoutMs, totalTimeoutMs, clock }: Bounds,
): Lifetime =>
  new Lifetime(
    request.signal,
    { firstTextMs: requestTimeoutMs, silenceMs: requestTimeoutMs, totalMs: totalTimeoutMs },
    clock,
  );

/** A request that failed before anything of its answer went out. */
export class ChatError extends Error {
  override readonly name = "ChatError";
  readonly facts: ChatFacts;

  /** `cause` is the failure that the client sees. */
  constructor(cause: unknown, facts: ChatFacts) {
    super("The chat request failed.", { cause });
    this.facts = facts;
  }
}

const textLength = (texts: readonly { readonly text: string }[]): number => {
  let length = 0;
  for (const { text } of texts) length += text.length;
  return length;
};

type ChatEnd = Awaited<ChatResponse["finished"]>;

/** What is known once an answer has begun; in a stream whose headers went out before, a comment line says it. */
const answerHeaders = ({ begun }: TurnAnswer<UpstreamAnswer>): Record<string, string> => {
  const headers: Record<string, string> = {};
  if (begun === undefined) return headers;
  const { route, failed, droppedMessages, shortenedMessages, condensed } = begun;
  if (droppedMessages > 0) headers["x-context-dropped-messages"] = String(droppedMessages);
  if (shortenedMessages > 0) headers["x-context-shortened-messages"] = String(shortenedMessages);
  if (condensed) headers["x-context-condensed"] = describeCondensed(condensed);
  headers["x-served-by"] = route.name;
  if (failed.length > 0) headers["x-fallback-from"] = failed.map(({ name }) => name).join(", ");
  return headers;
};

/** Such as `6163>412; calls=7`. */
const describeCondensed = ({ fromChars, toChars, calls, failed }: CondensedReport): string =>
  `${fromChars}>${toChars}; calls=${calls}${failed ? "; failed" : ""}`;

/** How long a stream's headers wait for the first event where neither a setting nor the provider says. */
const defaultCommitMs = 5000;

const headerLines = (headers: Readonly<Record<string, string>>): string =>
  Object.entries(headers)
    .map(([name, value]) => `${name}: ${value}`)
    .join("; ");

class Exchange {
  readonly #options: ExchangeOptions;
  readonly #routed: RoutedRequest;
  readonly #startedMs: number;
  readonly #lifetime: Lifetime;
  readonly #facts: Writable<ChatFacts> = {};
  /** What has arrived so far. */
  readonly #collected: Answer = emptyAnswer();
  /** Why the turn is not kept though it names a conversation. */
  #notKept: string | undefined;
  #releaseBody = () => {};
  #budgetHeaders: Readonly<Record<string, string>> | undefined;
  #begun: TurnAnswer<UpstreamAnswer> | undefined;
  #begunMs = 0;
  /** Counted once. */
  #tokens: Usage | undefined;

  constructor(options: ExchangeOptions, routed: RoutedRequest) {
    this.#options = options;
    this.#routed = routed;
    this.#startedMs = options.clock.monotonic();
    this.#lifetime = createLifetime(routed.request, options);
  }

  async respond(parse: Parse): Promise<ChatResponse> {
    const { request, requestId, caller } = this.#routed;
    const { models, tokenBudget, clock, log } = this.#options;
    try {
      if (tokenBudget !== undefined) this.#budgetHeaders = await tokenBudget.check(caller);
      const body = await readJson(request, this.#bodyOptions());
      const call = this.#parse(body, parse);
      const model = call.model ?? this.#defaultModel() ?? (await this.#firstModel());
      const only = caller.limits?.models;
      const route = await models.find(model, { signal: this.#lifetime.signal, log, only });
      this.#noteRoute(route);
      const id = crypto.randomUUID().replaceAll("-", "");
      const turn = await this.#openTurn(call, body.text, { id, model, messages: call.prompt.messages });
      const asked = { route, fallbacks: models.fallbacks(model, route, only) };
      const mayBeNative = this.#mayBeNative(asked, call, turn);
      const encoder = call.encoder({ id, model, createdAtMs: clock.now(), clock, requestId, mayBeNative });
      const asking = this.#ask(asked, call, turn);
      if (call.prompt.stream) {
        const { streamCommitMs = defaultCommitMs } = route.provider;
        return await this.#stream(turn, encoder, asking, streamCommitMs);
      }
      return await this.#whole(turn, encoder, await asking);
    } catch (error) {
      throw new ChatError(error instanceof AskError ? error.cause : error, this.#end());
    }
  }

  #bodyOptions(): ReadBodyOptions {
    const { bodies, maxBodyBytes: maxBytes, findDecoders } = this.#options;
    const { take, release } = bodies.open(this.#routed.caller.key);
    this.#releaseBody = release;
    return { maxBytes, findDecoders, signal: this.#lifetime.signal, take };
  }

  #parse({ value }: JsonBody, parse: Parse): DialectCall {
    const { request, params } = this.#routed;
    const call = parse({ body: value, headers: request.headers, params });
    this.#facts.stream = call.prompt.stream;
    this.#facts.charsIn = textLength(call.prompt.messages);
    return call;
  }

  /** What a request without a model asks for, as far as it is known without a look at the list. */
  #defaultModel(): string | undefined {
    const { defaultModel } = this.#options;
    const only = this.#routed.caller.limits?.models;
    return only === undefined || (defaultModel && only.includes(defaultModel)) ? defaultModel : only[0];
  }

  /** The first model on offer, for a request that names none. */
  async #firstModel(): Promise<string> {
    const { models, log } = this.#options;
    const [first] = await models.list({ signal: this.#lifetime.signal, log });
    if (first !== undefined) return first.id;
    throw new ApiError("invalid_request", "model is required.", { param: "model" });
  }

  #noteRoute({ provider, model, isListed }: ModelRoute): void {
    this.#facts.provider = provider.name;
    this.#facts.model = model.id;
    this.#facts.unlisted = isListed ? undefined : true;
  }

  /** Whether an upstream may answer in the words of Responses. */
  #mayBeNative(
    { route, fallbacks }: Pick<Question, "route" | "fallbacks">,
    { prompt }: DialectCall,
    { heldBy }: Turn<UpstreamAnswer>,
  ) {
    if (!this.#options.mayPassResponses || prompt.response === undefined) return false;
    return heldBy?.kind !== "gateway" && (route.provider.askResponses !== undefined || fallbacks.length > 0);
  }

  #openTurn(call: DialectCall, body: string, opening: ResponseOpening): Promise<Turn<UpstreamAnswer>> {
    const { memory } = call;
    if (memory.kind === "response") {
      const { responses } = this.#options;
      if (responses.isKept(memory)) this.#facts.session = "response";
      return this.#timeStore(responses.open(memory, this.#routed.caller, opening));
    }
    const { headers } = this.#routed.request;
    const named = this.#sessionKey(call);
    if (named !== undefined && !this.#options.remembersGuessable) this.#notKept = guessable(named);
    const key = this.#notKept === undefined ? named : undefined;
    this.#facts.session = key?.namespace;
    return this.#timeStore(
      this.#options.conversations.open({
        key,
        messages: call.prompt.messages,
        body,
        idempotencyKey: headers.get("idempotency-key") ?? undefined,
        retryCount: Number(headers.get("x-stainless-retry-count")) || 0,
      }),
    );
  }

  #sessionKey({ memory }: DialectCall): SessionKey | undefined {
    if (memory.kind !== "session") return undefined;
    const { request, caller } = this.#routed;
    return sessionKey({
      headers: request.headers,
      sessionHeaders: this.#options.sessionHeaders,
      user: memory.user,
      apiKey: caller.key,
    });
  }

  /** Adds the time that a conversation's store takes to the facts; a stateless request touches no store. */
  #timeStore<Result>(work: Promise<Result>): Promise<Result> {
    if (this.#facts.session === undefined) return work;
    const { clock } = this.#options;
    const startedMs = clock.monotonic();
    const note = () => {
      this.#facts.storeMs = (this.#facts.storeMs ?? 0) + clock.monotonic() - startedMs;
    };
    return work.finally(note);
  }

  /** Resolves once the answer has begun. */
  async #ask(
    routes: Pick<Question, "route" | "fallbacks">,
    call: DialectCall,
    turn: Turn<UpstreamAnswer>,
  ): Promise<TurnAnswer<UpstreamAnswer>> {
    const { upstreams, requestTimeoutMs, clock, log } = this.#options;
    const { requestId, caller } = this.#routed;
    const question: Question = {
      ...routes,
      caller,
      prompt: call.prompt,
      transcript: turn.transcript,
      conversation: turn.conversation,
      heldBy: turn.heldBy,
      deadlineMs: this.#startedMs + requestTimeoutMs,
    };
    try {
      const begun = await turn.answer(
        (signal) => upstreams.ask(question, { signal, requestId, log }),
        this.#lifetime.signal,
      );
      this.#begun = begun;
      this.#begunMs = clock.monotonic();
      this.#lifetime.heard();
      this.#noteBegun(begun);
      if (this.#lifetime.signal.aborted) begun.close();
      return begun;
    } catch (error) {
      if (error instanceof AskError) {
        this.#facts.attempts = error.attempts;
        this.#facts.upstreamMs = error.upstreamMs;
      }
      throw error;
    }
  }

  #noteBegun({ source, begun }: TurnAnswer<UpstreamAnswer>): void {
    const facts = this.#facts;
    facts.replayed = source !== "provider";
    facts.attempts = source === "provider" ? begun?.attempts : 0;
    facts.upstreamMs = source === "provider" ? begun?.upstreamMs : 0;
    if (begun === undefined) return;
    facts.firstPartMs = this.#begunMs - this.#startedMs;
    this.#noteRoute(begun.route);
    facts.droppedMessages = begun.droppedMessages;
    facts.shortenedMessages = begun.shortenedMessages;
    facts.fallbackFrom = begun.failed[0]?.name;
  }

  async #whole(
    turn: Turn<UpstreamAnswer>,
    encoder: AnswerEncoder,
    answer: TurnAnswer<UpstreamAnswer>,
  ): Promise<ChatResponse> {
    for (const event of answer.first) addEvent(this.#collected, event);
    for await (const events of answer.rest) {
      this.#lifetime.heard();
      for (const event of events) addEvent(this.#collected, event);
    }
    const isKept = await this.#keep(turn, encoder);
    if (isKept) this.#summarizeAfterwards(turn, answer);
    const headers = this.#headers(answer);
    if (!isKept) headers["x-session-saved"] = "false";
    const body = encoder.whole(this.#collected, this.#usage(turn));
    const response = this.#routed.respond(200, body, headers);
    return { response, finished: Promise.resolve({ facts: this.#end() }) };
  }

  /** Answers 200 once the first events are there, or after `commitMs` without any. */
  async #stream(
    turn: Turn<UpstreamAnswer>,
    encoder: AnswerEncoder,
    asking: Promise<TurnAnswer<UpstreamAnswer>>,
    providerCommitMs: number,
  ): Promise<ChatResponse> {
    const { stream, clock } = this.#options;
    const commitMs = stream.commitMs ?? Math.min(providerCommitMs, stream.longestCommitMs);
    // A failure before the first event keeps its status. When that takes long, the client gets a sign of life instead.
    const isEarly = await settlesWithin(asking, commitMs, clock);
    const texts = this.#streamTexts(turn, encoder, asking, isEarly);
    const { value: first } = await texts.next();
    const headers = {
      ...streamHeaders,
      ...(encoder.streamType && { "content-type": encoder.streamType }),
      ...this.#headers(isEarly ? await asking : undefined),
    };
    let end: (error?: unknown) => void = () => {};
    const finished = new Promise<ChatEnd>((resolve) => {
      end = (error) => resolve({ facts: this.#end(), error });
    });
    // A client that takes nothing leaves no other moment to let go of the upstream.
    this.#lifetime.signal.addEventListener("abort", () => this.#begun?.close(), { once: true });
    const body = createStream(first, texts, {
      clock,
      keepAliveMs: stream.keepAliveMs,
      keepAlive: (silentMs) => encoder.keepAlive(silentMs),
      onEnd: () => end(),
      onError: (thrown) => {
        const error = thrown instanceof AskError ? thrown.cause : thrown;
        end(error);
        return encoder.fail(toApiError(error).reworded(this.#options.hide));
      },
      onCancel: () => {
        this.#lifetime.leave();
        end(this.#lifetime.signal.reason);
      },
    });
    return { response: this.#routed.respond(200, body, headers), finished };
  }

  /** The texts of a stream: the first at once, be it empty. The reply's end is held back until the turn is kept. */
  async *#streamTexts(
    turn: Turn<UpstreamAnswer>,
    encoder: AnswerEncoder,
    asking: Promise<TurnAnswer<UpstreamAnswer>>,
    isEarly: boolean,
  ): AsyncGenerator<string, string> {
    if (!isEarly) yield encoder.open();
    const answer = await asking;
    let text = isEarly ? "" : encoder.comment(headerLines(answerHeaders(answer)));
    let held = "";
    const encode = (events: readonly UpstreamEvent[]) => {
      for (const event of events) {
        addEvent(this.#collected, event);
        const encoded = encoder.event(event);
        if (isFinished(this.#collected)) held += encoded;
        else {
          // What seemed to be the end was that of one choice.
          text += held + encoded;
          held = "";
        }
      }
    };
    encode(answer.first);
    this.#lifetime.handedOver();
    if (isEarly || text !== "") yield text;
    this.#taken();
    for await (const events of answer.rest) {
      text = "";
      encode(events);
      this.#lifetime.handedOver();
      if (text !== "") yield text;
      this.#taken();
    }
    const isKept = await this.#keep(turn, encoder);
    if (isKept) this.#summarizeAfterwards(turn, answer);
    const note = isKept ? "" : encoder.comment("x-session-saved: false");
    return held + note + encoder.close(this.#collected, () => this.#usage(turn));
  }

  /** The client has taken what there was: only now can the upstream be to blame for a silence. */
  #taken(): void {
    this.#lifetime.signal.throwIfAborted();
    this.#lifetime.heard();
  }

  /** Keeps the finished turn; false if that failed. */
  #keep(turn: Turn<UpstreamAnswer>, encoder: AnswerEncoder): Promise<boolean> {
    if (!isFinished(this.#collected))
      throw new ApiError("upstream_invalid_response", "The upstream's answer ended before it was finished.");
    const record = () => encoder.record?.(this.#collected, this.#usage(turn));
    return this.#timeStore(turn.finish(this.#collected, record));
  }

  /** Has what no longer fits summarised for the conversation's next turn, once the answer has gone out. */
  #summarizeAfterwards({ keepSummary }: Turn<UpstreamAnswer>, answer: TurnAnswer<UpstreamAnswer>): void {
    const summarize = answer.source === "provider" ? answer.begun?.summarize : undefined;
    if (keepSummary === undefined || summarize === undefined) return;
    const { requestId } = this.#routed;
    this.#routed.waitUntil?.(keepSummaryOf(summarize, keepSummary, { ...this.#options, requestId }));
  }

  /** `turn` says what the model read where no upstream was asked. */
  #usage(turn?: Turn<UpstreamAnswer>): Usage {
    const { messages = turn?.transcript.messages() ?? [], droppedByProvider = 0 } = this.#begun?.begun ?? {};
    this.#tokens ??= this.#collected.usage ?? estimateUsage(messages, droppedByProvider, this.#collected);
    return this.#tokens;
  }

  #headers(answer?: TurnAnswer<UpstreamAnswer>): Record<string, string> {
    const headers = answer === undefined ? {} : answerHeaders(answer);
    if (this.#budgetHeaders !== undefined) Object.assign(headers, this.#budgetHeaders);
    if (this.#notKept !== undefined) {
      headers["x-session-saved"] = "false";
      headers["x-session-reason"] = this.#notKept;
    }
    if (this.#facts.session && this.#options.isMemoryUnshared) headers["x-session-shared"] = "false";
    return headers;
  }

  /** Lets go of everything; resolves to the facts, now complete. */
  #end(): ChatFacts {
    this.#lifetime.release();
    this.#releaseBody();
    const facts = this.#facts;
    const { clock } = this.#options;
    if (this.#begun?.source === "provider" && this.#begun.begun?.isComplete === false)
      facts.upstreamMs = (facts.upstreamMs ?? 0) + clock.monotonic() - this.#begunMs;
    facts.charsOut = textLength(this.#collected.replies);
    this.#noteTokens();
    this.#begun?.close();
    return facts;
  }

  /** An answer that was broken off has used tokens too; one given before, or to another request, has not. */
  #noteTokens(): void {
    const { source, begun } = this.#begun ?? {};
    if (source !== "provider" || begun === undefined) return;
    const { promptTokens, completionTokens, totalTokens } = this.#usage();
    this.#facts.tokensIn = promptTokens;
    this.#facts.tokensOut = completionTokens;
    if (this.#budgetHeaders === undefined) return;
    const spent = this.#options.tokenBudget?.spend(this.#routed.caller, totalTokens);
    if (spent instanceof Promise) this.#routed.waitUntil?.(spent);
  }
}
