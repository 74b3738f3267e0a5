/** The settings of OpenAI-compatible upstreams, and of the ways to their models. */
import * as v from "valibot";
import { parsedJson, stringRecord } from "./values.ts";

/** An OpenAI-compatible upstream; the options of `openAiCompatible`. */
export interface ProviderSettings {
  readonly name: string;
  readonly baseUrl: string;
  readonly apiKey?: string | undefined;
  readonly models: readonly string[] | "*";
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly contextMaxTokens?: number | undefined;
  readonly streamUsage?: boolean | undefined;
  readonly maxConcurrency?: number | undefined;
}

const urlSchema = v.pipe(
  v.string(),
  v.check(
    (value) => URL.canParse(value) && /^https?:$/.test(new URL(value).protocol),
    "must be an http(s) URL",
  ),
);

const fitsHeaders = (headers: Readonly<Record<string, string>>): boolean => {
  try {
    new Headers(headers);
    return true;
  } catch {
    return false;
  }
};
const unfit = "has what no HTTP header can have";

const providerSchema = v.strictObject({
  name: v.pipe(v.string(), v.regex(/^[a-z0-9_-]+$/, "must be of a-z, 0-9, - and _")),
  baseUrl: urlSchema,
  apiKey: v.optional(
    v.pipe(
      v.string(),
      // Bun puts nothing for a `${NAME}` in its .env file that is not set.
      v.nonEmpty("must not be empty"),
      v.check((key) => fitsHeaders({ key }), unfit),
    ),
  ),
  models: v.optional(
    v.union(
      [v.literal("*"), v.pipe(v.array(v.pipe(v.string(), v.minLength(1))), v.minLength(1))],
      "must be a list of ids, or *",
    ),
    "*",
  ),
  headers: v.optional(v.pipe(v.record(v.string(), v.string()), v.check(fitsHeaders, unfit))),
  contextMaxTokens: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1))),
  streamUsage: v.optional(v.boolean()),
  maxConcurrency: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0))),
});

/** Puts environment variables in the place of `${NAME}`, in every string of a JSON value. */
const withVariables = (
  value: unknown,
  environment: Readonly<Record<string, string | undefined>>,
  missing: Set<string>,
): unknown => {
  if (typeof value === "string") {
    return value.replace(/\$\{(\w+)\}/g, (_, name: string) => {
      const variable = environment[name];
      if (variable === undefined) missing.add(name);
      return variable ?? name;
    });
  }
  if (Array.isArray(value)) return value.map((entry) => withVariables(entry, environment, missing));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, entry]) => [name, withVariables(entry, environment, missing)]),
  );
};

interface ProviderVariables {
  readonly OPENAI_BASE_URL?: string | undefined;
  readonly OPENAI_API_KEY?: string | undefined;
  readonly OPENAI_MODELS: string;
  readonly PROVIDERS: string;
}

const modelList = (value: string): readonly string[] | "*" => {
  const ids = value
    .split(",")
    .map((id) => id.trim())
    .filter((id) => id !== "");
  return ids.includes("*") || ids.length === 0 ? "*" : ids;
};

/** The upstream of OPENAI_BASE_URL, then those of PROVIDERS. What is wrong goes to `problems`, never with a value. */
export function readProviders(
  variables: ProviderVariables,
  environment: Readonly<Record<string, string | undefined>>,
  problems: string[],
): readonly ProviderSettings[] {
  const providers: ProviderSettings[] = [];
  if (!fitsHeaders({ key: variables.OPENAI_API_KEY ?? "" })) problems.push(`OPENAI_API_KEY ${unfit}`);
  if (variables.OPENAI_BASE_URL !== undefined) {
    providers.push({
      name: "openai",
      baseUrl: variables.OPENAI_BASE_URL,
      apiKey: variables.OPENAI_API_KEY,
      models: modelList(variables.OPENAI_MODELS),
    });
  } else if (variables.OPENAI_API_KEY !== undefined) {
    problems.push("OPENAI_API_KEY is set without OPENAI_BASE_URL");
  }

  const list = parsedJson(variables.PROVIDERS);
  if (!Array.isArray(list)) {
    problems.push(
      'PROVIDERS must be a JSON array of upstreams such as {"name":"moonshot","baseUrl":"https://…/v1"}',
    );
    return providers;
  }
  const missing = new Set<string>();
  for (const [index, entry] of list.entries()) {
    const result = v.safeParse(providerSchema, withVariables(entry, environment, missing));
    if (result.success) providers.push(result.output);
    else {
      for (const issue of result.issues) {
        const message =
          issue.kind === "validation" || issue.type === "union" ? issue.message : `must be ${issue.expected}`;
        problems.push(`PROVIDERS [${index}].${v.getDotPath(issue) ?? ""} ${message}`);
      }
    }
  }
  for (const name of missing) problems.push(`PROVIDERS names \${${name}}, which is not set`);
  const names = ["kimi-web", ...providers.map(({ name }) => name)];
  for (const name of new Set(names.filter((entry, index) => names.indexOf(entry) !== index))) {
    problems.push(`PROVIDERS has the name ${name}, which another upstream has`);
  }
  return providers;
}

/** `name=model,…` or a JSON object. Throws an Error that says what is allowed. */
export function readAliases(value: string): Readonly<Record<string, string>> {
  const allowed =
    "must be `name=model,…` or a JSON object of names and models; `*=model` takes every other name";
  if (value.trim().startsWith("{")) return stringRecord("names and models")(value);
  const entries = value
    .split(",")
    .map((entry) => entry.trim())
    .filter((entry) => entry !== "");
  return Object.fromEntries(
    entries.map((entry) => {
      const at = entry.indexOf("=");
      const name = entry.slice(0, at).trim();
      const model = entry.slice(at + 1).trim();
      if (at < 1 || name === "" || model === "") throw new Error(allowed);
      return [name, model];
    }),
  );
}

const fallbacksSchema = v.record(v.string(), v.array(v.string()));

/** A JSON object of models and their lists. Throws an Error that says what is allowed. */
export function readFallbacks(value: string): Readonly<Record<string, readonly string[]>> {
  const result = v.safeParse(fallbacksSchema, parsedJson(value));
  if (!result.success)
    throw new Error('must be a JSON object of lists, such as {"kimi-k2-instruct":["moonshot/kimi-k2"]}');
  return result.output;
}
