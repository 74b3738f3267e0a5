/** Every secret that the settings hold. */
import { errorTable } from "../errors.ts";
import { parseRedisUrl } from "../util/redis-url.ts";
import { createSecrets, type Secrets } from "../util/secrets.ts";
import { allUpstreams, type Config, type Environment } from "./config.ts";
import type { ConfiguredUpstream } from "./provider-entries.ts";

const decoded = (text: string): string => {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
};

/** The passwords of a `REDIS_URL`, which may list several hosts, as URL can't read it. */
const inRedisUrl = (url: string | undefined): string[] => {
  const address = url === undefined ? undefined : parseRedisUrl(url);
  if (address === undefined) return [];
  return [address.credentials, address.sentinelCredentials].flatMap(({ username, password }) =>
    [username, password].flatMap((text) => [text, encodeURIComponent(text)]),
  );
};

/** Credentials within an URL: user and password, and the values of its query, as written and decoded. */
const inUrl = (url: string | undefined): string[] => {
  if (url === undefined || !URL.canParse(url)) return [];
  const { username, password, search } = new URL(url);
  const values = search
    .slice(1)
    .split("&")
    .map((pair) => pair.slice(pair.indexOf("=") + 1));
  return [username, password, ...values].flatMap((text) => [text, decoded(text)]);
};

/** A header's value, and what stands in it behind a scheme or a cookie's name. */
const inHeader = (value: string): string[] => [
  value,
  ...value.split(/[\s;,]+/).flatMap((part) => [part, part.slice(part.indexOf("=") + 1)]),
];

/** What of the environment is a secret though no setting names it. */
const secretVariables = ["HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"];

/** Header values that say nothing secret. */
const plainValue = /^(https?|bearer|basic|true|false|gzip|application\/json)$/i;

/** Where an upstream is. */
const addressesOf = (upstream: ConfiguredUpstream): string[] =>
  upstream.kind === "wordpress-chat"
    ? [upstream.pageUrl, upstream.ajaxUrl, upstream.protocol.nonce?.route?.url ?? ""]
    : [upstream.baseUrl];

const secretsOf = (config: Config, environment: Environment): string[] => {
  const { apiKeys, sessions } = config;
  const upstreams = allUpstreams(config);
  const headers = upstreams.map((upstream) => upstream.headers);
  const urls = [
    sessions.redisUrl,
    sessions.redisRest?.url,
    sessions.denoKvPath,
    ...upstreams.flatMap(addressesOf),
    ...secretVariables.map((name) => environment[name]),
  ];
  return [
    ...upstreams.flatMap((upstream) => (upstream.kind === "wordpress-chat" ? [] : (upstream.apiKey ?? []))),
    ...headers.flatMap((each) => Object.values(each ?? {}).flatMap(inHeader)),
    ...urls.flatMap(inUrl),
    ...inRedisUrl(sessions.redisUrl),
    sessions.redisRest?.token ?? "",
    environment.DENO_KV_ACCESS_TOKEN ?? "",
    ...apiKeys.map(({ key }) => key),
  ].filter((secret) => !plainValue.test(secret));
};

/** Names that are shown on purpose, and the words of our own errors. */
const wordsOf = ({ apiKeys, app, sessions, modelAliases, ...config }: Config): string[] => [
  app.name,
  ...apiKeys.map(({ name }) => name),
  ...allUpstreams(config).flatMap((upstream) => [
    upstream.name,
    ...(upstream.kind === "wordpress-chat"
      ? upstream.models.flatMap(({ id, siteName, aliases = [] }) => [id, siteName, ...aliases])
      : upstream.models),
  ]),
  ...Object.keys(modelAliases),
  ...[...allUpstreams(config).flatMap(addressesOf), sessions.redisUrl].flatMap((url) =>
    url !== undefined && URL.canParse(url)
      ? [new URL(url).origin + new URL(url).host + new URL(url).pathname]
      : [],
  ),
  ...Object.entries(errorTable).flatMap(([code, { type, when, operator }]) => [code, type, when, operator]),
];

/** What hides every secret of the settings, and of the environment around them. */
export const configuredSecrets = (config: Config, environment: Environment = {}): Secrets =>
  createSecrets({ secrets: secretsOf(config, environment), words: wordsOf(config) });
