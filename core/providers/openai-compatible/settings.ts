/** The settings of OpenAI-compatible upstreams. */
import * as v from "valibot";
import { entryProblem } from "../../config/entry-problem.ts";
import { fitsHeaders, httpUrl, isQuoted, keptQuotes, text, type Values } from "../../config/values.ts";

export interface UpstreamSettings {
  readonly kind?: "openai-compatible" | undefined;
  /** Short and unique, of a-z, 0-9, "-" and "_"; shown as `owned_by`, and the prefix in `name/model`. */
  readonly name: string;
  /** Such as `https://api.moonshot.ai/v1`; a query, as Azure's `?api-version=…`, is kept. */
  readonly baseUrl: string;
  /** Sent as a bearer token. Of several, the next one is taken while the upstream refuses the one before. */
  readonly apiKey?: string | readonly string[] | undefined;
  /** The ids of the models on offer; "*" asks the upstream's `/models`. */
  readonly models: readonly string[] | "*";
  /** Further request headers; they replace the gateway's own of the same name. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** About how many tokens a prompt may have before its oldest turns are left out; by default none ever is. */
  readonly contextMaxTokens?: number | undefined;
  /** Whether streams are asked for their token counts; false for vendors that refuse `stream_options`. */
  readonly streamUsage?: boolean | undefined;
  /** Whether it has the older `/completions` itself; by default such requests are asked as a chat. */
  readonly completions?: boolean | undefined;
  /** Whether it speaks Responses itself, and keeps them; by default such requests are asked as a chat, and kept here. */
  readonly responses?: boolean | undefined;
  /** The most calls at once; no limit by default. */
  readonly maxConcurrency?: number | undefined;
  /** The tags, such as "think", around the thoughts that a text may begin with; by default they stay in the text. */
  readonly reasoningTags?: readonly string[] | undefined;
}

export const upstreamEntries = {
  OPENAI_BASE_URL: v.optional(httpUrl("")),
  OPENAI_API_KEY: v.optional(v.string()),
  OPENAI_MODELS: text("*"),
  REASONING_TAGS: v.optional(
    v.pipe(
      v.string(),
      v.regex(
        /^\s*(off|[\w-]+(\s*,\s*[\w-]+)*)?\s*$/,
        "must be names of tags without brackets, such as think",
      ),
    ),
    "off",
  ),
};

const urlSchema = v.pipe(
  v.string(),
  v.check(
    (value) => URL.canParse(value) && /^https?:$/.test(new URL(value).protocol),
    "must be an http(s) URL",
  ),
);

const unfit = "has a character that no HTTP header can hold";
const whole = (min: number) => {
  const allowed = `must be a whole number, at least ${min}`;
  return v.pipe(v.number(), v.integer(allowed), v.minValue(min, allowed));
};

const keySchema = v.pipe(
  v.string(),
  // Bun puts nothing for a `${NAME}` in its .env file that is not set.
  v.nonEmpty("must not be empty"),
  v.check((key) => fitsHeaders({ key }), unfit),
);
const keysSchema = v.pipe(v.array(keySchema), v.minLength(1, "must hold at least one key"));

const upstreamSchema = v.strictObject({
  kind: v.optional(v.literal("openai-compatible")),
  name: v.pipe(v.string(), v.regex(/^[a-z0-9_-]+$/, "must be of a-z, 0-9, - and _")),
  baseUrl: urlSchema,
  // Not a union: its error would not say what is wrong.
  apiKey: v.optional(v.lazy((key) => (Array.isArray(key) ? keysSchema : keySchema))),
  models: v.optional(
    v.union(
      [v.literal("*"), v.pipe(v.array(v.pipe(v.string(), v.minLength(1))), v.minLength(1))],
      "must be a list of ids, or *",
    ),
    "*",
  ),
  headers: v.optional(v.pipe(v.record(v.string(), v.string()), v.check(fitsHeaders, unfit))),
  contextMaxTokens: v.optional(whole(1)),
  streamUsage: v.optional(v.boolean()),
  completions: v.optional(v.boolean()),
  responses: v.optional(v.boolean()),
  maxConcurrency: v.optional(whole(0)),
});

/** A shorter key is a part of ordinary words, so that it can't be looked for in what an upstream says. */
export const shortestSecret = 8;

const tagList = (value: string): readonly string[] =>
  value.trim() === "off"
    ? []
    : value
        .split(",")
        .map((tag) => tag.trim())
        .filter((tag) => tag !== "");

const modelList = (value: string): readonly string[] | "*" => {
  const ids = value
    .split(",")
    .map((id) => id.trim())
    .filter((id) => id !== "");
  return ids.includes("*") || ids.length === 0 ? "*" : ids;
};

/** What all upstreams have in common. */
const sharedSettings = (values: Values<typeof upstreamEntries>): Pick<UpstreamSettings, "reasoningTags"> => {
  const reasoningTags = tagList(values.REASONING_TAGS);
  return reasoningTags.length > 0 ? { reasoningTags } : {};
};

/** What to say of a key that could not be hidden; `setting` is where it stands. */
const shortKeyWarnings = (
  keys: string | readonly string[] | undefined,
  setting: string,
): readonly string[] =>
  [keys ?? []].flat().every(({ length }) => length >= shortestSecret)
    ? []
    : [
        `${setting} has fewer than ${shortestSecret} characters: it is too short to be taken out of what the upstream says.`,
      ];

/** The upstream of OPENAI_BASE_URL, if there is one. Neither problems nor warnings show a value. */
export function readUpstream(
  values: Values<typeof upstreamEntries>,
  { problems, warnings }: { readonly problems: string[]; readonly warnings: string[] },
): UpstreamSettings | undefined {
  if (!fitsHeaders({ key: values.OPENAI_API_KEY ?? "" })) problems.push(`OPENAI_API_KEY ${unfit}`);
  const ownKeys = values.OPENAI_API_KEY?.split(",").map((key) => key.trim());
  if (ownKeys?.includes("")) problems.push("OPENAI_API_KEY has an empty entry in its comma list");
  else if (ownKeys?.some(isQuoted)) problems.push(`OPENAI_API_KEY ${keptQuotes("a key")}`);
  if (values.OPENAI_BASE_URL === undefined) {
    if (values.OPENAI_API_KEY !== undefined) problems.push("OPENAI_API_KEY is set without OPENAI_BASE_URL");
    return undefined;
  }
  warnings.push(...shortKeyWarnings(ownKeys, "OPENAI_API_KEY"));
  return {
    name: "openai",
    baseUrl: values.OPENAI_BASE_URL,
    apiKey: ownKeys?.length === 1 ? ownKeys[0] : ownKeys,
    models: modelList(values.OPENAI_MODELS),
    ...sharedSettings(values),
  };
}

/**
 * An entry of PROVIDERS for such an upstream, or what is wrong with it: a text for each field, which it begins with.
 * `setting` is where the entry stands.
 */
export function readUpstreamEntry(
  entry: unknown,
  values: Values<typeof upstreamEntries>,
  { setting, warnings }: { readonly setting: string; readonly warnings: string[] },
): UpstreamSettings | readonly string[] {
  const result = v.safeParse(upstreamSchema, entry);
  if (!result.success) {
    const names = { what: "an upstream", fields: Object.keys(upstreamSchema.entries) };
    return result.issues.map((issue) => entryProblem(issue, names));
  }
  const { kind: _, ...upstream } = result.output;
  warnings.push(...shortKeyWarnings(upstream.apiKey, `${setting}.apiKey`));
  return { ...upstream, ...sharedSettings(values) };
}
