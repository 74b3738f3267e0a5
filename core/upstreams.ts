/** Asks providers: with a bound on calls at once, a circuit breaker, and the next in line where one fails early. */
import { type Admission, type CircuitBreaker, circuitBreaker } from "./circuit-breaker.ts";
import { ApiError, type ErrorCode, errorTable } from "./errors.ts";
import { abortable } from "./lifetime.ts";
import type { FindRoute, FoundModel, ModelRoute } from "./models.ts";
import { type Slots, slots } from "./slots.ts";
import type { ChatRequest, Clock, Provider, ProviderContext, StreamParts } from "./types.ts";

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

/** An answer whose first parts are there. */
interface BegunAnswer {
  readonly first: IteratorResult<StreamParts, unknown>;
  readonly rest: AsyncIterator<StreamParts, unknown>;
  /** Releases the provider. */
  readonly close: () => void;
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

  const admit = ({ provider, model }: ModelRoute): Admission | undefined => {
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

  /** One attempt, up to its first part. */
  const attempt = async (
    route: ModelRoute,
    request: Omit<ChatRequest, "model">,
    context: RequestContext,
  ): Promise<BegunAnswer> => {
    const { signal } = context;
    const { provider } = route;
    const asked: ChatRequest = { ...request, model: route.model.id };
    provider.check?.(asked);
    const state = stateOf(provider);
    const admission = admit(route);
    try {
      await state.slots?.enter(signal);
    } catch (error) {
      admission?.abandoned();
      throw error;
    }
    let hasPlace = state.slots !== undefined;
    const upstreamDone = () => {
      if (hasPlace) state.slots?.leave();
      hasPlace = false;
    };
    const rest = provider.stream(asked, { ...context, upstreamDone })[Symbol.asyncIterator]();
    const close = () => {
      upstreamDone();
      rest.return?.().catch(() => {});
    };
    try {
      const first = await abortable(rest.next(), signal);
      state.lastSuccessMs = clock.now();
      admission?.succeeded();
      return { first, rest, close };
    } catch (error) {
      close();
      if (error instanceof ApiError && error.code === "client_closed_request") admission?.abandoned();
      else admission?.failed(error);
      throw error;
    }
  };

  const begin = async ({
    route: first,
    fallbacks,
    request,
    context,
    deadlineMs,
    onServed,
  }: Question): Promise<BegunAnswer> => {
    const { requestId, log, trace } = context;
    const failed: ModelRoute[] = [];
    let failure: unknown;
    for (let turn = 0; turn <= fallbacks.length; turn++) {
      const left = fallbacks.length + 1 - turn;
      const share =
        left > 1 ? shareOfTime(context.signal, (deadlineMs - clock.now()) / left, clock) : undefined;
      const shared = share ? { ...context, signal: share.signal } : context;
      let route = turn === 0 ? first : undefined;
      try {
        route ??= await (fallbacks[turn - 1] as FindRoute)(shared);
        const begun = await attempt(route, request, shared);
        onServed({ route, failed });
        return begun;
      } catch (error) {
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
      let begun: BegunAnswer | undefined;
      let isClosed = false;
      const start = async () => {
        begun = await begin(question);
        if (isClosed) begun.close();
        return begun.first;
      };
      // Not a generator: after the first parts, what the provider gives is passed on as it is.
      const answer: AsyncIterableIterator<StreamParts, unknown> = {
        [Symbol.asyncIterator]: () => answer,
        next: () => (begun === undefined ? start() : begun.rest.next()),
        async return() {
          isClosed = true;
          begun?.close();
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
