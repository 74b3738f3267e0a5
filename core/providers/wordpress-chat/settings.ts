/** The settings of the chat site, and what they are when nothing is set. */
import * as v from "valibot";
import {
  custom,
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
  /** The page with the chat, which has the nonce. */
  readonly pageUrl: string;
  /** Where messages go: the site's `admin-ajax.php`. */
  readonly ajaxUrl: string;
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

const knownSiteNames: Readonly<Record<string, string>> = {
  "kimi-k2-instruct-0905": "moonshotai/Kimi-K2-Instruct-0905",
  "kimi-k2-instruct": "moonshotai/Kimi-K2-Instruct",
};

export const defaultLabels: PromptLabels = {
  system: "System: ",
  user: "User: ",
  assistant: "Assistant: ",
  tool: "Tool: ",
};

const readModels = (value: string): readonly SiteModel[] => {
  const list = value.trim().startsWith("[") ? parsedJson(value) : value.split(",");
  if (!Array.isArray(list) || !list.every((entry) => typeof entry === "string")) {
    throw new Error("must be a comma list or a JSON list of `id` or `id=name-at-the-site`");
  }
  const models = list.map((entry: string): SiteModel => {
    const [id = "", ...rest] = entry.split("=");
    const siteName = rest.join("=").trim();
    return { id: id.trim(), siteName: siteName || knownSiteNames[id.trim()] || id.trim() };
  });
  if (models.length === 0 || models.some(({ id }) => id === ""))
    throw new Error("must name at least one model and none empty");
  if (new Set(models.map(({ id }) => id)).size < models.length) throw new Error("names a model twice");
  return models;
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

export const siteEntries = {
  KIMI_WEB: onOff("on"),
  CHAT_PAGE_URL: httpUrl("https://kimi-ai.chat/chat/"),
  UPSTREAM_URL: httpUrl("https://kimi-ai.chat/wp-admin/admin-ajax.php"),
  UPSTREAM_HEADERS: custom("{}", readHeaders),
  UPSTREAM_SAFE_TEXT: onOff("on"),
  UPSTREAM_MAX_CONCURRENCY: integer(32, 0, 1_000_000, "calls; 0 for no limit"),
  KNOWN_MODELS: custom(Object.keys(knownSiteNames).join(","), readModels),
  CONTEXT_MAX_LENGTH: integer(1000, 1, 1_000_000_000, "characters"),
  CONTEXT_OVERFLOW: oneOf(["shorten", "drop"], "shorten"),
  LONG_INPUT: oneOf(["refuse", "shorten", "condense"], "refuse"),
  LONG_INPUT_MAX_CALLS: integer(8, 1, 1000, "calls"),
  LONG_INPUT_TTL: number(86_400, 1, 31_536_000, "seconds"),
  PROMPT_LABELS: custom("", readLabels),
  TOOLS_BY_PROMPT: onOff("on"),
  STREAM_DELAY_MS: integer(0, 0, 60_000, "milliseconds"),
  STREAM_CHUNK_CHARS: v.optional(integer(20, 1, 1_000_000, "characters")),
};

/** Lets the default one of the site's models be called `kimi`. */
const withShortName = (
  models: readonly SiteModel[],
  defaultModel: string | undefined,
): readonly SiteModel[] => {
  const short = models.find(({ id }) => id === defaultModel) ?? models[0];
  return models.map((model) => (model === short ? { ...model, aliases: ["kimi"] } : model));
};

/** Undefined when the site is switched off. */
export function readSite(
  values: Values<typeof siteEntries>,
  defaultModel: string | undefined,
): SiteSettings | undefined {
  if (!values.KIMI_WEB) return undefined;
  return {
    pageUrl: values.CHAT_PAGE_URL,
    ajaxUrl: values.UPSTREAM_URL,
    headers: values.UPSTREAM_HEADERS,
    models: withShortName(values.KNOWN_MODELS, defaultModel),
    maxChars: values.CONTEXT_MAX_LENGTH,
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
  };
}

/** What the settings are when nothing is set. */
export const defaultSite = (): SiteSettings =>
  readSite(v.parse(v.object(siteEntries), {}), undefined) as SiteSettings;
