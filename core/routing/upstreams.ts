/** Asks providers: with a bound on calls at once, a circuit breaker, and the next in line where one fails early. */
import { LRUCache } from "lru-cache";
import type { Transcript } from "../conversations/transcript.ts";
import { ApiError, type ErrorCode, errorTable, toApiError } from "../errors.ts";
import type {
  Caller,
  ChatMessage,
  ChatPrompt,
  ChatRequest,
  Clock,
  CondensedReport,
  ConversationRef,
  ConversationSummary,
  HeldBy,
  Logger,
  Provider,
  ProviderAnswer,
  ProviderContext,
  UpstreamEvent,
} from "../types.ts";
import { AbortableWaits, createDeadline, type Deadline } from "../util/time.ts";
import { type Admission, type CircuitBreaker, createCircuitBreaker } from "./circuit-breaker.ts";
import { type ConcurrencyLimit, createConcurrencyLimit, type Slot } from "./concurrency-limit.ts";
import type { FindRoute, ModelRoute } from "./model-directory.ts";
import type { CircuitPlace, SharedCircuits } from "./shared-circuits.ts";

export interface UpstreamsOptions {
  /** Whether an upstream that keeps failing is left alone for a while. */
  readonly circuitBreaker: boolean;
  readonly clock: Clock;
  /** Learns of circuits that open and close. */
  readonly log: Logger;
  /** What other instances know of circuits; absent where each has its own. */
  readonly sharedCircuits?: SharedCircuits | undefined;
}

/** A request, and where it may go. */
export interface Question {
  readonly caller: Caller;
  readonly route: ModelRoute;
  /** What to try when that fails early, in order. */
  readonly fallbacks: readonly FindRoute[];
  readonly prompt: ChatPrompt;
  /** What the model may read: the prompt's messages, and what is remembered of earlier ones. */
  readonly transcript: Transcript;
  readonly conversation: ConversationRef;
  /** Who keeps what the prompt refers to by ids. */
  readonly heldBy?: HeldBy | undefined;
  /** By the monotonic clock; when an answer must have begun. What is left until then is shared evenly between those that may still be asked. */
  readonly deadlineMs: number;
}

/** An answer that has begun, and how it came to that. */
export interface UpstreamAnswer {
  readonly route: ModelRoute;
  /** The routes that failed before. */
  readonly failed: readonly ModelRoute[];
  /** The messages that the provider got. */
  readonly messages: readonly ChatMessage[];
  /** Messages of the transcript that the model did not get to read. */
  readonly droppedMessages: number;
  /** Of these, the ones among `messages` that the provider left out. */
  readonly droppedByProvider: number;
  /** Messages of which the model got to read a part. */
  readonly shortenedMessages: number;
  readonly condensed: CondensedReport | undefined;
  /** Calls made to upstreams, those of the failed routes among them. */
  readonly attempts: number;
  /** Milliseconds spent waiting for upstreams. */
  readonly upstreamMs: number;
  /** Whether the upstream has sent everything already. */
  readonly isComplete: boolean;
  /** The events that arrived first; empty if there are none. */
  readonly first: readonly UpstreamEvent[];
  /** Those after them. */
  readonly rest: AsyncIterable<readonly UpstreamEvent[]>;
  /** As `ProviderAnswer.summarize`, once a slot is free. */
  readonly summarize: ((context: ProviderContext) => Promise<ConversationSummary | undefined>) | undefined;
  /** Ends the upstream call, if it still runs. */
  close(): void;
}

/** No upstream has begun to answer. */
export class AskError extends Error {
  override readonly name = "AskError";
  readonly attempts: number;
  readonly upstreamMs: number;

  /** `cause` is the failure that the client sees. */
  constructor(cause: unknown, attempts: number, upstreamMs: number) {
    super("No upstream has begun to answer.", { cause });
    this.attempts = attempts;
    this.upstreamMs = upstreamMs;
  }
}

export interface ProviderState {
  readonly provider: Provider;
  readonly concurrency: ConcurrencyLimit | undefined;
  /** By model id; all that are on no list are one. */
  readonly breakers: Iterable<[string, CircuitBreaker]>;
  /** When it last began to answer, in milliseconds since the epoch. */
  readonly lastSuccessMs: number | undefined;
  /** The last failure, and when it was, in milliseconds since the epoch. */
  readonly lastFailure: { readonly code: ErrorCode; readonly atMs: number } | undefined;
}

export interface Upstreams {
  /** The first answer that begins. Throws AskError with the error of the last route that was not the client's fault. */
  ask(question: Question, context: ProviderContext): Promise<UpstreamAnswer>;
  /** The state of each provider that was asked so far. */
  readonly known: readonly ProviderState[];
}

/** Calls that may wait for a slot, for each slot that there is. */
const queuePerSlot = 8;

/** Models whose circuits are watched at each upstream. */
const maxBreakers = 1000;
/** The one circuit of all models that are on no list: clients can make up more and more of their names. */
const unlisted = "other";

const mayMend = (code: ErrorCode): boolean => errorTable[code].fallback === true;

/** Whether a failure is about the request and not the upstream. */
const isClientsFault = (code: ErrorCode): boolean => errorTable[code].status < 500 && !mayMend(code);
/** Of a model that can't do what was asked, or is not there, while another may. */
const isInability = (code: ErrorCode): boolean =>
  code === "unsupported_content" ||
  code === "unsupported_parameter" ||
  code === "context_length_exceeded" ||
  code === "model_not_found";

const hasLeft = (error: unknown): boolean =>
  error instanceof ApiError && error.code === "client_closed_request";

/** Makes room at the cost of a circuit that knows of no trouble. */
function dropClosed(breakers: LRUCache<string, CircuitBreaker>): void {
  const closed = [...breakers.rkeys()].find((model) => breakers.peek(model)?.state === "closed");
  if (closed !== undefined) breakers.delete(closed);
}

/**
 * Reads an answer while the request lives, whatever the provider does, and gives the slot back when it is over. A
 * generator around another one for each of these would cost more than the events do.
 */
async function* readEvents(
  { events, isComplete }: ProviderAnswer,
  waits: AbortableWaits,
  slot: Slot | undefined,
): AsyncGenerator<readonly UpstreamEvent[], undefined> {
  const iterator = events[Symbol.asyncIterator]();
  try {
    if (isComplete) slot?.release();
    while (true) {
      const { done, value } = await waits.for(iterator.next());
      if (done) return;
      yield value;
    }
  } finally {
    waits.end();
    slot?.release();
    // Not awaited: a provider that hangs must not hold up the client.
    iterator.return?.().then(undefined, () => {});
  }
}

/** Lets a provider make further calls at once, as far as there are slots for them. */
const withExtraSlots = (
  context: ProviderContext,
  concurrency: ConcurrencyLimit | undefined,
  caller: Caller,
): ProviderContext =>
  concurrency === undefined ? context : { ...context, extraSlot: () => concurrency.tryAcquire(caller.key) };

/**
 * The request in the form that the provider takes it in: as a client of Responses wrote it, or as a chat. Throws ApiError
 * where it has neither.
 */
function formFor(
  { name, askResponses }: Provider,
  request: ChatRequest,
  heldBy: HeldBy | undefined,
): ChatRequest {
  const { response, unsayable } = request;
  if (response === undefined) return request;
  const isPassedOn = askResponses !== undefined && heldBy?.kind !== "gateway";
  if (heldBy?.kind === "upstream" && (!isPassedOn || heldBy.provider !== name)) {
    const { provider, param } = heldBy;
    const message = `${param} refers to what ${provider} keeps, which ${name} can't go on from. Ask for a model of ${provider}, or send the whole history instead.`;
    throw new ApiError("unsupported_parameter", message, { param });
  }
  if (isPassedOn) return request;
  if (unsayable !== undefined) throw unsayable;
  return { ...request, response: undefined };
}

export function createUpstreams(options: UpstreamsOptions): Upstreams {
  const { circuitBreaker: breaks, clock, log, sharedCircuits } = options;
  interface State extends ProviderState {
    readonly breakers: LRUCache<string, CircuitBreaker>;
    /** The names of keys that have called. */
    readonly callers: Map<string, string>;
    lastSuccessMs: number | undefined;
    lastFailure: ProviderState["lastFailure"];
  }
  const known = new Map<Provider, State>();

  const stateOf = (provider: Provider): State => {
    let state = known.get(provider);
    if (state === undefined) {
      const { maxConcurrency: limit = 0 } = provider;
      state = {
        provider,
        concurrency: limit > 0 ? createConcurrencyLimit(limit, limit * queuePerSlot) : undefined,
        breakers: new LRUCache({ max: maxBreakers }),
        callers: new Map(),
        lastSuccessMs: undefined,
        lastFailure: undefined,
      };
      known.set(provider, state);
    }
    return state;
  };

  /** Says when a circuit opens and closes; of callers, `callers` by key has the names. */
  const createBreaker = ({ provider, callers }: State, model: string): CircuitBreaker => {
    const place = { provider: provider.name, model };
    const breaker = createCircuitBreaker({
      clock,
      sharesRateLimit: provider.sharesRateLimit === true,
      onChange({ state, code, caller, ms, isAdopted }) {
        const key = caller === undefined ? "all" : callers.get(caller);
        const facts = { ...place, key, code, elsewhere: isAdopted };
        if (state === "closed") {
          void sharedCircuits?.closed(place, caller);
          return log.info("circuit.closed", { ...facts, openMs: ms });
        }
        if (!isAdopted) void sharedCircuits?.opened(place, caller, { code, ms });
        const until = new Date(clock.now() + ms).toISOString();
        log.warn("circuit.opened", { ...facts, until, next: errorTable[code].operator });
      },
      onFirstFailure: sharedCircuits && ((caller) => void adopt(sharedCircuits, breaker, place, caller)),
    });
    return breaker;
  };

  const admit = (state: State, { model, isListed }: ModelRoute, caller: Caller): Admission | undefined => {
    if (!breaks) return undefined;
    const { breakers, callers } = state;
    const name = isListed ? model.id : unlisted;
    callers.set(caller.key, caller.name);
    let breaker = breakers.get(name);
    if (breaker === undefined) {
      if (breakers.size >= maxBreakers) dropClosed(breakers);
      breaker = createBreaker(state, name);
      breakers.set(name, breaker);
      if (sharedCircuits)
        void adopt(sharedCircuits, breaker, { provider: state.provider.name, model: name }, caller.key);
    }
    return breaker.admit(caller.key);
  };

  /** Opens what other instances have opened. Nobody waits for it: it comes too late for the request that asks. */
  const adopt = async (
    shared: SharedCircuits,
    breaker: CircuitBreaker,
    place: CircuitPlace,
    caller: string,
  ): Promise<void> => {
    const askedMs = clock.monotonic();
    const { common, own } = await shared.find(place, caller);
    // What has answered meanwhile is well.
    if (breaker.lastAnswerMs !== undefined && breaker.lastAnswerMs >= askedMs) return;
    if (common !== undefined) breaker.adopt(undefined, common.code, common.ms);
    if (own !== undefined) breaker.adopt(caller, own.code, own.ms);
  };

  /** A share of the request's time. */
  const createShare = (parent: AbortSignal, ms: number): Deadline =>
    createDeadline(ms, {
      clock,
      parent,
      reason: () =>
        new ApiError(
          "upstream_timeout",
          `The upstream did not answer within ${Math.round(ms / 1000)} s, its share of API_REQUEST_TIMEOUT.`,
        ),
    });

  /** Asks one provider and waits for its first events. */
  const attempt = async (
    state: State,
    request: ChatRequest,
    { caller, admission }: { readonly caller: Caller; readonly admission: Admission | undefined },
    context: ProviderContext,
  ) => {
    const { signal } = context;
    let slot: Slot | undefined;
    try {
      slot =
        state.concurrency?.tryAcquire(caller.key) ?? (await state.concurrency?.acquire(signal, caller.key));
      signal.throwIfAborted();
    } catch (error) {
      slot?.release();
      admission?.abandoned();
      throw error;
    }
    const startedMs = clock.monotonic();
    const waits = new AbortableWaits(signal);
    try {
      const answer = await waits.for(
        state.provider.answer(request, withExtraSlots(context, state.concurrency, caller)),
      );
      const rest = readEvents(answer, waits, slot);
      const { value: first = [] } = await rest.next();
      admission?.succeeded();
      state.lastSuccessMs = clock.now();
      return { answer, first, rest, upstreamMs: clock.monotonic() - startedMs };
    } catch (error) {
      waits.end();
      slot?.release();
      if (hasLeft(error)) admission?.abandoned();
      else {
        admission?.failed(error);
        const { code } = toApiError(error);
        if (!isClientsFault(code)) state.lastFailure = { code, atMs: clock.now() };
      }
      throw new AskError(error, 1, clock.monotonic() - startedMs);
    }
  };

  /** Holds a slot for as long as the summary takes. */
  const summarize = async (
    state: State,
    caller: Caller,
    answer: ProviderAnswer,
    context: ProviderContext,
  ): Promise<ConversationSummary | undefined> => {
    const slot = await state.concurrency?.acquire(context.signal, caller.key);
    try {
      return await answer.summarize?.(withExtraSlots(context, state.concurrency, caller));
    } finally {
      slot?.release();
    }
  };

  return {
    get known() {
      return [...known.values()];
    },

    async ask(question, context) {
      const { caller, fallbacks, prompt, transcript, conversation, heldBy, deadlineMs } = question;
      const failed: ModelRoute[] = [];
      let attempts = 0;
      let upstreamMs = 0;
      let failure: unknown;
      for (let index = 0; index <= fallbacks.length; index++) {
        const isLast = index === fallbacks.length;
        const shareMs = (deadlineMs - clock.monotonic()) / (fallbacks.length + 1 - index);
        const share = isLast ? undefined : createShare(context.signal, shareMs);
        const signal = share?.signal ?? context.signal;
        const shared = { ...context, signal, deadlineMs: clock.monotonic() + shareMs };
        let route: ModelRoute | undefined;
        try {
          const find = fallbacks[index - 1];
          route = find === undefined ? question.route : await find(shared);
          const { provider, model } = route;
          const messages = transcript.messages(provider.maxHistoryMessages);
          const asked: ChatRequest = { ...prompt, model: model.id, messages, conversation };
          const request = formFor(provider, asked, heldBy);
          provider.check?.(request);
          const state = stateOf(provider);
          const begun = await attempt(
            state,
            request,
            { caller, admission: admit(state, route, caller) },
            shared,
          );
          const { answer, first, rest } = begun;
          // Once it has begun, an answer may take all the time that there is.
          share?.stopTimer();
          const droppedByProvider = answer.context?.droppedMessages ?? 0;
          return {
            route,
            failed,
            messages,
            droppedByProvider,
            droppedMessages: transcript.length - messages.length + droppedByProvider,
            shortenedMessages: answer.context?.shortenedMessages ?? 0,
            condensed: answer.context?.condensed,
            attempts: attempts + (answer.calls ?? 1),
            upstreamMs: upstreamMs + begun.upstreamMs,
            isComplete: answer.isComplete === true,
            first,
            rest,
            summarize: answer.summarize && ((afterwards) => summarize(state, caller, answer, afterwards)),
            close() {
              share?.release();
              rest.return(undefined).then(undefined, () => {});
            },
          };
        } catch (thrown) {
          share?.release();
          const isAsked = thrown instanceof AskError;
          const error = isAsked ? thrown.cause : thrown;
          if (isAsked) {
            attempts += thrown.attempts;
            upstreamMs += thrown.upstreamMs;
          }
          if (context.signal.aborted || !(error instanceof ApiError)) {
            throw new AskError(error, attempts, upstreamMs);
          }
          const { requestId, log } = context;
          const { code } = error;
          if (route === undefined && index > 0) {
            log.warn("fallback.not_found", { requestId, code });
            continue;
          }
          const isMendable = mayMend(code);
          // What only a fallback can't do is no news to a client that asked for another model.
          if (index === 0 || (isMendable && !isInability(code))) failure = error;
          if (index === 0 && (!isMendable || isLast)) break;
          if (route === undefined) continue;
          log.warn("fallback.tried", {
            requestId,
            provider: route.provider.name,
            model: route.model.id,
            code,
          });
          failed.push(route);
        }
      }
      throw new AskError(failure, attempts, upstreamMs);
    },
  };
}
