/** Which provider answers for which model. */
import { ApiError } from "./errors.ts";
import type { MaybePromise, Model, Provider, ProviderContext } from "./types.ts";

/** Where a request goes. */
export interface ModelRoute {
  readonly provider: Provider;
  readonly model: Model;
}

type ListingContext = Pick<ProviderContext, "signal" | "log">;

export interface ModelDirectory {
  /** Every model on offer, each id once: of two providers the first one's. */
  list(context: ListingContext): Promise<readonly ModelRoute[]>;
  /** By id, by `provider/id`, or by another name of a model. Throws ApiError model_not_found. */
  find(asked: string, context: ListingContext): MaybePromise<ModelRoute>;
}

export function modelDirectory(providers: readonly Provider[]): ModelDirectory {
  /** An index per list: a provider that hands out the same list again is not indexed again. */
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

  const lookUp = (provider: Provider, models: readonly Model[], asked: string): ModelRoute | undefined => {
    const index = indexOf(models);
    const prefix = `${provider.name}/`;
    const model =
      index.get(asked) ?? (asked.startsWith(prefix) ? index.get(asked.slice(prefix.length)) : undefined);
    return model && { provider, model };
  };

  const notFound = (asked: string): ApiError =>
    new ApiError(
      "model_not_found",
      `The model \`${asked.slice(0, 200)}\` does not exist. GET /v1/models lists those that do.`,
      {
        param: "model",
      },
    );

  const findFrom = (start: number, asked: string, context: ListingContext): MaybePromise<ModelRoute> => {
    for (let index = start; index < providers.length; index++) {
      const provider = providers[index] as Provider;
      const models = provider.models(context);
      if (models instanceof Promise) {
        return models.then((list) => lookUp(provider, list, asked) ?? findFrom(index + 1, asked, context));
      }
      const route = lookUp(provider, models, asked);
      if (route !== undefined) return route;
    }
    throw notFound(asked);
  };

  return {
    async list(context) {
      const routes = new Map<string, ModelRoute>();
      const lists = await Promise.all(providers.map((provider) => provider.models(context)));
      providers.forEach((provider, index) => {
        for (const model of lists[index] ?? [])
          if (!routes.has(model.id)) routes.set(model.id, { provider, model });
      });
      return [...routes.values()];
    },
    find: (asked, context) => findFrom(0, asked, context),
  };
}
