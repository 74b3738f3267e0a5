/** The settings of chat sites, and what they are when nothing is set. */
import * as v from "valibot";
import { entryProblem } from "../../config/entry-problem.ts";
import {
  custom,
  fitsHeaders,
  httpUrl,
  integer,
  number,
  oneOf,
  onOff,
  parsedJson,
  readHeaders,
  stringRecord,
  type Values,
} from "../../config/values.ts";
import {
  type PlacedPreset,
  type PresetParts,
  placePreset,
  presetEntries,
  type ReadParts,
  readPreset,
  type SiteProtocol,
} from "./preset.ts";
import { isPresetName, type PresetName, presets } from "./presets/presets.ts";

export interface SiteModel {
  readonly id: string;
  /** What the site calls it; the model may be asked for by that name too. */
  readonly siteName: string;
  /** Further names by which it may be asked for. */
  readonly aliases?: readonly string[];
}

/** What is written before each message of a prompt, colon and blank included. */
export interface PromptLabels {
  readonly system: string;
  readonly user: string;
  readonly assistant: string;
  readonly tool: string;
}

export interface LongInputSettings {
  /** What becomes of a newest message that is too long by itself. */
  readonly mode: "refuse" | "shorten" | "condense";
  /** The most calls that one request may spend on condensing. */
  readonly maxCalls: number;
  /** How long a condensed text is kept in the store, in milliseconds. */
  readonly ttlMs: number;
}

export interface SiteSettings {
  readonly kind: "wordpress-chat";
  /** Short and unique, of a-z, 0-9, "-" and "_"; shown as `owned_by`, and the prefix in `name/model`. */
  readonly name: string;
  /** The page with the chat, which has the nonce. */
  readonly pageUrl: string;
  /** Where messages go: the site's `admin-ajax.php`, or a route of its REST API. */
  readonly ajaxUrl: string;
  /** How the chat plug-in is spoken with. */
  readonly protocol: SiteProtocol;
  /** Whether the site itself remembers what was said in a session, so that only new messages are sent. */
  readonly remembers: boolean;
  /** Further request headers; a cookie is merged with the site's own. */
  readonly headers: Readonly<Record<string, string>>;
  readonly models: readonly SiteModel[];
  /** The longest text that the site takes, in code points. */
  readonly maxChars: number;
  /** What becomes of a history that does not fit: replies are shortened first, or whole turns are dropped. */
  readonly overflow: "shorten" | "drop";
  readonly longInput: LongInputSettings;
  /** Whether text that WordPress would delete is written with look-alikes. */
  readonly safeText: boolean;
  readonly labels: PromptLabels;
  /** Whether tools and forms of JSON, which the site knows nothing of, are told in the prompt. */
  readonly toolsByPrompt: boolean;
  /** About how many characters a piece of a streamed reply has. */
  readonly chunkChars: number;
  /** The pause between two pieces, in milliseconds; 0 for none. */
  readonly chunkDelayMs: number;
  /** The most calls to the site at once; 0 for no limit. */
  readonly maxConcurrency: number;
}

export const defaultLabels: PromptLabels = {
  system: "System: ",
  user: "User: ",
  assistant: "Assistant: ",
  tool: "Tool: ",
};

/** A model as settings name it: `id`, or `id=name-at-the-site`. */
interface NamedModel {
  readonly id: string;
  readonly siteName: string | undefined;
}

const readModel = (entry: string): NamedModel => {
  const [id = "", ...rest] = entry.split("=");
  return { id: id.trim(), siteName: rest.join("=").trim() || undefined };
};

/** Throws an Error that says what is allowed. */
function checkedModels(list: readonly string[]): readonly NamedModel[] {
  const models = list.map(readModel);
  if (models.length === 0 || models.some(({ id }) => id === ""))
    throw new Error("must name at least one model and none empty");
  if (new Set(models.map(({ id }) => id)).size < models.length) throw new Error("names a model twice");
  return models;
}

const readModels = (value: string): readonly NamedModel[] => {
  const list = value.trim().startsWith("[") ? parsedJson(value) : value.split(",");
  if (!Array.isArray(list) || !list.every((entry) => typeof entry === "string")) {
    throw new Error("must be a comma list or a JSON list of `id` or `id=name-at-the-site`");
  }
  return checkedModels(list);
};

const readLabels = (value: string): PromptLabels => {
  const given = value.trim().startsWith("{")
    ? stringRecord("labels")(value)
    : Object.fromEntries(
        value.split(",").flatMap((entry) => {
          const at = entry.indexOf("=");
          return entry.trim() === ""
            ? []
            : [[entry.slice(0, at).trim(), at < 0 ? "" : entry.slice(at + 1).trim()]];
        }),
      );
  const labels = { ...defaultLabels };
  for (const [role, word] of Object.entries(given)) {
    if (!Object.hasOwn(labels, role) || word === "") {
      throw new Error(
        "must give non-empty words for system, user, assistant, tool: `user=用户,assistant=模型` or a JSON object",
      );
    }
    labels[role as keyof typeof labels] = `${word}: `;
  }
  return labels;
};

const memoryModes = ["auto", "on", "off"] as const;

const name = v.pipe(v.string(), v.regex(/^[a-z0-9_-]+$/, "must be of a-z, 0-9, - and _"));
const preset = v.pipe(
  v.string(),
  v.check(isPresetName, `must be one of ${Object.keys(presets).join(", ")}`),
  v.transform((value) => value as PresetName),
);

const overrideEntries = {
  preset: v.optional(preset),
  ...presetEntries,
  headers: v.optional(
    v.pipe(
      presetEntries.headers.wrapped,
      v.check(fitsHeaders, "has a character that no HTTP header can hold"),
    ),
  ),
};

/** A preset's name, or a JSON object that overrides one. */
const presetSetting = v.strictObject({ name: v.optional(name), ...overrideEntries });

const siteEntry = v.strictObject({
  name,
  kind: v.literal("wordpress-chat"),
  ...overrideEntries,
  maxConcurrency: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0, "must be at least 0"))),
  safeText: v.optional(v.boolean()),
  memory: v.optional(v.picklist(memoryModes, `must be one of ${memoryModes.join(", ")}`)),
});

type PresetSetting = v.InferOutput<typeof presetSetting>;
/** An entry of PROVIDERS for a chat site. */
export type SiteEntry = v.InferInput<typeof siteEntry>;

const readPresetSetting = (value: string): PresetSetting => {
  if (!value.startsWith("{")) {
    const named = v.safeParse(preset, value);
    if (named.success) return { preset: named.output };
    throw new Error(`${named.issues[0].message}, or a JSON object that overrides one`);
  }
  const parsed = v.safeParse(presetSetting, parsedJson(value));
  if (parsed.success) return parsed.output;
  throw new Error(
    `has a bad part: ${parsed.issues.map((issue) => siteProblem(issue, "a preset")).join("; ")}`,
  );
};

/** What is wrong with a field of an entry, beginning with the field's name. */
const siteProblem = (issue: v.BaseIssue<unknown>, what: string): string =>
  entryProblem(issue, { what, fields: Object.keys(siteEntry.entries) });

export const siteEntries = {
  KIMI_WEB: onOff("on"),
  WP_CHAT_PRESET: custom("kimi", readPresetSetting),
  WP_CHAT_SITE: v.optional(httpUrl("")),
  CHAT_PAGE_URL: v.optional(httpUrl("")),
  UPSTREAM_URL: v.optional(httpUrl("")),
  UPSTREAM_HEADERS: custom("{}", readHeaders),
  UPSTREAM_SAFE_TEXT: onOff("on"),
  UPSTREAM_MAX_CONCURRENCY: integer(32, 0, 1_000_000, "calls; 0 for no limit"),
  KNOWN_MODELS: v.optional(custom("", readModels)),
  CONTEXT_MAX_LENGTH: v.optional(integer(1000, 1, 1_000_000_000, "characters")),
  CONTEXT_OVERFLOW: oneOf(["shorten", "drop"], "shorten"),
  LONG_INPUT: oneOf(["refuse", "shorten", "condense"], "refuse"),
  LONG_INPUT_MAX_CALLS: integer(8, 1, 1000, "calls"),
  LONG_INPUT_TTL: number(86_400, 1, 31_536_000, "seconds"),
  PROMPT_LABELS: custom("", readLabels),
  TOOLS_BY_PROMPT: onOff("on"),
  SITE_MEMORY: oneOf(memoryModes, "off"),
  STREAM_DELAY_MS: integer(0, 0, 60_000, "milliseconds"),
  STREAM_CHUNK_CHARS: v.optional(integer(20, 1, 1_000_000, "characters")),
};

type SiteValues = Values<typeof siteEntries>;

/** What all sites have in common. */
type SharedSettings = Pick<
  SiteSettings,
  | "overflow"
  | "longInput"
  | "safeText"
  | "labels"
  | "toolsByPrompt"
  | "chunkChars"
  | "chunkDelayMs"
  | "maxConcurrency"
>;

const sharedSettings = (values: SiteValues): SharedSettings => ({
  overflow: values.CONTEXT_OVERFLOW,
  longInput: {
    mode: values.LONG_INPUT,
    maxCalls: values.LONG_INPUT_MAX_CALLS,
    ttlMs: values.LONG_INPUT_TTL * 1000,
  },
  safeText: values.UPSTREAM_SAFE_TEXT,
  labels: values.PROMPT_LABELS,
  toolsByPrompt: values.TOOLS_BY_PROMPT,
  // With a delay the typewriter effect is wanted, so a character at a time.
  chunkChars: values.STREAM_CHUNK_CHARS ?? (values.STREAM_DELAY_MS > 0 ? 1 : 20),
  chunkDelayMs: values.STREAM_DELAY_MS,
  maxConcurrency: values.UPSTREAM_MAX_CONCURRENCY,
});

/** The names of a preset's models at the site; by them, models that settings name by their ids alone are known. */
function namedAtSite(models: readonly NamedModel[], preset: readonly NamedModel[]): readonly SiteModel[] {
  const siteNames = new Map(preset.map(({ id, siteName }) => [id, siteName]));
  return models.map(({ id, siteName }) => ({ id, siteName: siteName ?? siteNames.get(id) ?? id }));
}

/** Lets the default one of the site's models be called `kimi`. */
const withShortName = (
  models: readonly SiteModel[],
  defaultModel: string | undefined,
): readonly SiteModel[] => {
  const short = models.find(({ id }) => id === defaultModel) ?? models[0];
  return models.map((model) => (model === short ? { ...model, aliases: ["kimi"] } : model));
};

const isSound = (url: string): boolean =>
  URL.canParse(url.replace(/\{\w+\}/g, "x")) && /^https?:\/\//i.test(url);

/** Whether what is put into an address would decide which host is called: a message or a session must not. */
const hasOpenHost = (url: string): boolean => /^https?:\/\/[^/?#]*\{/i.test(url);

/** A preset's parts put together, or a text that says what is wrong with them, beginning with the part's name. */
function placed(
  name: string,
  { preset, ...over }: ReadParts & { readonly preset?: PresetName | undefined },
  addresses: { readonly page?: string | undefined; readonly endpoint?: string | undefined } = {},
): PlacedPreset | string {
  const base = preset === undefined ? {} : readPreset(presets[preset]);
  const result = placePreset(preset ?? name, base, over, addresses);
  if ("part" in result) return `${result.part} ${result.message}`;
  if (!isSound(result.pageUrl)) return "page must be an http(s) URL, or a path at the site";
  if (!isSound(result.endpointUrl)) return "endpoint must be an http(s) URL, or a path at the site";
  if (hasOpenHost(result.endpointUrl)) return "endpoint can't have a placeholder in its host";
  try {
    checkedModels(result.models);
  } catch (error) {
    return `models ${(error as Error).message}`;
  }
  return result;
}

/** A site's settings out of its preset's parts. Headers that are the same for every call go with all of them. */
function siteOf(
  { name, preset }: { readonly name: string; readonly preset: PlacedPreset },
  shared: SharedSettings,
  memory: (typeof memoryModes)[number],
): SiteSettings {
  const { protocol, pageUrl, endpointUrl, maxChars, remembers } = preset;
  const isFixed = ([, value]: readonly [string, string]) => !value.includes("{");
  const headers = Object.entries(protocol.headers);
  const models = checkedModels(preset.models);
  return {
    ...shared,
    kind: "wordpress-chat",
    name,
    pageUrl,
    ajaxUrl: endpointUrl,
    protocol: { ...protocol, headers: Object.fromEntries(headers.filter((header) => !isFixed(header))) },
    headers: Object.fromEntries(headers.filter(isFixed)),
    models: namedAtSite(models, models),
    maxChars,
    remembers: memory === "on" || (memory === "auto" && remembers),
  };
}

/** The one site that has settings of its own; undefined when it is switched off, or where `problems` has got one. */
export function readSite(
  values: SiteValues,
  defaultModel: string | undefined,
  problems: string[],
): SiteSettings | undefined {
  if (!values.KIMI_WEB) return undefined;
  const { name: givenName, ...parts } = values.WP_CHAT_PRESET;
  const isKimi = parts.preset === "kimi";
  const name = givenName ?? (isKimi ? "kimi-web" : (parts.preset ?? "wordpress-chat"));
  const site = values.WP_CHAT_SITE ?? parts.site;
  const addresses = { page: values.CHAT_PAGE_URL, endpoint: values.UPSTREAM_URL };
  const preset = placed(name, { ...parts, ...(site !== undefined && { site }) }, addresses);
  if (typeof preset === "string") {
    const isMissing = preset.startsWith("site is missing");
    problems.push(
      isMissing
        ? `WP_CHAT_SITE must be set to the site's address: the preset ${parts.preset ?? name} is for any site`
        : `WP_CHAT_PRESET has a bad part: ${preset}`,
    );
    return undefined;
  }
  const own = siteOf({ name, preset }, sharedSettings(values), values.SITE_MEMORY);
  const models = values.KNOWN_MODELS
    ? namedAtSite(values.KNOWN_MODELS, checkedModels(preset.models))
    : own.models;
  return {
    ...own,
    headers: { ...own.headers, ...values.UPSTREAM_HEADERS },
    models: isKimi ? withShortName(models, defaultModel) : models,
    maxChars: values.CONTEXT_MAX_LENGTH ?? preset.maxChars,
  };
}

/** An entry of PROVIDERS, or what is wrong with it: a text for each field, which it begins with. */
export function readSiteEntry(entry: unknown, values: SiteValues): SiteSettings | readonly string[] {
  const result = v.safeParse(siteEntry, entry);
  if (!result.success) return result.issues.map((issue) => siteProblem(issue, "a chat site"));
  const { name, kind: _, maxConcurrency, safeText, memory = values.SITE_MEMORY, ...parts } = result.output;
  const preset = placed(name, parts);
  if (typeof preset === "string") return [preset];
  const shared = sharedSettings(values);
  return siteOf(
    { name, preset },
    {
      ...shared,
      maxConcurrency: maxConcurrency ?? shared.maxConcurrency,
      safeText: safeText ?? shared.safeText,
    },
    memory,
  );
}

const noValues = (): SiteValues => v.parse(v.object(siteEntries), {});

/** What the settings are when nothing is set. */
export const defaultSite = (): SiteSettings => readSite(noValues(), undefined, []) as SiteSettings;

/** What a program says of a chat site: as an entry of PROVIDERS, its name and kind left out or not. */
export interface SiteDescription extends PresetParts {
  /** By default the preset's name, and "kimi-web" for kimi. */
  readonly name?: string | undefined;
  readonly preset?: PresetName | undefined;
  readonly maxConcurrency?: number | undefined;
  readonly safeText?: boolean | undefined;
  readonly memory?: (typeof memoryModes)[number] | undefined;
}

/** A site's settings, all others as when nothing is set. Throws TypeError for what can't be used. */
export function describedSite(description: SiteDescription): SiteSettings {
  const { preset } = description;
  const { name = preset === "kimi" ? "kimi-web" : (preset ?? "wordpress-chat") } = description;
  const site = readSiteEntry({ ...description, name, kind: "wordpress-chat" }, noValues());
  if ("kind" in site) return site;
  throw new TypeError(`The chat site ${name} can't be used: ${site.join("; ")}.`);
}
