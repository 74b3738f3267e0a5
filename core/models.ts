/** Which providers answer for which model: ids, `provider/id`, aliases, fallbacks. */
import { ApiError } from "./errors.ts";
import type { Logger, Model, Provider, ProviderContext } from "./types.ts";

/** Where a request may go. */
export interface ModelRoute {
  readonly provider: Provider;
  readonly model: Model;
}

type ListingContext = Pick<ProviderContext, "signal" | "log">;

export interface ModelDirectory {
  /** Every model on offer, each id once: of two providers the first one's. */
  list(context: ListingContext): Promise<readonly ModelRoute[]>;
  /** Who answers for a name, and who else may if that fails early. Throws ApiError model_not_found. */
  find(asked: string, context: ListingContext): Promise<readonly [ModelRoute, ...ModelRoute[]]>;
}

export interface ModelDirectoryOptions {
  readonly providers: readonly Provider[];
  /** Other names for models; "*" stands for every name that nothing else has. */
  readonly modelAliases?: Readonly<Record<string, string>>;
  /** By a model's id, or by the name that was asked for. */
  readonly modelFallbacks?: Readonly<Record<string, readonly string[]>>;
}

const own = <T>(record: Readonly<Record<string, T>>, name: string): T | undefined =>
  Object.hasOwn(record, name) ? record[name] : undefined;

const notFound = (asked: string): ApiError =>
  new ApiError(
    "model_not_found",
    `The model \`${asked.slice(0, 200)}\` does not exist. GET /v1/models lists those that do.`,
    {
      param: "model",
    },
  );

export function modelDirectory(options: ModelDirectoryOptions): ModelDirectory {
  const { providers, modelAliases = {}, modelFallbacks = {} } = options;
  /** An index for each list: a provider that hands out the same list again is not indexed again. */
  const indexes = new WeakMap<readonly Model[], Map<string, Model>>();

  const indexOf = (models: readonly Model[]): Map<string, Model> => {
    let index = indexes.get(models);
    if (index === undefined) {
      index = new Map();
      for (const model of models) for (const alias of model.aliases ?? []) index.set(alias, model);
      for (const model of models) index.set(model.id, model);
      indexes.set(models, index);
    }
    return index;
  };

  /** A provider whose list can't be had is not in the way of the others. */
  const modelsOf = async (
    provider: Provider,
    context: ListingContext,
  ): Promise<readonly Model[] | ApiError> => {
    try {
      return await provider.models(context);
    } catch (error) {
      if (context.signal.aborted || !(error instanceof ApiError)) throw error;
      warn(context.log, provider, error);
      return error;
    }
  };
  const warn = (log: Logger, provider: Provider, error: ApiError) =>
    log.warn("models_unavailable", { provider: provider.name, code: error.code });

  const lookUp = async (
    asked: string,
    context: ListingContext,
  ): Promise<ModelRoute | ApiError | undefined> => {
    let failure: ApiError | undefined;
    for (const provider of providers) {
      const models = provider.models(context);
      const list = models instanceof Promise ? await modelsOf(provider, context) : models;
      const prefix = `${provider.name}/`;
      const rest = asked.startsWith(prefix) ? asked.slice(prefix.length) : undefined;
      if (list instanceof ApiError) failure ??= list;
      else {
        const index = indexOf(list);
        const model = index.get(asked) ?? (rest === undefined ? undefined : index.get(rest));
        if (model !== undefined) return { provider, model };
      }
      // Upstreams have models that they don't list.
      if (rest && provider.takesUnlistedModels) return { provider, model: { id: rest, createdAt: 0 } };
    }
    return failure;
  };

  const resolve = async (asked: string, context: ListingContext): Promise<ModelRoute> => {
    const alias = own(modelAliases, asked);
    let found = await lookUp(alias ?? asked, context);
    if ((found === undefined || found instanceof ApiError) && alias === undefined) {
      const other = own(modelAliases, "*");
      if (other !== undefined) found = await lookUp(other, context);
    }
    if (found === undefined) throw notFound(asked);
    if (found instanceof ApiError) throw found;
    return found;
  };

  return {
    async list(context) {
      const routes = new Map<string, ModelRoute>();
      const lists = await Promise.all(providers.map((provider) => modelsOf(provider, context)));
      for (const [index, provider] of providers.entries()) {
        const list = lists[index];
        if (list === undefined || list instanceof ApiError) continue;
        for (const model of list) if (!routes.has(model.id)) routes.set(model.id, { provider, model });
      }
      const failure = lists.find((list) => list instanceof ApiError);
      if (routes.size === 0 && failure !== undefined) throw failure;
      return [...routes.values()];
    },

    async find(asked, context) {
      const route = await resolve(asked, context);
      const { provider, model } = route;
      const fallbacks =
        own(modelFallbacks, asked) ??
        own(modelFallbacks, `${provider.name}/${model.id}`) ??
        own(modelFallbacks, model.id);
      if (fallbacks === undefined) return [route];
      return [route, ...(await Promise.all(fallbacks.map((fallback) => resolve(fallback, context))))];
    },
  };
}
