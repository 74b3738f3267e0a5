/**
 * Settings: environment variables → `Config`. Each plug-in declares its own in its `settings.ts`; here they are read
 * together. Bad values end in one ConfigError that names each of them and says what is allowed, and never shows a value.
 */
import * as v from "valibot";
import { type ChatSettings, chatEntries, readChat } from "../chat/settings.ts";
import {
  type ConversationSettings,
  conversationEntries,
  type ResponseSettings,
  readConversations,
  readResponses,
} from "../conversations/settings.ts";
import { type HttpSettings, httpEntries, readHttp } from "../http/settings.ts";
import { type LogLevel, logLevels } from "../operations/log.ts";
import { readUpstream, upstreamEntries } from "../providers/openai-compatible/settings.ts";
import { readSite, type SiteSettings, siteEntries } from "../providers/wordpress-chat/settings.ts";
import { type RoutingSettings, routingEntries } from "../routing/settings.ts";
import { readStore, type StoreSettings, storeEntries } from "../stores/settings.ts";
import { nameFinder } from "./nearest-name.ts";
import { type ConfiguredUpstream, providerEntries, readProviders } from "./provider-entries.ts";
import { integer, isQuoted, keptQuotes, oneOf, onOff, text } from "./values.ts";

/** Every setting, read and checked. */
export interface Config extends HttpSettings, ChatSettings, RoutingSettings {
  /** Where a server listens. */
  readonly hostname: string;
  readonly port: number;
  /** The chat site that has settings of its own; undefined when it is switched off. */
  readonly site: SiteSettings | undefined;
  /** All others, OpenAI-compatible ones and chat sites, in the order in which models are looked for, after the site. */
  readonly upstreams: readonly ConfiguredUpstream[];
  readonly sessions: ConversationSettings & StoreSettings;
  readonly responses: ResponseSettings;
  readonly logLevel: LogLevel;
  /** What is allowed and probably not meant, each in a sentence; `createHandler` logs them. */
  readonly warnings: readonly string[];
}

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The settings can't be used; the message has a line for each bad variable, and no value.
 *
 * @example
 * ```ts
 * import { ConfigError, parseConfig } from "kimi-ai-2api";
 *
 * try {
 *   parseConfig({ PORT: "ninety" });
 * } catch (error) {
 *   if (!(error instanceof ConfigError)) throw error;
 *   console.error(error.problems); // ["PORT must be a number from 0 to 65535 (a TCP port)"]
 * }
 * ```
 */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  /** One for each bad variable, whose name it begins with. */
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`Bad settings:\n${problems.map((problem) => `  ${problem}`).join("\n")}`);
    this.problems = problems;
  }
}

const schema = v.object({
  // A browser's way to write an IPv6 address has brackets, which no server can listen on.
  HOST: v.pipe(
    text("127.0.0.1"),
    v.transform((host) => host.toLowerCase().replace(/^\[(.*)\]$/, "$1")),
  ),
  PORT: v.optional(v.string()),
  NGINX_PORT: v.optional(v.string()),
  ...httpEntries,
  ...chatEntries,
  ...routingEntries,
  ...siteEntries,
  ...upstreamEntries,
  ...providerEntries,
  ...conversationEntries,
  ...storeEntries,
  LOG_LEVEL: oneOf(logLevels, "info"),
  STRICT_SETTINGS: onOff("off"),
});

/** The name of every setting. */
export const settingNames: readonly string[] = Object.keys(schema.entries);

const portSchema = integer(8088, 0, 65_535, "a TCP port");

/** Settings of free text, in which quotes may be meant. */
const freeTexts = ["APP_NAME", "APP_VERSION", "DESCRIPTION"];

/** Settings without whose value nothing can be said of others. */
const othersDependOn = [
  "KIMI_WEB",
  "WP_CHAT_PRESET",
  "WP_CHAT_SITE",
  "KNOWN_MODELS",
  "MODEL_ALIASES",
  "OPENAI_BASE_URL",
  "UPSTASH_REDIS_REST_URL",
  "KV_REST_API_URL",
];

/** What other programs call what is a setting here. */
const foreignNames: Readonly<Record<string, string>> = {
  API_KEY: "API_MASTER_KEY",
  MASTER_KEY: "API_MASTER_KEY",
  OPENAI_API_BASE: "OPENAI_BASE_URL",
  OPENAI_API_BASE_URL: "OPENAI_BASE_URL",
  OPENAI_BASE: "OPENAI_BASE_URL",
};

const isLoopbackHostname = (hostname: string): boolean =>
  hostname === "localhost" || hostname === "::1" || /^127(\.\d{1,3}){3}$/.test(hostname);

const omit = (record: Readonly<Record<string, string>>, names: ReadonlySet<string>) =>
  Object.fromEntries(Object.entries(record).filter(([name]) => !names.has(name)));

const nearestSetting = nameFinder(settingNames);

/** Variables that are no setting but look like one, such as OPENAI_BASEURL. */
const misspelt = (given: Readonly<Record<string, string>>): string[] =>
  Object.keys(given).flatMap((name) => {
    // An upstream's key may be kept under any name that PROVIDERS uses.
    if (settingNames.includes(name) || given.PROVIDERS?.includes(`\${${name}}`)) return [];
    const meant = foreignNames[name] ?? nearestSetting(name);
    return meant === undefined ? [] : [`${name} is no setting. Did you mean ${meant}?`];
  });

/** The ids of all models that are configured, in the order of the list; "*" for those that only an upstream knows. */
const configuredModels = (config: Pick<Config, "site" | "upstreams">): string[] =>
  allUpstreams(config).flatMap((upstream) =>
    upstream.kind === "wordpress-chat" ? upstream.models.map(({ id }) => id) : upstream.models,
  );

/** The site, if it is on, then the others. */
export const allUpstreams = ({
  site,
  upstreams,
}: Pick<Config, "site" | "upstreams">): readonly ConfiguredUpstream[] => [
  ...(site === undefined ? [] : [site]),
  ...upstreams,
];

/** The first model of the list, where no upstream need be asked for it. */
export const firstModel = (config: Pick<Config, "site" | "upstreams">): string | undefined => {
  const [first] = configuredModels(config);
  return first === "*" ? undefined : first;
};

/** Every further name under which a configured model may be asked for. */
const furtherNames = (config: Pick<Config, "site" | "upstreams">): string[] =>
  allUpstreams(config).flatMap((upstream) =>
    upstream.kind === "wordpress-chat"
      ? upstream.models.flatMap(({ id, siteName, aliases = [] }) => [
          `${upstream.name}/${id}`,
          siteName,
          ...aliases,
        ])
      : [...upstream.models].map((id) => `${upstream.name}/${id}`),
  );

export interface ConfigOptions {
  /** Whether the server can be reached from outside; without it HOST decides. */
  readonly exposed?: boolean;
  /** After how many milliseconds the platform cuts a request; absent where it doesn't. PLATFORM_TIME_LIMIT wins. */
  readonly timeLimitMs?: number;
}

/**
 * Reads settings as they stand in the environment: every setting is a text by its variable's name, and docs/settings.md
 * has them all. Blanks around a value mean nothing, and an empty one counts as not set. All durations of the result are
 * in milliseconds and all sizes in bytes.
 *
 * Throws ConfigError, which names every bad variable.
 *
 * @example
 * ```ts
 * import { createHandler, parseConfig } from "kimi-ai-2api";
 *
 * // The environment's settings, with one of them fixed by the program.
 * const config = parseConfig({ ...process.env, API_MASTER_KEY: "sk-of-this-program" });
 * const handler = createHandler({ config });
 * ```
 */
export function parseConfig(environment: Environment = {}, options: ConfigOptions = {}): Config {
  const given: Readonly<Record<string, string>> = Object.fromEntries(
    Object.entries(environment).flatMap(([name, value]) => {
      const trimmed = value?.trim();
      return trimmed ? [[name, trimmed]] : [];
    }),
  );
  const problems: string[] = [];
  const report = (issues: readonly v.BaseIssue<unknown>[] = [], name?: string) => {
    for (const issue of issues) problems.push(`${name ?? v.getDotPath(issue)} ${issue.message}`);
  };

  const quoted = settingNames.filter((name) => !freeTexts.includes(name) && isQuoted(given[name] ?? ""));
  for (const name of quoted) problems.push(`${name} ${keptQuotes()}`);
  const bad = new Set(quoted);
  const checked = v.safeParse(schema, omit(given, bad));
  report(checked.issues);
  for (const issue of checked.issues ?? []) bad.add(v.getDotPath(issue) ?? "");

  const portName = given.PORT === undefined && given.NGINX_PORT !== undefined ? "NGINX_PORT" : "PORT";
  const port = v.safeParse(portSchema, omit(given, bad)[portName]);
  report(port.issues, portName);

  // Some bad ones leave open what others mean: nothing untrue is said of those.
  if (othersDependOn.some((name) => bad.has(name))) throw new ConfigError(problems);
  const result = checked.success ? checked : v.safeParse(schema, omit(given, bad));
  if (!result.success) throw new ConfigError(problems);
  const values = result.output;

  const warnings = misspelt(given);
  if (values.STRICT_SETTINGS) problems.push(...warnings);

  const isExposed = options.exposed ?? !isLoopbackHostname(values.HOST);
  const http = readHttp(values, { isExposed, problems });
  const site = readSite(values, values.DEFAULT_MODEL, problems);
  const upstream = readUpstream(values, { problems, warnings });
  const upstreams = [
    ...(upstream === undefined ? [] : [upstream]),
    ...readProviders(values, given, { problems, warnings }),
  ];
  const names = allUpstreams({ site, upstreams }).map(({ name }) => name);
  for (const name of new Set(names.filter((entry, index) => names.indexOf(entry) !== index))) {
    problems.push(`PROVIDERS has the name ${name}, which another upstream has`);
  }
  if (!values.KIMI_WEB && upstreams.length === 0) {
    problems.push("KIMI_WEB is off and no other upstream is set: set OPENAI_BASE_URL or PROVIDERS");
  }
  const named = configuredModels({ site, upstreams });
  const known = [...named, ...furtherNames({ site, upstreams }), ...Object.keys(values.MODEL_ALIASES)];
  // What is asked of upstreams is known only later.
  const isWholeList =
    (site !== undefined || !values.KIMI_WEB) && upstreams.every(({ models }) => models !== "*");
  if (values.DEFAULT_MODEL !== undefined && isWholeList && !known.includes(values.DEFAULT_MODEL)) {
    problems.push(`DEFAULT_MODEL must be one of ${named.join(", ")}`);
  }
  for (const { name, limits } of http.apiKeys) {
    const isUnknown = limits?.models?.some((model) => !known.includes(model));
    if (isWholeList && isUnknown)
      warnings.push(`API_KEYS lets ${name} use a model that is not among ${named.join(", ")}.`);
  }
  const store = readStore(values, problems);
  if (problems.length > 0 || !port.success) throw new ConfigError(problems);

  return {
    hostname: values.HOST,
    port: port.output,
    ...http,
    ...readChat(values, options.timeLimitMs),
    defaultModel: values.DEFAULT_MODEL,
    modelAliases: values.MODEL_ALIASES,
    modelFallbacks: values.MODEL_FALLBACKS,
    circuitBreaker: values.CIRCUIT_BREAKER,
    sharesCircuits: values.CIRCUIT_SHARED,
    site,
    upstreams,
    sessions: { ...readConversations(values), ...store },
    responses: readResponses(values),
    logLevel: values.LOG_LEVEL,
    warnings,
  };
}
