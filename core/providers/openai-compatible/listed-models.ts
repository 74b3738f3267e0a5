/** The models of an upstream that is asked for them: kept a while, asked once at a time, old ones rather than none. */
import { ApiError } from "../../errors.ts";
import type { Clock, Model } from "../../types.ts";

export interface ListedModelsOptions {
  /** Asks the upstream. */
  readonly load: () => Promise<readonly Model[]>;
  readonly clock: Clock;
  /** How long a list is kept. */
  readonly ttlMs: number;
  /** How long nothing is asked after a failure. */
  readonly retryMs: number;
}

/** Resolves as `promise` does; a waiter whose signal aborts leaves alone. */
const untilAborted = <T>(promise: Promise<T>, signal: AbortSignal): Promise<T> =>
  new Promise((resolve, reject) => {
    const leave = () => reject(signal.reason);
    if (signal.aborted) leave();
    else signal.addEventListener("abort", leave, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", leave));
  });

/** A `Provider`'s `models` over `load`. */
export function listedModels({ load, clock, ttlMs, retryMs }: ListedModelsOptions) {
  let known: readonly Model[] | undefined;
  let failure: unknown;
  let nextLoadMs = Number.NEGATIVE_INFINITY;
  let loading: Promise<readonly Model[]> | undefined;

  const refresh = async (): Promise<readonly Model[]> => {
    try {
      known = await load();
      nextLoadMs = clock.now() + ttlMs;
      return known;
    } catch (error) {
      failure = error;
      nextLoadMs = clock.now() + retryMs;
      if (known === undefined) throw error;
      return known;
    } finally {
      loading = undefined;
    }
  };

  return (signal: AbortSignal): readonly Model[] | Promise<readonly Model[]> => {
    if (clock.now() < nextLoadMs) return known ?? Promise.reject(failure);
    loading ??= refresh();
    return untilAborted(loading, signal);
  };
}

/** 2025-01-01, for lists that don't tell. */
const defaultCreatedAt = 1_735_689_600;

/** The models in a `/models` answer: OpenAI's `{data: […]}`, or a bare list as some give it. */
export function readModelList(upstream: string, text: string): readonly Model[] {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    body = undefined;
  }
  const list = (body as { data?: unknown } | undefined | null)?.data ?? body;
  if (!Array.isArray(list)) {
    throw new ApiError(
      "upstream_invalid_response",
      `${upstream} answered with what is not a list of models.`,
    );
  }
  const models = new Map<string, Model>();
  for (const entry of list as ({ id?: unknown; created?: unknown } | null)[]) {
    const id = entry?.id;
    if (typeof id !== "string" || id === "" || models.has(id)) continue;
    const createdAt = Number.isInteger(entry?.created) ? (entry?.created as number) : defaultCreatedAt;
    models.set(id, { id, createdAt });
  }
  return [...models.values()];
}

/** One model that the operator has named. */
export interface NamedModel {
  readonly id: string;
  /** The upstream's own name for it; by default the id. */
  readonly upstreamId?: string;
  readonly aliases?: readonly string[];
  /** Seconds since the epoch. */
  readonly createdAt?: number;
  /** As of the provider, for this model alone. */
  readonly contextMaxTokens?: number;
}

export const modelOf = ({ id, aliases, createdAt = defaultCreatedAt }: NamedModel): Model => ({
  id,
  createdAt,
  ...(aliases !== undefined && { aliases }),
});
