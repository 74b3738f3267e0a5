/** Asks providers: with a bound on calls at once, a circuit breaker, and the next in line where one fails early. */
import { type Admission, type CircuitBreaker, circuitBreaker } from "./circuit-breaker.ts";
import { ApiError, type ErrorCode, errorTable } from "./errors.ts";
import { abortable } from "./lifetime.ts";
import type { FindRoute, FoundModel, ModelRoute } from "./models.ts";
import { type Slots, slots } from "./slots.ts";
import type { ChatRequest, Clock, Model, Provider, ProviderContext, StreamParts } from "./types.ts";

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

export interface Question extends FoundModel {
  readonly request: Omit<ChatRequest, "model">;
  readonly context: RequestContext;
  /** Milliseconds since the epoch; what is left until then is shared evenly between those still to be asked. */
  readonly deadlineMs: number;
  /** Called once, before the first part. */
  readonly onServed: (served: Served) => void;
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

const isMendable = (code: ErrorCode): boolean => "mendable" in errorTable[code];

type PartIterator = AsyncIterator<StreamParts, unknown>;

/** A call to a provider. */
interface Attempt {
  /** Its first parts. Whoever stops waiting for them calls `close`. */
  readonly first: Promise<IteratorResult<StreamParts, unknown>>;
  /** What comes after them. */
  next(): Promise<IteratorResult<StreamParts, unknown>>;
  /** Releases the provider; before the first parts `reason` tells why. */
  close(reason?: unknown): void;
}

export function upstreams({ circuitBreaker: breaks, clock }: UpstreamsOptions): Upstreams {
  const known = new Map<
    Provider,
    { -readonly [Key in keyof Upstream]: Upstream[Key] } & { breakers: Map<string, CircuitBreaker> }
  >();

  const stateOf = (provider: Provider) => {
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

  const admit = (provider: Provider, model: Model): Admission | undefined => {
    if (!breaks) return undefined;
    const { breakers } = stateOf(provider);
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
    { provider, model }: ModelRoute,
    request: Omit<ChatRequest, "model">,
    context: RequestContext,
  ): Attempt => {
    const asked: ChatRequest = { ...request, model: model.id };
    provider.check?.(asked);
    const state = stateOf(provider);
    const admission = admit(provider, model);
    let hasPlace = false;
    let isBeginning = true;
    let parts: PartIterator | undefined;

    const leavePlace = () => {
      if (hasPlace) state.slots?.leave();
      hasPlace = false;
    };
    const upstreamDone = () => {
      context.trace.upstreamDone = true;
      leavePlace();
    };
    const close = (reason?: unknown) => {
      leavePlace();
      parts?.return?.().catch(() => {});
      if (!isBeginning) return;
      isBeginning = false;
      const isClient = reason instanceof ApiError && reason.code === "client_closed_request";
      if (parts === undefined || isClient) admission?.abandoned();
      else admission?.failed(reason);
    };
    const start = () => {
      hasPlace = state.slots !== undefined;
      if (!isBeginning) {
        leavePlace();
        throw context.signal.reason;
      }
      parts = provider.stream(asked, { ...context, upstreamDone })[Symbol.asyncIterator]();
      return parts.next();
    };
    const begun = (first: IteratorResult<StreamParts, unknown>) => {
      if (!isBeginning) return first;
      isBeginning = false;
      state.lastSuccessMs = clock.now();
      admission?.succeeded();
      return first;
    };
    const failed = (error: unknown): never => {
      close(error);
      throw error;
    };
    try {
      const place = state.slots?.enter(context.signal);
      const first = (place === undefined ? start() : place.then(start)).then(begun, failed);
      return { first, close, next: () => (parts as PartIterator).next() };
    } catch (error) {
      return failed(error);
    }
  };

  /** Asks one after the other, until one begins to answer. */
  const begin = async ({
    route: first,
    fallbacks,
    request,
    context,
    deadlineMs,
    onServed,
  }: Question): Promise<Attempt> => {
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
        asked = attempt(route, request, shared);
        await abortable(asked.first, shared.signal);
        onServed({ route, failed });
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
    ask(question) {
      const { route, fallbacks, request, context, onServed } = question;
      let asked: Attempt | undefined;
      let isClosed = false;
      const start = async () => {
        if (fallbacks.length > 0) {
          asked = await begin(question);
          if (isClosed) asked.close();
          return asked.first;
        }
        asked = attempt(route, request, context);
        const first = await asked.first;
        onServed({ route, failed: [] });
        return first;
      };
      // Not a generator: after the first parts, what the provider gives is passed on as it is.
      const answer: AsyncIterableIterator<StreamParts, unknown> = {
        [Symbol.asyncIterator]: () => answer,
        next: () => asked?.next() ?? start(),
        async return() {
          isClosed = true;
          asked?.close(context.signal.reason);
          return { done: true, value: undefined };
        },
      };
      return answer;
    },
  };
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
