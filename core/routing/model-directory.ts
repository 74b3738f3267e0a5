/** Which providers answer for which model: ids, `provider/id`, aliases, fallbacks. */
import { ApiError } from "../errors.ts";
import type { MaybePromise, Model, Provider, ProviderContext } from "../types.ts";
import { andThen, isPromise } from "../util/maybe-promise.ts";

/** Where a request may go. */
export interface ModelRoute {
  readonly provider: Provider;
  readonly model: Model;
  /** `provider/model`, as a header can have it. */
  readonly name: string;
  /** Why the provider's list could not be had, so that it is unknown whether it has the model. */
  readonly listError?: ApiError;
}

/** A model, and the id that leads to it. */
export interface ListedModel {
  readonly id: string;
  readonly provider: Provider;
  readonly model: Model;
}

export type ListingContext = Pick<ProviderContext, "signal" | "log">;

/** Looks a model up when it is its turn: the upstream that must be asked for its list may be slow, or down. */
export type FindRoute = (context: ListingContext) => MaybePromise<ModelRoute>;

/** Who answers for a name. */
export interface FoundModel {
  readonly route: ModelRoute;
  /** Who else may, if that fails early, in the order in which they are asked. */
  readonly fallbacks: readonly FindRoute[];
}

export interface ModelDirectory {
  /** Every model on offer: by its id, or as `provider/id` where that id leads to another provider. */
  list(context: ListingContext): Promise<readonly ListedModel[]>;
  /** Throws ApiError model_not_found. */
  find(asked: string, context: ListingContext): MaybePromise<FoundModel>;
}

export interface ModelDirectoryOptions {
  readonly providers: readonly Provider[];
  /** Other names for models; "*" stands for every name that nothing else has. */
  readonly modelAliases?: Readonly<Record<string, string>>;
  /** By the name that was asked for, by `provider/id` or by a model's id. */
  readonly modelFallbacks?: Readonly<Record<string, readonly string[]>>;
}

const own = <T>(record: Readonly<Record<string, T>>, name: string): T | undefined =>
  Object.hasOwn(record, name) ? record[name] : undefined;

/** Names end up in headers, in the log and among the circuits, and those of unlisted models are the client's. */
const maxNameChars = 256;

/** Names whose routes are remembered. */
const maxRemembered = 1000;

const routeTo = (provider: Provider, model: Model, listError?: ApiError): ModelRoute => {
  // An id may hold anything.
  const name = encodeURI(`${provider.name}/${model.id}`.replace(/\p{Cs}/gu, "\ufffd"));
  return { provider, model, name, ...(listError && { listError }) };
};

/** The lists that a search has looked at. */
interface Consulted {
  readonly lists: { readonly provider: Provider; readonly models: readonly Model[] }[];
  /** Whether one could not be had, or had to be waited for. */
  isLacking: boolean;
}

/** Whether providers still hand out the very lists that they did. */
const isCurrent = ({ lists }: Consulted, context: ListingContext): boolean => {
  try {
    for (const { provider, models } of lists) {
      const now = provider.models(context);
      if (now === models) continue;
      // Whoever looks the name up anew is told what becomes of it.
      if (isPromise(now)) now.catch(() => {});
      return false;
    }
    return true;
  } catch {
    return false;
  }
};

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

  /** Where names have led to, and what was looked at: while that is current, they lead there again. */
  const remembered = new Map<string, { readonly found: FoundModel; readonly consulted: Consulted }>();
  /** The lists that they were looked up in: with another one all are forgotten, as each would keep its old ones. */
  const current = new Map<Provider, readonly Model[]>();

  const remember = (asked: string, found: FoundModel, consulted: Consulted): void => {
    const { lists } = consulted;
    const isOther = lists.some(({ provider, models }) => current.get(provider) !== models);
    if (isOther || remembered.size >= maxRemembered) remembered.clear();
    for (const { provider, models } of lists) current.set(provider, models);
    remembered.set(asked, { found, consulted });
  };

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
  const modelsOf = (
    provider: Provider,
    { signal, log }: ListingContext,
  ): MaybePromise<readonly Model[] | ApiError> => {
    const failed = (error: unknown): ApiError => {
      if (signal.aborted || !(error instanceof ApiError)) throw error;
      log.warn("models_unavailable", { provider: provider.name, code: error.code });
      return error;
    };
    try {
      const models = provider.models({ signal, log });
      return isPromise(models) ? models.catch(failed) : models;
    } catch (error) {
      return failed(error);
    }
  };

  /** `name/id` → the provider of that name, and the id. */
  const splitName = (asked: string): { named?: Provider | undefined; rest: string } => {
    const slash = asked.indexOf("/");
    if (slash < 1) return { rest: asked };
    const prefix = asked.slice(0, slash);
    return { named: providers.find(({ name }) => name === prefix), rest: asked.slice(slash + 1) };
  };

  /**
   * The operator's name for a provider comes before whatever ids upstreams list. What nobody lists is still asked of an
   * upstream that is named, or whose list can't be had: upstreams have models that they don't list.
   */
  const lookUp = (
    asked: string,
    context: ListingContext,
    consulted: Consulted,
  ): MaybePromise<ModelRoute | undefined> => {
    const { named, rest } = splitName(asked);
    const order = named ? [named, ...providers.filter((other) => other !== named)] : providers;

    const lookFrom = (position: number, guess?: ModelRoute): MaybePromise<ModelRoute | undefined> => {
      const provider = order[position];
      if (provider === undefined) return guess;
      const id = provider === named ? rest : asked;
      const isUnlisted = provider === named && provider.takesUnlistedModels === true && rest !== "";
      const models = modelsOf(provider, context);
      // To look whether it is still the same would be to ask for it once more.
      if (isPromise(models)) consulted.isLacking = true;
      return andThen(models, (list) => {
        if (list instanceof ApiError) {
          consulted.isLacking = true;
          const unlisted = { id, createdAt: 0 };
          if (isUnlisted) return routeTo(provider, unlisted);
          return lookFrom(position + 1, guess ?? routeTo(provider, unlisted, list));
        }
        consulted.lists.push({ provider, models: list });
        const index = indexOf(list);
        const model = index.get(asked) ?? index.get(id);
        if (model !== undefined) return routeTo(provider, model);
        return lookFrom(position + 1, isUnlisted ? routeTo(provider, { id, createdAt: 0 }) : guess);
      });
    };
    return lookFrom(0);
  };

  const resolve = (
    asked: string,
    context: ListingContext,
    consulted: Consulted = { lists: [], isLacking: false },
  ): MaybePromise<ModelRoute> => {
    const alias = own(modelAliases, asked);
    const catchAll = alias === undefined ? own(modelAliases, "*") : undefined;
    const demand = (found: ModelRoute | undefined): ModelRoute => {
      if (found === undefined) throw notFound(asked);
      return found;
    };
    return andThen(lookUp(alias ?? asked, context, consulted), (found) =>
      catchAll !== undefined && (found === undefined || found.listError)
        ? andThen(lookUp(catchAll, context, consulted), demand)
        : demand(found),
    );
  };

  return {
    async list(context) {
      const lists = await Promise.all(providers.map((provider) => modelsOf(provider, context)));
      const had = new Map<Provider, readonly Model[]>();
      for (const [index, list] of lists.entries())
        if (!(list instanceof ApiError)) had.set(providers[index] as Provider, list);

      const listed = new Map<string, ListedModel>();
      const before: ReadonlyMap<string, Model>[] = [];
      for (const [provider, models] of had) {
        for (const model of models) {
          const { named, rest } = splitName(model.id);
          const owner = named && had.get(named);
          const isTaken =
            before.some((index) => index.has(model.id)) ||
            (named !== provider && owner && indexOf(owner).has(rest));
          const id = isTaken ? `${provider.name}/${model.id}` : model.id;
          if (!listed.has(id)) listed.set(id, { id, provider, model });
        }
        before.push(indexOf(models));
      }
      const failure = lists.find((list) => list instanceof ApiError);
      if (listed.size === 0 && failure !== undefined) throw failure;
      return [...listed.values()];
    },

    find(asked, context) {
      if (asked.length > maxNameChars) throw notFound(asked);
      const known = remembered.get(asked);
      if (known !== undefined && isCurrent(known.consulted, context)) return known.found;
      const consulted: Consulted = { lists: [], isLacking: false };
      return andThen(resolve(asked, context, consulted), (route) => {
        const { provider, model } = route;
        const names =
          own(modelFallbacks, asked) ??
          own(modelFallbacks, `${provider.name}/${model.id}`) ??
          own(modelFallbacks, model.id) ??
          [];
        const found: FoundModel = {
          route,
          fallbacks: names.map((name) => (later) => resolve(name, later)),
        };
        if (!consulted.isLacking) remember(asked, found, consulted);
        return found;
      });
    },
  };
}
