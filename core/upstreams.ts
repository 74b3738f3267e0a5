/** Asks providers: with a bound on calls at once, a circuit breaker, and the next in line where one fails early. */
import { type Admission, type CircuitBreaker, circuitBreaker } from "./circuit-breaker.ts";
import { ApiError, errorTable } from "./errors.ts";
import { type PartReader, readParts } from "./lifetime.ts";
import type { ModelRoute } from "./models.ts";
import { type Slots, slots } from "./slots.ts";
import type { ChatRequest, Clock, Provider, ProviderContext, StreamPart } from "./types.ts";

export interface UpstreamsOptions {
  /** Whether an upstream that keeps failing is left alone for a while. */
  readonly circuitBreaker: boolean;
  readonly clock: Clock;
}

export type RequestContext = Omit<ProviderContext, "upstreamDone">;

/** An answer that has begun. */
export interface StartedAnswer {
  readonly route: ModelRoute;
  /** Those that failed before it. */
  readonly failed: readonly ModelRoute[];
  readonly first: StreamPart | undefined;
  readonly parts: PartReader;
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
  /**
   * Asks each of `routes` in turn until one gives its first part. Time that is left is shared evenly between those
   * still to be asked. Throws the last one's error.
   */
  start(
    routes: readonly ModelRoute[],
    request: Omit<ChatRequest, "model">,
    context: RequestContext,
    deadlineMs: number,
  ): Promise<StartedAnswer>;
  /** What has been asked so far, for those who watch. */
  readonly known: readonly Upstream[];
}

/** Calls that may wait for a place, for each place that there is. */
const queuePerSlot = 8;

const another = (error: unknown): boolean =>
  error instanceof ApiError && "mendable" in errorTable[error.code];

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
  ): Promise<{ first: StreamPart | undefined; parts: PartReader }> => {
    const { signal } = context;
    const state = stateOf(route.provider);
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
    const stream = route.provider.stream({ ...request, model: route.model.id }, { ...context, upstreamDone });
    const parts = readParts(stream, signal, upstreamDone);
    try {
      const first = await parts.next();
      state.lastSuccessMs = clock.now();
      admission?.succeeded();
      return { first, parts };
    } catch (error) {
      parts.close();
      if (error instanceof ApiError && error.code === "client_closed_request") admission?.abandoned();
      else admission?.failed(error);
      throw error;
    }
  };

  return {
    get known() {
      return [...known.values()];
    },
    async start(routes, request, context, deadlineMs) {
      const failed: ModelRoute[] = [];
      while (true) {
        const route = routes[failed.length] as ModelRoute;
        const left = routes.length - failed.length;
        if (left === 1) return { route, failed, ...(await attempt(route, request, context)) };
        const share = sharedTime(context.signal, (deadlineMs - clock.now()) / left, clock);
        try {
          return { route, failed, ...(await attempt(route, request, { ...context, signal: share.signal })) };
        } catch (error) {
          share.release();
          if (context.signal.aborted || !another(error)) throw error;
          context.log.warn("fallback", {
            requestId: context.requestId,
            provider: route.provider.name,
            model: route.model.id,
            code: (error as ApiError).code,
          });
          failed.push(route);
        } finally {
          // Once it has begun, an answer may take all the time that there is.
          share.settle();
        }
      }
    },
  };
}

/** A signal that follows `parent` and aborts by itself after `ms`, until it is settled. */
const sharedTime = (parent: AbortSignal, ms: number, clock: Clock) => {
  const controller = new AbortController();
  const follow = () => controller.abort(parent.reason);
  const settle = clock.schedule(
    () =>
      controller.abort(
        new ApiError("upstream_timeout", `The upstream did not answer within ${Math.round(ms / 1000)} s.`),
      ),
    ms,
  );
  parent.addEventListener("abort", follow, { once: true });
  return { signal: controller.signal, settle, release: () => parent.removeEventListener("abort", follow) };
};
