import { describe, expect, test } from "bun:test";
import { ApiError } from "../../core/errors.ts";
import { createModelDirectory, type ModelDirectoryOptions } from "../../core/routing/model-directory.ts";
import type { Model, Provider } from "../../core/types.ts";
import { scriptedProvider } from "../fakes/scripted-provider.ts";
import { providerContext } from "../support/chat-request.ts";

const offering = (name: string, ids: readonly string[], more: Partial<Provider> = {}): Provider => ({
  ...scriptedProvider({ name, models: ids.map((id) => ({ id, createdAt: 1 })) }),
  ...more,
});
/** One that is asked for its list, and can't be reached. */
const silent = (name: string): Provider =>
  offering(name, [], {
    takesUnlistedModels: true,
    models: async () => {
      throw new ApiError("upstream_unreachable", "No connection.");
    },
  });

const directory = (providers: readonly Provider[], options: Partial<ModelDirectoryOptions> = {}) => {
  const models = createModelDirectory({ providers, ...options });
  const find = (asked: string) => models.find(asked, providerContext());
  return {
    list: async () =>
      (await models.list(providerContext())).map(({ id, provider }) => `${id} of ${provider.name}`),
    /** `provider/id` of who answers. */
    find: async (asked: string) => {
      const { provider, model } = await find(asked);
      return `${provider.name}/${model.id}`;
    },
    fallbacks: async (asked: string) => {
      const fallbacks = models.fallbacks(asked, await find(asked));
      const routes = await Promise.all(fallbacks.map((lookUp) => lookUp(providerContext())));
      return routes.map(({ provider, model }) => `${provider.name}/${model.id}`);
    },
  };
};

const codeOfError = (error: unknown): string => (error as ApiError).code;
const codeOf = (promise: Promise<unknown>) => promise.then(String, codeOfError);

describe("a model's name", () => {
  test("is its id, at the first provider that has it", async () => {
    const { find } = directory([offering("a", ["one"]), offering("b", ["one", "two"])]);
    expect(await find("one")).toBe("a/one");
    expect(await find("two")).toBe("b/two");
  });

  test("may be an alias of the provider's, and may have slashes itself", async () => {
    const aliased = { models: () => [{ id: "vendor/one", aliases: ["uno"], createdAt: 1 }] };
    const { find } = directory([offering("a", [], aliased)]);
    expect(await find("uno")).toBe("a/vendor/one");
    expect(await find("vendor/one")).toBe("a/vendor/one");
    expect(await find("a/vendor/one")).toBe("a/vendor/one");
  });

  test("after a provider's own leads there, whatever ids the others list", async () => {
    const { find, list } = directory([offering("a", ["one", "b/one"]), offering("b", ["one"])]);
    expect(await find("b/one")).toBe("b/one");
    expect(await find("a/b/one")).toBe("a/b/one");
    expect(await list()).toEqual(["one of a", "a/b/one of a", "b/one of b"]);
  });

  test("that no list has is asked of an upstream that is named, if its list isn't all that it has", async () => {
    const open = offering("open", ["one"], { takesUnlistedModels: true });
    const { find } = directory([open, offering("closed", ["one"])]);
    expect(await find("open/new")).toBe("open/new");
    expect(await codeOf(find("closed/new"))).toBe("model_not_found");
    expect(await codeOf(find("open/"))).toBe("model_not_found");
    expect(await codeOf(find("new"))).toBe("model_not_found");
  });

  test("that another upstream lists is not taken for an unlisted one", async () => {
    const open = offering("openai", ["llama"], { takesUnlistedModels: true });
    const { find, list } = directory([open, offering("openrouter", ["openai/gpt-4o"])]);
    expect(await find("openai/gpt-4o")).toBe("openrouter/openai/gpt-4o");
    expect(await list()).toContain("openai/gpt-4o of openrouter");
  });

  const open = { takesUnlistedModels: true };

  test.each([
    ["llama3.2", "ollama/llama3.2:latest"],
    ["ollama/llama3.2", "ollama/llama3.2:latest"],
    ["qwen3:latest", "other/qwen3"],
    ["gemini-2.5-pro", "gemini/models/gemini-2.5-pro"],
    ["gemini/gemini-2.5-pro", "gemini/models/gemini-2.5-pro"],
    ["models/gemma", "other/gemma"],
    ["moonshotai/kimi-k2:nitro", "router/moonshotai/kimi-k2:nitro"],
    ["moonshotai/kimi-k2:free:floor", "router/moonshotai/kimi-k2:free:floor"],
    ["moonshotai/kimi-k2@preset/mine", "router/moonshotai/kimi-k2@preset/mine"],
    ["router/moonshotai/kimi-k2:online", "router/moonshotai/kimi-k2:online"],
    ["llama3.2:70b", "model_not_found"],
    ["gemma:nitro", "model_not_found"],
    ["kimi-k2:nitro", "model_not_found"],
    ["@preset/mine", "model_not_found"],
  ])("is tried as the upstream spells it: %s goes to %s", async (asked, expected) => {
    const { find } = directory([
      offering("ollama", ["llama3.2:latest"], open),
      offering("other", ["qwen3", "gemma"]),
      offering("gemini", ["models/gemini-2.5-pro"], open),
      offering("router", ["moonshotai/kimi-k2", "moonshotai/kimi-k2:free"], open),
    ]);
    expect(await find(asked).catch(codeOfError)).toBe(expected);
  });

  test("as one lists it comes before another's other spelling", async () => {
    const { find } = directory([offering("a", ["llama:latest"], open), offering("b", ["llama"], open)]);
    expect(await find("llama")).toBe("b/llama");
    expect(await find("a/llama")).toBe("a/llama:latest");
  });

  test("of a preset is asked of the only upstream that may have it", async () => {
    const { find } = directory([offering("site", ["kimi"]), offering("router", ["x"], open)]);
    expect(await find("@preset/mine")).toBe("router/@preset/mine");
    expect(await codeOf(find("gpt-4o"))).toBe("model_not_found");
  });

  test("that no list has is asked of the only provider, if its list isn't all that it has", async () => {
    expect(await directory([offering("a", ["one"], open)]).find("new/model")).toBe("a/new/model");
    expect(await codeOf(directory([offering("a", ["one"])]).find("new"))).toBe("model_not_found");
    expect(await codeOf(directory([offering("a", ["one"], open)]).find(""))).toBe("model_not_found");
  });

  test("that only a guess would serve is taken by the alias for every other name", async () => {
    const { find } = directory([offering("a", ["one"], open)], { modelAliases: { "*": "one" } });
    expect(await find("gpt-4o")).toBe("a/one");
  });

  test.each(["__proto__", "constructor", "/", "", "a", "toString/x"])("is not %p", async (asked) => {
    const { find } = directory([offering("a", ["one"])], { modelAliases: {}, modelFallbacks: {} });
    expect(await codeOf(find(asked))).toBe("model_not_found");
  });
});

describe("the list", () => {
  test("has every model under an id that leads to it", async () => {
    const providers = [offering("a", ["one", "two"]), offering("b", ["one", "three"])];
    const { list, find } = directory(providers);
    expect(await list()).toEqual(["one of a", "two of a", "b/one of b", "three of b"]);
    expect(await find("b/one")).toBe("b/one");
  });

  test("has no id that is another's alias", async () => {
    const aliased = { models: () => [{ id: "one", aliases: ["kimi"], createdAt: 1 }] };
    const { list, find } = directory([offering("a", [], aliased), offering("b", ["kimi"])]);
    expect(await list()).toEqual(["one of a", "b/kimi of b"]);
    expect(await find("kimi")).toBe("a/one");
    expect(await find("b/kimi")).toBe("b/kimi");
  });

  test("leaves out who can't give one, and fails when nobody can", async () => {
    expect(await directory([silent("down"), offering("up", ["one"])]).list()).toEqual(["one of up"]);
    expect(await codeOf(directory([silent("down")]).list())).toBe("upstream_unreachable");
  });
});

describe("an upstream whose list can't be had", () => {
  test("is asked for what nobody else lists, and is not in the way of the others", async () => {
    const { find } = directory([silent("down"), offering("up", ["one"])]);
    expect(await find("one")).toBe("up/one");
    expect(await find("down/two")).toBe("down/two");
    expect(await find("two")).toBe("down/two");
  });

  test("comes after the alias that takes every other name", async () => {
    const { find } = directory([silent("down"), offering("up", ["one"])], { modelAliases: { "*": "one" } });
    expect(await find("two")).toBe("up/one");
    expect(await find("down/two")).toBe("down/two");
  });
});

describe("aliases", () => {
  const providers = [offering("a", ["one", "two"]), offering("b", ["one"])];

  test("stand for ids and names with a provider, and come before ids", async () => {
    const { find } = directory(providers, { modelAliases: { "gpt-4o": "b/one", two: "one" } });
    expect(await find("gpt-4o")).toBe("b/one");
    expect(await find("two")).toBe("a/one");
  });

  test("may take every other name", async () => {
    const { find } = directory(providers, { modelAliases: { "gpt-4o": "two", "*": "one" } });
    expect(await find("gpt-4o")).toBe("a/two");
    expect(await find("two")).toBe("a/two");
    expect(await find("claude")).toBe("a/one");
    expect(await find("*")).toBe("a/one");
  });

  test("of models that there aren't are model_not_found, which names what was asked for", async () => {
    const { find } = directory(providers, { modelAliases: { "gpt-4o": "none" } });
    await expect(find("gpt-4o")).rejects.toThrow("`gpt-4o`");
  });
});

describe("fallbacks", () => {
  const providers = [offering("a", ["one", "two"]), offering("b", ["one", "three"])];

  test("are those of the name that was asked for, of the provider's model, or of the id", async () => {
    const { fallbacks } = directory(providers, {
      modelAliases: { mini: "one", other: "b/one" },
      modelFallbacks: { mini: ["three"], "b/one": ["two"], one: ["b/one", "two"] },
    });
    expect(await fallbacks("mini")).toEqual(["b/three"]);
    expect(await fallbacks("one")).toEqual(["b/one", "a/two"]);
    expect(await fallbacks("other")).toEqual(["a/two"]);
    expect(await fallbacks("three")).toEqual([]);
  });

  test("are looked up only when it is their turn", async () => {
    let asked = 0;
    const models = async () => {
      asked++;
      return [];
    };
    const slow = offering("slow", [], { models, takesUnlistedModels: true });
    const { fallbacks, find } = directory([offering("a", ["one"]), slow], {
      modelFallbacks: { one: ["slow/x"] },
    });
    await find("one");
    expect(asked).toBe(0);
    expect(await fallbacks("one")).toEqual(["slow/x"]);
    expect(asked).toBe(1);
  });
});

describe("a name that has been looked up before", () => {
  const changing = (name: string) => {
    let models: Model[] | Promise<Model[]> = [];
    return {
      provider: offering(name, [], { models: () => models }),
      offer: (next: typeof models) => (models = next),
    };
  };
  const one = [{ id: "one", createdAt: 1 }];

  test("leads elsewhere once a list has changed", async () => {
    const { provider, offer } = changing("a");
    const { find } = directory([provider, offering("b", ["one"])]);
    expect([await find("one"), await find("one")]).toEqual(["b/one", "b/one"]);
    offer(one);
    expect(await find("one")).toBe("a/one");
    offer([]);
    expect(await find("one")).toBe("b/one");
  });

  test("keeps no list but the current one, however many names were looked up in others", async () => {
    const { provider, offer } = changing("a");
    const { find } = directory([{ ...provider, takesUnlistedModels: true }]);
    const lists: WeakRef<Model[]>[] = [];
    for (let number = 0; number < 50; number++) {
      const list = [{ id: "one", createdAt: number }];
      lists.push(new WeakRef(list));
      offer(list);
      expect(await find(`a/unlisted-${number}`)).toBe(`a/unlisted-${number}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 0));
    Bun.gc(true);
    // The collector may take a word on the stack for a reference.
    expect(lists.filter((list) => list.deref() !== undefined).length).toBeLessThan(10);
  });

  test("asks a provider whose list is always to be waited for no more than once", async () => {
    let asked = 0;
    const models = async () => {
      asked++;
      return one;
    };
    const { find } = directory([offering("a", [], { models })]);
    expect([await find("one"), await find("one")]).toEqual(["a/one", "a/one"]);
    expect(asked).toBe(2);
  });

  test("is looked up again while a list is being fetched, and when it could not be had", async () => {
    const { provider, offer } = changing("a");
    const { find } = directory([provider, offering("b", ["one"])]);
    expect(await find("one")).toBe("b/one");
    offer(Promise.reject(new ApiError("upstream_unreachable", "No connection.")));
    expect(await find("one")).toBe("b/one");
    offer(Promise.resolve(one));
    expect(await find("one")).toBe("a/one");
  });
});
