/**
 * Settings: environment variables → `Config`. Bad values end in one ConfigError that names each of them and says
 * what is allowed, and never shows a value.
 */
import * as v from "valibot";
import { type ProviderSettings, readAliases, readFallbacks, readProviders } from "./upstreams.ts";
import { custom, httpUrl, integer, number, oneOf, onOff, parsedJson, stringRecord, text } from "./values.ts";
import { version } from "./version.ts";

export interface NamedKey {
  /** Who it is, for the log. */
  readonly name: string;
  readonly key: string;
}

/**
 * Who may call the API: holders of a key; everyone; everyone on this machine, from loopback addresses and pages only;
 * nobody until a key is set.
 */
export type Access = "keys" | "open" | "loopback" | "unconfigured";

export interface SiteModel {
  readonly id: string;
  /** The model's name in the site's own form. */
  readonly siteName: string;
  readonly aliases?: readonly string[];
}

/** What is written before each message of a prompt, colon and blank included. */
export interface PromptLabels {
  readonly system: string;
  readonly user: string;
  readonly assistant: string;
  readonly tool: string;
}

const logLevels = ["debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof logLevels)[number];

export interface SiteSettings {
  readonly pageUrl: string;
  readonly ajaxUrl: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly models: readonly SiteModel[];
  readonly maxChars: number;
  readonly safeText: boolean;
  readonly labels: PromptLabels;
  readonly chunkChars: number;
  readonly chunkDelayMs: number;
  /** Calls to the site at once; 0 for no limit. */
  readonly maxConcurrency: number;
}

const storeNames = ["memory", "deno-kv", "redis-rest", "redis"] as const;
type StoreName = (typeof storeNames)[number];

export interface Config {
  readonly app: { readonly name: string; readonly version: string; readonly description: string };
  readonly hostname: string;
  readonly port: number;
  readonly access: Access;
  readonly apiKeys: readonly NamedKey[];
  /** Origins whose pages may read answers; "*" means all, undefined that nothing was set. */
  readonly corsOrigins: "*" | readonly string[] | undefined;
  readonly maxBodyBytes: number;
  readonly requestTimeoutMs: number;
  readonly stream: {
    /** How long headers wait for the first part of an answer, so that a failure keeps its status. */
    readonly commitMs: number;
    /** Silence after which a stream gets a comment line. */
    readonly keepAliveMs: number;
  };
  /** What a request without a model asks for; undefined if nothing is known to be there. */
  readonly defaultModel: string | undefined;
  /** Other names for models; "*" stands for every name that nothing else has. */
  readonly modelAliases: Readonly<Record<string, string>>;
  /** The models to ask when one fails early, by that one's id. */
  readonly modelFallbacks: Readonly<Record<string, readonly string[]>>;
  /** OpenAI-compatible upstreams, in the order in which models are looked for, after the site. */
  readonly providers: readonly ProviderSettings[];
  /** The chat site; undefined when it is switched off. */
  readonly site: SiteSettings | undefined;
  readonly sessions: {
    readonly ttlMs: number;
    /** The most that the memory store holds. */
    readonly maxEntries: number;
    /** The most that is kept of one conversation. */
    readonly maxBytes: number;
    /** Undefined for the platform's own preference. */
    readonly store: StoreName | undefined;
    /** The first part of every key in a shared store. */
    readonly prefix: string;
    readonly redisUrl: string | undefined;
    readonly redisRest: { readonly url: string; readonly token: string } | undefined;
    /** A file, ":memory:" or a remote database's URL. */
    readonly denoKvPath: string | undefined;
  };
  readonly circuitBreaker: boolean;
  /** Requests a minute and API key; 0 for no limit. */
  readonly requestsPerMinute: number;
  readonly logLevel: LogLevel;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** The settings can't be used; the message has a line for each bad variable. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`Bad settings:\n${problems.map((problem) => `  ${problem}`).join("\n")}`);
    this.problems = problems;
  }
}

const defaultSiteNames: Readonly<Record<string, string>> = {
  "kimi-k2-instruct-0905": "moonshotai/Kimi-K2-Instruct-0905",
  "kimi-k2-instruct": "moonshotai/Kimi-K2-Instruct",
};

const visibleAscii = /^[\x21-\x7e]+$/;

const readMasterKey = (value: string): readonly string[] | "open" => {
  if (value === "") return [];
  if (value.trim() === "1") return "open";
  const keys = value.split(",").map((key) => key.trim());
  if (keys.includes("")) throw new Error("has an empty entry in its comma list");
  if (keys.includes("1"))
    throw new Error('has "1" in a list: alone it opens the API, in a list it is a mistake');
  if (!keys.every((key) => visibleAscii.test(key)))
    throw new Error("must hold visible ASCII characters only");
  return keys;
};

const readNamedKeys = (value: string): readonly NamedKey[] =>
  Object.entries(stringRecord('named keys, such as {"alice":"sk-…"}')(value)).map(([name, key]) => {
    if (name.trim() === "" || key === "" || key === "1")
      throw new Error('has an empty name, or an empty key or "1" as a key');
    if (!visibleAscii.test(key)) throw new Error("must hold keys of visible ASCII characters only");
    return { name, key };
  });

const readHeaders = (value: string): Readonly<Record<string, string>> => {
  const headers = stringRecord("header names and values")(value);
  try {
    return Object.fromEntries(new Headers(headers));
  } catch {
    throw new Error("has a name or a value that no HTTP header can have");
  }
};

const readModels = (value: string): readonly SiteModel[] => {
  const list = value.trim().startsWith("[") ? parsedJson(value) : value.split(",");
  if (!Array.isArray(list) || !list.every((entry) => typeof entry === "string")) {
    throw new Error("must be a comma list or a JSON list of `id` or `id=name-at-the-site`");
  }
  const models = list.map((entry: string): SiteModel => {
    const [id = "", ...rest] = entry.split("=");
    const siteName = rest.join("=").trim();
    return { id: id.trim(), siteName: siteName || defaultSiteNames[id.trim()] || id.trim() };
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
  const labels = { system: "System: ", user: "User: ", assistant: "Assistant: ", tool: "Tool: " };
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

const readOrigins = (value: string): "*" | readonly string[] | undefined => {
  if (value === "") return undefined;
  const origins = value.split(",").map((origin) => origin.trim());
  if (origins.includes("*")) return "*";
  // An Origin header has no path; app:// and the like have no origin that URL knows, so their form is all there is to check.
  if (!origins.every((origin) => /^[a-z][a-z0-9+.-]*:\/\/[^/\s]+$/i.test(origin))) {
    throw new Error("must be `*` or a comma list of origins such as https://chat.example.com");
  }
  return origins.map((origin) => origin.toLowerCase());
};

const hourMs = 3_600_000;

const schema = v.object({
  APP_NAME: text("kimi-ai-2api"),
  APP_VERSION: text(version),
  DESCRIPTION: text("An OpenAI-compatible API for the chat on kimi-ai.chat"),
  API_MASTER_KEY: custom("", readMasterKey),
  API_KEYS: custom("{}", readNamedKeys),
  // A browser's way to write an IPv6 address has brackets, which no server can listen on.
  HOST: v.pipe(
    text("127.0.0.1"),
    v.transform((host) => host.toLowerCase().replace(/^\[(.*)\]$/, "$1")),
  ),
  PORT: v.optional(v.string()),
  NGINX_PORT: v.optional(v.string()),
  CORS_ORIGIN: custom("", readOrigins),
  MAX_BODY_BYTES: integer(4 * 1024 * 1024, 1024, 1024 ** 3, "bytes"),
  API_REQUEST_TIMEOUT: number(180, 1, 86_400, "seconds"),
  PLATFORM_TIME_LIMIT: v.optional(number(0, 6, 86_400, "seconds")),
  STREAM_COMMIT_MS: integer(5000, 0, hourMs, "milliseconds"),
  STREAM_KEEPALIVE_MS: integer(8000, 100, hourMs, "milliseconds"),
  DEFAULT_MODEL: v.optional(v.pipe(v.string(), v.trim())),
  CHAT_PAGE_URL: httpUrl("https://kimi-ai.chat/chat/"),
  UPSTREAM_URL: httpUrl("https://kimi-ai.chat/wp-admin/admin-ajax.php"),
  UPSTREAM_HEADERS: custom("{}", readHeaders),
  UPSTREAM_SAFE_TEXT: onOff("on"),
  KIMI_WEB: onOff("on"),
  OPENAI_BASE_URL: v.optional(httpUrl("")),
  OPENAI_API_KEY: v.optional(v.string()),
  OPENAI_MODELS: text("*"),
  PROVIDERS: text("[]"),
  MODEL_ALIASES: custom("", readAliases),
  MODEL_FALLBACKS: custom("{}", readFallbacks),
  KNOWN_MODELS: custom(Object.keys(defaultSiteNames).join(","), readModels),
  CONTEXT_MAX_LENGTH: integer(1000, 1, 1_000_000_000, "characters"),
  PROMPT_LABELS: custom("{}", readLabels),
  STREAM_DELAY_MS: integer(0, 0, 60_000, "milliseconds"),
  STREAM_CHUNK_CHARS: v.optional(integer(20, 1, 1_000_000, "characters")),
  SESSION_CACHE_TTL: number(3600, 1, 31_536_000, "seconds"),
  SESSION_CACHE_MAX: integer(1024, 1, 100_000_000, "conversations"),
  SESSION_MAX_BYTES: integer(256 * 1024, 1024, 16 * 1024 * 1024, "bytes"),
  SESSION_STORE: v.optional(oneOf(storeNames, "memory")),
  SESSION_PREFIX: text("kimi-ai-2api:"),
  REDIS_URL: v.optional(v.pipe(v.string(), v.regex(/^rediss?:\/\//, "must be a redis:// or rediss:// URL"))),
  UPSTASH_REDIS_REST_URL: v.optional(httpUrl("")),
  UPSTASH_REDIS_REST_TOKEN: v.optional(v.string()),
  KV_REST_API_URL: v.optional(httpUrl("")),
  KV_REST_API_TOKEN: v.optional(v.string()),
  DENO_KV_PATH: v.optional(v.string()),
  UPSTREAM_MAX_CONCURRENCY: integer(32, 0, 1_000_000, "calls; 0 for no limit"),
  CIRCUIT_BREAKER: onOff("on"),
  RATE_LIMIT_RPM: integer(0, 0, 1_000_000, "requests a minute; 0 for no limit"),
  LOG_LEVEL: oneOf(logLevels, "info"),
});

/** The name of every setting. */
export const settingNames: readonly string[] = Object.keys(schema.entries);

const portSchema = integer(8088, 0, 65_535, "a TCP port");

const isLoopbackHostname = (hostname: string): boolean =>
  hostname === "localhost" || hostname === "::1" || /^127(\.\d{1,3}){3}$/.test(hostname);

/** Lets the default one of the site's models be called `kimi`. */
const withShortName = (
  models: readonly SiteModel[],
  defaultModel: string | undefined,
): readonly SiteModel[] => {
  const short = models.find(({ id }) => id === defaultModel) ?? models[0];
  return models.map((model) => (model === short ? { ...model, aliases: ["kimi"] } : model));
};

export interface ConfigOptions {
  /** Whether the server can be reached from outside; without it HOST decides. */
  readonly exposed?: boolean;
  /** When the platform cuts a request; absent where it doesn't. PLATFORM_TIME_LIMIT says otherwise. */
  readonly timeLimitMs?: number;
}

/** An answer or an error has to be out before the platform cuts the call, and its clock started before ours. */
const platformMarginMs = 5000;

/** Settings without whose value nothing can be said of others. */
const othersDependOn = [
  "KIMI_WEB",
  "KNOWN_MODELS",
  "MODEL_ALIASES",
  "OPENAI_BASE_URL",
  "UPSTASH_REDIS_REST_URL",
  "KV_REST_API_URL",
];

/** Reads all settings at once; blanks around a value mean nothing, empty ones count as not set. Throws ConfigError. */
export function parseConfig(environment: Environment, options: ConfigOptions = {}): Config {
  const given = Object.fromEntries(
    Object.entries(environment).flatMap(([name, value]) => {
      const trimmed = value?.trim();
      return trimmed ? [[name, trimmed]] : [];
    }),
  );
  const problems: string[] = [];
  const report = (issues: readonly v.BaseIssue<unknown>[], name?: string) => {
    for (const issue of issues) problems.push(`${name ?? v.getDotPath(issue)} ${issue.message}`);
  };

  let result = v.safeParse(schema, given);
  const bad = new Set(result.issues?.map((issue) => v.getDotPath(issue)));
  if (!result.success) {
    report(result.issues);
    // What depends on others is looked at as if the bad ones were not set, unless that would be said of the wrong ones.
    if (!othersDependOn.some((name) => bad.has(name))) {
      const good = Object.entries(given).filter(([name]) => !bad.has(name));
      result = v.safeParse(schema, Object.fromEntries(good));
    }
  }

  const portName = given.PORT === undefined && given.NGINX_PORT !== undefined ? "NGINX_PORT" : "PORT";
  const port = v.safeParse(portSchema, given[portName]);
  if (!port.success) report(port.issues, portName);

  if (!result.success) throw new ConfigError(problems);
  const env = result.output;

  const open = env.API_MASTER_KEY === "open";
  const masterKeys = env.API_MASTER_KEY === "open" ? [] : env.API_MASTER_KEY;
  const apiKeys = [
    ...masterKeys.map((key, index) => ({
      name: masterKeys.length > 1 ? `master-${index + 1}` : "master",
      key,
    })),
    ...env.API_KEYS,
  ];
  if (open && apiKeys.length > 0)
    problems.push("API_MASTER_KEY is 1, which opens the API, while API_KEYS names keys: use one of them");

  const providers = readProviders(env, given, problems);
  if (!env.KIMI_WEB && providers.length === 0) {
    problems.push("KIMI_WEB is off and no other upstream is set: set OPENAI_BASE_URL or PROVIDERS");
  }
  const siteModels = withShortName(env.KNOWN_MODELS, env.DEFAULT_MODEL);
  const named = [
    ...(env.KIMI_WEB ? siteModels : []).map(({ id }) => id),
    ...providers.flatMap(({ models }) => models),
  ];
  const further = [
    ...(env.KIMI_WEB ? siteModels : []).flatMap(({ id, siteName, aliases = [] }) => [
      `kimi-web/${id}`,
      siteName,
      ...aliases,
    ]),
    ...providers.flatMap(({ name, models }) => [...models].map((id) => `${name}/${id}`)),
    ...Object.keys(env.MODEL_ALIASES),
  ];
  // What is asked of upstreams is known only later.
  const isWholeList = providers.every(({ models }) => models !== "*");
  if (env.DEFAULT_MODEL !== undefined && isWholeList && ![...named, ...further].includes(env.DEFAULT_MODEL)) {
    problems.push(`DEFAULT_MODEL must be one of ${named.join(", ")}`);
  }

  const redisRest = [
    { name: "UPSTASH_REDIS_REST", url: env.UPSTASH_REDIS_REST_URL, token: env.UPSTASH_REDIS_REST_TOKEN },
    { name: "KV_REST_API", url: env.KV_REST_API_URL, token: env.KV_REST_API_TOKEN },
  ].flatMap(({ name, url, token }) => {
    if (url !== undefined && token !== undefined) return [{ url, token }];
    if (url !== token) problems.push(`${name}_URL and ${name}_TOKEN belong together: set both or neither`);
    return [];
  })[0];

  if (problems.length > 0 || !port.success) throw new ConfigError(problems);

  const { PLATFORM_TIME_LIMIT: limitSeconds } = env;
  const timeLimitMs = limitSeconds === undefined ? (options.timeLimitMs ?? Infinity) : limitSeconds * 1000;
  const exposed = options.exposed ?? !isLoopbackHostname(env.HOST);
  return {
    app: { name: env.APP_NAME, version: env.APP_VERSION, description: env.DESCRIPTION },
    hostname: env.HOST,
    port: port.output,
    access: apiKeys.length > 0 ? "keys" : !exposed ? "loopback" : open ? "open" : "unconfigured",
    apiKeys,
    corsOrigins: env.CORS_ORIGIN,
    maxBodyBytes: env.MAX_BODY_BYTES,
    requestTimeoutMs: Math.min(env.API_REQUEST_TIMEOUT * 1000, timeLimitMs - platformMarginMs),
    stream: { commitMs: env.STREAM_COMMIT_MS, keepAliveMs: env.STREAM_KEEPALIVE_MS },
    defaultModel: env.DEFAULT_MODEL ?? (named[0] === "*" ? undefined : named[0]),
    modelAliases: env.MODEL_ALIASES,
    modelFallbacks: env.MODEL_FALLBACKS,
    providers,
    site: !env.KIMI_WEB
      ? undefined
      : {
          pageUrl: env.CHAT_PAGE_URL,
          ajaxUrl: env.UPSTREAM_URL,
          headers: env.UPSTREAM_HEADERS,
          models: siteModels,
          maxChars: env.CONTEXT_MAX_LENGTH,
          safeText: env.UPSTREAM_SAFE_TEXT,
          labels: env.PROMPT_LABELS,
          // With a delay the typewriter effect is wanted, so a character at a time.
          chunkChars: env.STREAM_CHUNK_CHARS ?? (env.STREAM_DELAY_MS > 0 ? 1 : 20),
          chunkDelayMs: env.STREAM_DELAY_MS,
          maxConcurrency: env.UPSTREAM_MAX_CONCURRENCY,
        },
    sessions: {
      ttlMs: env.SESSION_CACHE_TTL * 1000,
      maxEntries: env.SESSION_CACHE_MAX,
      maxBytes: env.SESSION_MAX_BYTES,
      store: env.SESSION_STORE,
      prefix: env.SESSION_PREFIX,
      redisUrl: env.REDIS_URL,
      redisRest,
      denoKvPath: env.DENO_KV_PATH,
    },
    circuitBreaker: env.CIRCUIT_BREAKER,
    requestsPerMinute: env.RATE_LIMIT_RPM,
    logLevel: env.LOG_LEVEL,
  };
}
