/** Which provider has which model: ids, `provider/id`, aliases, fallbacks. */
import { ApiError } from "../errors.ts";
import type { Model, Provider, ProviderContext } from "../types.ts";

/** A model at a provider: where a request may go. */
export interface ModelRoute {
  readonly provider: Provider;
  readonly model: Model;
  /** `provider/model`, as a header can have it. */
  readonly name: string;
  /** Whether the provider lists the model; the name of one that it doesn't is the client's. */
  readonly isListed: boolean;
  /** Why the provider's list could not be had, so that it is unknown whether it has the model. */
  readonly listError?: ApiError | undefined;
  /** Whether no list has the name, and there is just one provider that might have it all the same. */
  readonly isGuess?: boolean;
}

/** A model, and the id that leads to it. */
export interface ListedModel {
  readonly id: string;
  readonly provider: Provider;
  readonly model: Model;
}

export interface ListingContext extends Pick<ProviderContext, "signal" | "log"> {
  /** The models that the caller may use, by any of their names; absent for all. */
  readonly only?: readonly string[] | undefined;
}

/** Looks a fallback's model up when it is needed: the upstream that must be asked for its list may be slow, or down. */
export type FindRoute = (context: ListingContext) => Promise<ModelRoute>;

export interface ModelDirectory {
  /**
   * Every model on offer: by its id, or as `provider/id` where that id leads to another provider. For a caller who may not use
   * all, those that it may, by the names that it has them by.
   */
  list(context: ListingContext): Promise<readonly ListedModel[]>;
  /** Where a request for that model goes. Throws ApiError model_not_found or model_not_allowed. */
  find(modelName: string, context: ListingContext): Promise<ModelRoute>;
  /** What to try when the route that was found for the name fails early, in order; `only` as in ListingContext. */
  fallbacks(modelName: string, route: ModelRoute, only?: readonly string[]): readonly FindRoute[];
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

const routeTo = (
  provider: Provider,
  model: Model,
  { isListed, listError }: { readonly isListed: boolean; readonly listError?: ApiError },
): ModelRoute => {
  // An id may hold anything.
  const name = encodeURI(`${provider.name}/${model.id}`.replace(/\p{Cs}/gu, "\ufffd"));
  return { provider, model, name, isListed, listError };
};

const none: readonly never[] = [];

/** A model that no list has. */
const unlisted = (id: string): Model => ({ id, createdAt: 0 });

/** Ollama's tag for an id without one. */
const latest = ":latest";
/** Gemini lists its models as `models/gemini-…`, and clients know them without. */
const modelsPrefix = "models/";

/** How else an upstream may spell an id. */
const otherSpellings = (id: string): readonly string[] => [
  id.endsWith(latest) ? id.slice(0, -latest.length) : id + latest,
  id.startsWith(modelsPrefix) ? id.slice(modelsPrefix.length) : modelsPrefix + id,
];

/** OpenRouter's `id:nitro` and `id@preset/name`: a listed model, asked for in a way that no list has. */
const variant = /^(.+)(?::[\w.-]+|@preset\/[\w.-]+)$/;
const isPreset = (id: string): boolean => id.startsWith("@preset/");

/** Names that an error lists. */
const maxNamesTold = 10;

export const modelNotFound = (modelName: string, known: readonly string[] = []): ApiError => {
  const some = known.slice(0, maxNamesTold).join(", ");
  const more = known.length > maxNamesTold ? ` and ${known.length - maxNamesTold} more` : "";
  const there = known.length > 0 ? `There are: ${some}${more}.` : "GET /v1/models lists those that do.";
  return new ApiError(
    "model_not_found",
    `The model \`${modelName.slice(0, 200)}\` does not exist. ${there} The operator can give a model further names in MODEL_ALIASES.`,
    { param: "model" },
  );
};

type Index = ReadonlyMap<string, ModelRoute>;

/** A provider's models, and the id that was asked for there. */
interface Listed {
  readonly provider: Provider;
  readonly id: string;
  readonly index: Index;
}

export function createModelDirectory(options: ModelDirectoryOptions): ModelDirectory {
  const { providers, modelAliases = {}, modelFallbacks = {} } = options;
  /** What the names in each provider's newest list lead to: the same list is not indexed again. */
  const indexes = new Map<Provider, { readonly models: readonly Model[]; readonly index: Index }>();

  const indexOf = (provider: Provider, models: readonly Model[]): Index => {
    const known = indexes.get(provider);
    if (known?.models === models) return known.index;
    const index = new Map<string, ModelRoute>();
    const routes = models.map((model) => routeTo(provider, model, { isListed: true }));
    for (const route of routes) for (const alias of route.model.aliases ?? []) index.set(alias, route);
    for (const route of routes) index.set(route.model.id, route);
    indexes.set(provider, { models, index });
    return index;
  };

  /** What a list can't be had for is not in the way of other providers. Throws what ends the request. */
  const listFailure = (provider: Provider, error: unknown, { signal, log }: ListingContext): ApiError => {
    if (signal.aborted || !(error instanceof ApiError)) throw error;
    log.warn("models.list_failed", { provider: provider.name, code: error.code });
    return error;
  };

  /** Of every provider. */
  const allLists = (context: ListingContext): Promise<(readonly Model[] | ApiError)[]> =>
    Promise.all(
      providers.map(async (provider) => {
        try {
          return await provider.models(context);
        } catch (error) {
          return listFailure(provider, error, context);
        }
      }),
    );

  // Of two with one name the first.
  const byName = new Map(providers.toReversed().map((provider) => [provider.name, provider]));

  /** `name/id` → the provider of that name, and the id. */
  const splitName = (modelName: string): { named?: Provider | undefined; rest: string } => {
    const slash = modelName.indexOf("/");
    if (slash < 1) return { rest: modelName };
    const prefix = modelName.slice(0, slash);
    return { named: byName.get(prefix), rest: modelName.slice(slash + 1) };
  };

  /** Those that may have models which no list has. */
  const openProviders = providers.filter(({ takesUnlistedModels }) => takesUnlistedModels === true);
  /** Where a model may be that nobody lists: at the only provider, and a preset at the only one of such. */
  const guessFor = (id: string): ModelRoute | undefined => {
    const [only] = openProviders;
    if (only === undefined || openProviders.length > 1 || id === "") return undefined;
    if (providers.length > 1 && !isPreset(id)) return undefined;
    return { ...routeTo(only, unlisted(id), { isListed: false }), isGuess: true };
  };

  /** The model by another spelling of its id, or a variant of it. */
  const findSimilar = (listed: readonly Listed[]): ModelRoute | undefined => {
    for (const { provider, id, index } of listed) {
      const spelling = otherSpellings(id).find((other) => index.has(other));
      if (spelling !== undefined) return index.get(spelling);
      const base = variant.exec(id)?.[1];
      if (provider.takesUnlistedModels && base !== undefined && index.has(base))
        return routeTo(provider, unlisted(id), { isListed: false });
    }
    return undefined;
  };

  /**
   * The operator's name for a provider comes before whatever ids upstreams list, and an id as it is listed before other
   * spellings of it. What nobody lists is still asked of an upstream that is named, whose list can't be had, or that is
   * the only one: upstreams have models that they don't list.
   */
  const lookUp = async (modelName: string, context: ListingContext): Promise<ModelRoute | undefined> => {
    const { named, rest } = splitName(modelName);
    const order = named ? [named, ...providers.filter((other) => other !== named)] : providers;
    const listed: Listed[] = [];
    let guess: ModelRoute | undefined;
    for (const provider of order) {
      const id = provider === named ? rest : modelName;
      const takesUnlisted = provider === named && provider.takesUnlistedModels === true && rest !== "";
      let list: readonly Model[];
      try {
        list = await provider.models(context);
      } catch (error) {
        const listError = listFailure(provider, error, context);
        if (takesUnlisted) return routeTo(provider, unlisted(id), { isListed: false });
        guess ??= routeTo(provider, unlisted(id), { isListed: false, listError });
        continue;
      }
      const index = indexOf(provider, list);
      const route = index.get(modelName) ?? index.get(id);
      if (route !== undefined) return route;
      if (takesUnlisted) guess = routeTo(provider, unlisted(id), { isListed: false });
      listed.push({ provider, id, index });
    }
    return findSimilar(listed) ?? guess ?? guessFor(modelName);
  };

  const knownNames = async (context: ListingContext): Promise<string[]> => {
    const lists = await allLists(context);
    return lists.flatMap((list) => (list instanceof ApiError ? [] : list.map(({ id }) => id)));
  };

  const find = async (modelName: string, context: ListingContext): Promise<ModelRoute> => {
    if (modelName.length > maxNameChars) throw modelNotFound(modelName);
    const alias = own(modelAliases, modelName);
    const catchAll = alias === undefined ? own(modelAliases, "*") : undefined;
    let route = await lookUp(alias ?? modelName, context);
    if (catchAll !== undefined && (route === undefined || route.listError || route.isGuess)) {
      route = await lookUp(catchAll, context);
    }
    if (route === undefined) throw modelNotFound(modelName, context.only ?? (await knownNames(context)));
    if (context.only === undefined || (await isAmong(context.only, modelName, route, context))) return route;
    throw new ApiError(
      "model_not_allowed",
      `Your API key may not use the model \`${modelName}\`. It may use: ${context.only.join(", ")}.`,
      { param: "model" },
    );
  };

  /** Undefined where there is no such model. */
  const findIfAny = (modelName: string, context: ListingContext): Promise<ModelRoute | undefined> =>
    find(modelName, context).catch((error) => {
      if (error instanceof ApiError && error.code === "model_not_found") return undefined;
      throw error;
    });

  /** Whether one of the names leads to the same model. */
  const isAmong = async (
    names: readonly string[],
    modelName: string,
    { provider, model }: ModelRoute,
    { only: _, ...context }: ListingContext,
  ): Promise<boolean> => {
    if (names.includes(modelName)) return true;
    for (const name of names) {
      const other = await findIfAny(name, context);
      if (other?.provider === provider && other.model.id === model.id) return true;
    }
    return false;
  };

  const listOnly = async (
    names: readonly string[],
    { only: _, ...context }: ListingContext,
  ): Promise<readonly ListedModel[]> => {
    const listed: ListedModel[] = [];
    let failure: ApiError | undefined;
    for (const id of names) {
      const route = await findIfAny(id, context);
      failure ??= route?.listError;
      if (route !== undefined && !route.listError && !route.isGuess) listed.push({ id, ...route });
    }
    if (listed.length === 0 && failure !== undefined) throw failure;
    return listed;
  };

  return {
    async list(context) {
      if (context.only !== undefined) return listOnly(context.only, context);
      const lists = await allLists(context);
      const listsByProvider = new Map<Provider, readonly Model[]>();
      for (const [index, list] of lists.entries())
        if (!(list instanceof ApiError)) listsByProvider.set(providers[index] as Provider, list);

      const listed = new Map<string, ListedModel>();
      const before: Index[] = [];
      for (const [provider, models] of listsByProvider) {
        for (const model of models) {
          const { named, rest } = splitName(model.id);
          const owner = named && listsByProvider.get(named);
          const isTaken =
            before.some((index) => index.has(model.id)) ||
            (named !== provider && named && owner && indexOf(named, owner).has(rest));
          const id = isTaken ? `${provider.name}/${model.id}` : model.id;
          if (!listed.has(id)) listed.set(id, { id, provider, model });
        }
        before.push(indexOf(provider, models));
      }
      const failure = lists.find((list) => list instanceof ApiError);
      if (listed.size === 0 && failure !== undefined) throw failure;
      return [...listed.values()];
    },

    find,

    fallbacks(modelName, { provider, model }, only) {
      const names =
        own(modelFallbacks, modelName) ??
        own(modelFallbacks, `${provider.name}/${model.id}`) ??
        own(modelFallbacks, model.id);
      return names?.map((name) => (context) => find(name, only ? { ...context, only } : context)) ?? none;
    },
  };
}
