/** What a failure means, which core/errors.ts says, and which setting to change, as the step at hand knows it better. */
import { ApiError, type ErrorCode, errorTable } from "../../core/errors.ts";

export interface Advice {
  readonly means: string;
  readonly change: string;
}

/** Which setting to change, by the code of the failure. */
type Changes = Partial<Record<ErrorCode, string>>;

const gatewayFault: Advice = { means: errorTable.internal_error.when, change: "nothing; please report it" };

/** The advice on what a provider has thrown. */
export function adviceFor(error: unknown, changes: Changes): Advice {
  if (!(error instanceof ApiError)) return gatewayFault;
  const { when, operator } = errorTable[error.code];
  return { means: when, change: changes[error.code] ?? operator };
}

const wait = "nothing here; until it is over, MODEL_FALLBACKS can send requests to another upstream";

/** What a chat site's settings are called: those of the one site, or those of an entry of PROVIDERS. */
export interface SiteSettingNames {
  readonly page: string;
  readonly endpoint: string;
  readonly headers: string;
  readonly models: string;
  readonly maxChars: string;
  readonly maxConcurrency: string;
  /** How the site is left out. */
  readonly without: string;
  /** Any part of the preset. */
  part(name: string): string;
}

/** Parts of a preset that are settings too. */
const ownParts: Readonly<Record<string, string>> = { page: "CHAT_PAGE_URL", endpoint: "UPSTREAM_URL" };

export const ownSiteNames: SiteSettingNames = {
  page: "CHAT_PAGE_URL",
  endpoint: "UPSTREAM_URL",
  headers: "UPSTREAM_HEADERS",
  models: "KNOWN_MODELS",
  maxChars: "CONTEXT_MAX_LENGTH",
  maxConcurrency: "UPSTREAM_MAX_CONCURRENCY",
  without: "KIMI_WEB=off",
  part: (name) => ownParts[name] ?? `\`${name}\` in WP_CHAT_PRESET`,
};

export const entryNames = (name: string): SiteSettingNames => {
  const part = (field: string) => `\`${field}\` of ${name} in PROVIDERS`;
  return {
    page: part("page"),
    endpoint: part("endpoint"),
    headers: part("headers"),
    models: part("models"),
    maxChars: part("maxChars"),
    maxConcurrency: part("maxConcurrency"),
    without: `no entry ${name} in PROVIDERS`,
    part,
  };
};

/** For the steps of a site. */
export const siteChanges = (names: SiteSettingNames): Changes => ({
  upstream_unreachable: `${names.page} or ${names.endpoint}, if its host is wrong; HTTPS_PROXY, if this network needs a proxy`,
  upstream_challenge: `HTTPS_PROXY, or the machine itself, so that requests leave from another network (an address of a data centre is often enough to be kept out); or ${names.without}, to use other upstreams only`,
  upstream_unavailable: wait,
  upstream_rate_limited: `${names.maxConcurrency} to a lower number, or RATE_LIMIT_RPM so that no client uses up the whole limit`,
  upstream_nonce_unavailable: `${names.page}: it must be the page that shows the chat to a visitor who is not logged in; or ${names.part("nonce")}, if it is`,
  upstream_error: `${names.models} (\`id=name-at-the-site\`), if the site's text is about the model; otherwise nothing here`,
  upstream_invalid_response: `${names.endpoint}: it must be the admin-ajax.php of the site in ${names.page}`,
  upstream_timeout: "API_REQUEST_TIMEOUT to more seconds",
  context_length_exceeded: `${names.maxChars} to a length that the site takes`,
});

/** The page has a nonce, and the site refuses it. */
export const refusedNonce = (names: SiteSettingNames): Advice => ({
  means: "the page comes from a cache that can't be avoided, or page and messages go to two different sites",
  change: `${names.endpoint} and ${names.page}, so that both name one site; ${names.headers}, if the site wants a cookie`,
});

/** The answer, or the place of the nonce, is not as the preset has it: `part` is the one to change. */
export const unfitPreset = (part: string, names: SiteSettingNames): Advice => ({
  means: "the preset does not fit this site's chat plug-in, or this version of it",
  change: `${names.part(part)}; docs/wordpress.md says how to find what belongs there`,
});

/** The settings of one OpenAI-compatible upstream. */
export interface UpstreamSettingNames {
  readonly baseUrl: string;
  readonly apiKey: string;
  readonly models: string;
}

/** For the steps of an OpenAI-compatible upstream. */
export const upstreamChanges = ({ baseUrl, apiKey, models }: UpstreamSettingNames): Changes => ({
  upstream_unreachable: `${baseUrl}, if host or port is wrong; HTTPS_PROXY, if this network needs a proxy`,
  upstream_auth_failed: apiKey,
  upstream_out_of_credit: `${apiKey}, or its account: the credit is used up`,
  model_not_found: `${models}: the upstream does not have the model, or has it no more`,
  upstream_rejected: `${models}: the upstream may not have the model, or it may be no chat model`,
  upstream_rate_limited: `${apiKey}, or its account: the allowance or the credit may be used up`,
  upstream_unavailable: wait,
  upstream_error: wait,
  upstream_challenge: `${baseUrl}: the API's own address usually has no such firewall`,
  upstream_invalid_response: `${baseUrl}: it usually ends with /v1`,
  upstream_timeout: "API_REQUEST_TIMEOUT to more seconds",
});

const storeMeans = errorTable.session_store_unavailable.when;

/** For the store, by its name. */
export const storeAdvice: Readonly<Record<string, Advice>> = {
  redis: {
    means: storeMeans,
    change:
      "REDIS_URL (redis://user:password@host:port, redis+cluster://host,host or redis+sentinel://host,host/master; rediss for TLS)",
  },
  "redis-rest": {
    means: storeMeans,
    change: "UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN, or KV_REST_API_URL and KV_REST_API_TOKEN",
  },
  "deno-kv": {
    means: storeMeans,
    change: "DENO_KV_PATH: a file in a folder that can be written to, or a remote database's URL",
  },
  sqlite: {
    means: storeMeans,
    change: "SQLITE_PATH or DATA_DIR: a place that can be written to",
  },
  "durable-object": {
    means: storeMeans,
    change: "SESSION_STORE: only a Worker has this store",
  },
  "netlify-blobs": {
    means: storeMeans,
    change: "SESSION_STORE: only a function on Netlify has this store",
  },
  memory: gatewayFault,
};
