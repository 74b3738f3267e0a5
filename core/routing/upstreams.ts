/** Asks providers: with a bound on calls at once, a circuit breaker, and the next in line where one fails early. */

import type { Transcript } from "../conversations/transcript.ts";
import { ApiError, type ErrorCode, errorTable } from "../errors.ts";
import type {
  ChatMessage,
  ChatPrompt,
  ChatRequest,
  Clock,
  ConversationRef,
  Logger,
  Model,
  Provider,
  ProviderContext,
  StreamParts,
  Trace,
} from "../types.ts";
import { abortable } from "../util/abort.ts";
import { type Admission, type CircuitBreaker, circuitBreaker } from "./circuit-breaker.ts";
import { type Slots, slots } from "./concurrency-limit.ts";
import type { FindRoute, FoundModel, ModelRoute } from "./model-directory.ts";

export interface UpstreamsOptions {
  /** Whether an upstream that keeps failing is left alone for a while. */
  readonly circuitBreaker: boolean;
  readonly clock: Clock;
}

export type RequestContext = Omit<ProviderContext, "upstreamDone">;

/** Who answers, once that is known. */
export interface Served {
  readonly route: ModelRoute;
  /** Those that failed before. */
  readonly failed: readonly ModelRoute[];
}

/** Who asks, and wants to know how it goes. */
export interface Asker {
  /** Called for each provider that is asked: what it is told, and how many remembered messages it is not. */
  onAsked(told: readonly ChatMessage[], untold: number): void;
  /** Called once, before the first part. */
  onServed(served: Served): void;
}

export interface Question {
  readonly prompt: ChatPrompt;
  /** What the model may be told: the prompt's messages, and what is remembered of earlier ones. */
  readonly transcript: Transcript;
  readonly conversation: ConversationRef;
  readonly found: FoundModel;
  readonly context: RequestContext;
  /** Milliseconds since the epoch; what is left until then is shared evenly between those still to be asked. */
  readonly deadlineMs: number;
  readonly asker: Asker;
}

export interface Upstream {
  readonly provider: Provider;
  readonly slots: Slots | undefined;
  /** By model id. */
  readonly breakers: ReadonlyMap<string, CircuitBreaker>;
  /** When it last gave a first part, in milliseconds since the epoch. */
  readonly lastSuccessMs: number | undefined;
}

export interface Upstreams {
  /** The parts of the first answer that begins. Throws the error of the last one that was not the client's fault. */
  ask(question: Question): AsyncIterable<StreamParts>;
  /** What has been asked so far, for those who watch. */
  readonly known: readonly Upstream[];
}

/** Calls that may wait for a place, for each place that there is. */
const queuePerSlot = 8;

/** Models whose circuits are watched at each upstream: clients may ask for names that no list has. */
const maxBreakers = 1000;

const isMendable = (code: ErrorCode): boolean => errorTable[code].fallback === true;

type PartIterator = AsyncIterator<StreamParts, unknown>;
type FirstParts = IteratorResult<StreamParts, unknown>;

interface State {
  readonly provider: Provider;
  readonly slots: Slots | undefined;
  readonly breakers: Map<string, CircuitBreaker>;
  lastSuccessMs: number | undefined;
}

/** A call to a provider. */
class Attempt implements ProviderContext {
  readonly signal: AbortSignal;
  readonly requestId: string;
  readonly log: Logger;
  readonly trace: Trace;
  /** Its first parts. Whoever stops waiting for them calls `close`. */
  readonly first: Promise<FirstParts>;
  readonly #request: ChatRequest;
  readonly #state: State;
  readonly #admission: Admission | undefined;
  readonly #clock: Pick<Clock, "now">;
  readonly #route: ModelRoute;
  /** Told when the answer begins. */
  readonly #asker: Pick<Asker, "onServed"> | undefined;
  #hasPlace = false;
  #isBeginning = true;
  #parts: PartIterator | undefined;

  constructor(
    route: ModelRoute,
    request: ChatRequest,
    { signal, requestId, log, trace }: RequestContext,
    state: State,
    admission: Admission | undefined,
    clock: Pick<Clock, "now">,
    asker: Pick<Asker, "onServed"> | undefined,
  ) {
    this.signal = signal;
    this.requestId = requestId;
    this.log = log;
    this.trace = trace;
    this.#request = request;
    this.#state = state;
    this.#admission = admission;
    this.#clock = clock;
    this.#route = route;
    this.#asker = asker;
    this.first = this.#begin();
  }

  /** What comes after the first parts. */
  next(): Promise<FirstParts> {
    return (this.#parts as PartIterator).next();
  }

  /** A function of its own, as providers take their context apart. */
  readonly upstreamDone = (): void => {
    // One that was given up may not notice: what it says is no longer about the answer.
    if (!this.signal.aborted) this.trace.upstreamDone = true;
    this.#leavePlace();
  };

  /** Releases the provider; before the first parts `reason` tells why. */
  close(reason?: unknown): void {
    this.#leavePlace();
    this.#parts?.return?.().then(undefined, ignore);
    if (!this.#isBeginning) return;
    this.#isBeginning = false;
    const isClient = reason instanceof ApiError && reason.code === "client_closed_request";
    if (this.#parts === undefined || isClient) this.#admission?.abandoned();
    else this.#admission?.failed(reason);
  }

  #begin(): Promise<FirstParts> {
    try {
      const place = this.#state.slots?.enter(this.signal);
      const first = place === undefined ? this.#start() : place.then(() => this.#start());
      return first.then(
        (parts) => this.#begun(parts),
        (error) => this.#failed(error),
      );
    } catch (error) {
      return this.#failed(error);
    }
  }

  #start(): Promise<FirstParts> {
    this.#hasPlace = this.#state.slots !== undefined;
    if (!this.#isBeginning) {
      this.#leavePlace();
      throw this.signal.reason;
    }
    this.#parts = this.#state.provider.stream(this.#request, this)[Symbol.asyncIterator]();
    return this.#parts.next();
  }

  #begun(first: FirstParts): FirstParts {
    if (!this.#isBeginning) return first;
    this.#isBeginning = false;
    this.#state.lastSuccessMs = this.#clock.now();
    this.#admission?.succeeded();
    this.#asker?.onServed({ route: this.#route, failed: [] });
    return first;
  }

  #failed(error: unknown): never {
    this.close(error);
    throw error;
  }

  #leavePlace(): void {
    if (this.#hasPlace) this.#state.slots?.leave();
    this.#hasPlace = false;
  }
}

const ignore = () => {};

const ended: Promise<IteratorResult<StreamParts, unknown>> = Promise.resolve({
  done: true,
  value: undefined,
});

export function upstreams({ circuitBreaker: breaks, clock }: UpstreamsOptions): Upstreams {
  const known = new Map<Provider, State>();

  const stateOf = (provider: Provider): State => {
    let state = known.get(provider);
    if (state === undefined) {
      const { maxConcurrency: limit = 0 } = provider;
      state = {
        provider,
        slots: limit > 0 ? slots(limit, limit * queuePerSlot) : undefined,
        breakers: new Map(),
        lastSuccessMs: undefined,
      };
      known.set(provider, state);
    }
    return state;
  };

  const admit = ({ provider, breakers }: State, model: Model): Admission | undefined => {
    if (!breaks) return undefined;
    let breaker = breakers.get(model.id);
    if (breaker === undefined) {
      const [oldest = ""] = breakers.keys();
      if (breakers.size >= maxBreakers) breakers.delete(oldest);
      breaker = circuitBreaker({ clock, sharesRateLimit: provider.sharesRateLimit === true });
      breakers.set(model.id, breaker);
    }
    return breaker.admit();
  };

  const attempt = (
    route: ModelRoute,
    { prompt, transcript, conversation, asker }: Question,
    context: RequestContext,
    hasFallbacks: boolean,
  ): Attempt => {
    const { provider, model } = route;
    const messages = transcript.messages(provider.maxRemembered);
    asker.onAsked(messages, transcript.length - messages.length);
    const request: ChatRequest = { ...prompt, model: model.id, messages, conversation };
    provider.check?.(request);
    const state = stateOf(provider);
    // With fallbacks whoever tries them tells, as they know who failed before.
    const toTell = hasFallbacks ? undefined : asker;
    return new Attempt(route, request, context, state, admit(state, model), clock, toTell);
  };

  /** Asks one after the other, until one begins to answer. */
  const begin = async (question: Question): Promise<Attempt> => {
    const { context, deadlineMs, asker } = question;
    const { route: first, fallbacks } = question.found;
    const { requestId, log, trace } = context;
    const failed: ModelRoute[] = [];
    let failure: unknown;
    for (let turn = 0; turn <= fallbacks.length; turn++) {
      const left = fallbacks.length + 1 - turn;
      const share =
        left > 1 ? shareOfTime(context.signal, (deadlineMs - clock.now()) / left, clock) : undefined;
      const shared = share ? { ...context, signal: share.signal } : context;
      let route = turn === 0 ? first : undefined;
      let asked: Attempt | undefined;
      try {
        route ??= await (fallbacks[turn - 1] as FindRoute)(shared);
        asked = attempt(route, question, shared, true);
        await abortable(asked.first, shared.signal);
        asker.onServed({ route, failed });
        return asked;
      } catch (error) {
        asked?.close(error);
        share?.release();
        if (context.signal.aborted || !(error instanceof ApiError)) throw error;
        const { code } = error;
        if (route === undefined) {
          log.warn("fallback_not_found", { requestId, code });
          continue;
        }
        const isTheirs = isMendable(code);
        if (turn === 0 && !(isTheirs && left > 1)) throw error;
        log.warn("fallback", { requestId, provider: route.provider.name, model: route.model.id, code });
        // What only a fallback can't take is no news to a client that asked for another model.
        if (isTheirs) failure = error;
        failed.push(route);
        trace.droppedMessages = 0;
        trace.upstreamDone = false;
      } finally {
        // Once it has begun, an answer may take all the time that there is.
        share?.stopTimer();
      }
    }
    throw failure;
  };

  return {
    get known() {
      return [...known.values()];
    },
    ask: (question) => new Asking(question, attempt, begin),
  };
}

type Ask = (route: ModelRoute, question: Question, context: RequestContext, hasFallbacks: boolean) => Attempt;

/** The parts of an answer, asked for with the first `next`. */
class Asking implements AsyncIterableIterator<StreamParts, unknown> {
  readonly #question: Question;
  readonly #attempt: Ask;
  readonly #begin: (question: Question) => Promise<Attempt>;
  #asked: Attempt | undefined;
  #isClosed = false;

  constructor(question: Question, attempt: Ask, begin: (question: Question) => Promise<Attempt>) {
    this.#question = question;
    this.#attempt = attempt;
    this.#begin = begin;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<FirstParts> {
    return this.#asked?.next() ?? this.#start();
  }

  return(): Promise<IteratorResult<StreamParts, unknown>> {
    this.#isClosed = true;
    this.#asked?.close(this.#question.context.signal.reason);
    return ended;
  }

  #start(): Promise<FirstParts> {
    const { found, context } = this.#question;
    const { route, fallbacks } = found;
    if (fallbacks.length > 0) return this.#startOneOf();
    try {
      this.#asked = this.#attempt(route, this.#question, context, false);
      return this.#asked.first;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  async #startOneOf(): Promise<FirstParts> {
    this.#asked = await this.#begin(this.#question);
    if (this.#isClosed) this.#asked.close();
    return this.#asked.first;
  }
}

/** A signal that follows `parent`, and aborts by itself after `ms` unless the timer is stopped. */
const shareOfTime = (parent: AbortSignal, ms: number, clock: Clock) => {
  const controller = new AbortController();
  const follow = () => controller.abort(parent.reason);
  const stopTimer = clock.schedule(() => {
    const seconds = Math.round(ms / 1000);
    controller.abort(new ApiError("upstream_timeout", `The upstream did not answer within ${seconds} s.`));
  }, ms);
  parent.addEventListener("abort", follow, { once: true });
  return { signal: controller.signal, stopTimer, release: () => parent.removeEventListener("abort", follow) };
};
