/** The models of an upstream that is asked for them: kept a while, asked once at a time, old ones rather than none. */
import { ApiError } from "../../errors.ts";
import type { Clock, Model, ProviderContext } from "../../types.ts";
import { type SharedTask, sharedTask } from "../shared/shared-task.ts";

type ListingContext = Pick<ProviderContext, "signal" | "log">;

export interface ListedModelsOptions {
  /** The upstream's name, for messages. */
  readonly upstream: string;
  /** Asks the upstream. */
  readonly load: (context: ListingContext) => Promise<readonly Model[]>;
  readonly clock: Clock;
}

const keptMs = 5 * 60_000;
/** After a failure, nothing is asked for so long. */
const holdOffMs = 10_000;
const limitMs = 5_000;

/** A `Provider`'s `models` over `load`. */
export function listedModels({ upstream, load, clock }: ListedModelsOptions) {
  let known: readonly Model[] | undefined;
  let failure: unknown;
  let nextLoadMs = Number.NEGATIVE_INFINITY;
  let loading: SharedTask<readonly Model[]> | undefined;

  const refresh = async (context: ListingContext): Promise<readonly Model[]> => {
    known = await load(context);
    nextLoadMs = clock.monotonic() + keptMs;
    return known;
  };

  return ({ signal, log }: ListingContext): readonly Model[] | Promise<readonly Model[]> => {
    if (clock.monotonic() < nextLoadMs) return known ?? Promise.reject(failure);
    loading ??= sharedTask((shared) => refresh({ signal: shared, log }), {
      clock,
      limitMs,
      timeoutMessage: `${upstream} did not list its models within ${limitMs / 1000} s.`,
      onOver: () => {
        loading = undefined;
      },
    });
    return loading.join(signal).catch((error: unknown) => {
      signal.throwIfAborted();
      failure = error;
      nextLoadMs = clock.monotonic() + holdOffMs;
      if (known === undefined) throw error;
      return known;
    });
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

export const modelOf = ({
  id,
  aliases,
  createdAt = defaultCreatedAt,
  contextMaxTokens,
}: NamedModel): Model => ({
  id,
  createdAt,
  ...(aliases !== undefined && { aliases }),
  ...(contextMaxTokens !== undefined && { contextTokens: contextMaxTokens }),
});
