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

/** For the steps of the site. */
export const siteChanges: Changes = {
  upstream_unreachable:
    "CHAT_PAGE_URL or UPSTREAM_URL, if its host is wrong; HTTPS_PROXY, if this network needs a proxy",
  upstream_challenge:
    "HTTPS_PROXY, or the machine itself, so that requests leave from another network (an address of a data centre is often enough to be kept out); or KIMI_WEB=off, to use other upstreams only",
  upstream_unavailable: wait,
  upstream_rate_limited:
    "UPSTREAM_MAX_CONCURRENCY to a lower number, or RATE_LIMIT_RPM so that no client uses up the whole limit",
  upstream_nonce_unavailable:
    "CHAT_PAGE_URL: it must be the page that shows the chat to a visitor who is not logged in",
  upstream_error:
    "KNOWN_MODELS (`id=name-at-the-site`), if the site's text is about the model; otherwise nothing here",
  upstream_invalid_response: "UPSTREAM_URL: it must be the admin-ajax.php of the site in CHAT_PAGE_URL",
  upstream_timeout: "API_REQUEST_TIMEOUT to more seconds",
  context_length_exceeded: "CONTEXT_MAX_LENGTH to a length that the site takes",
};

/** The page has a nonce, and the site refuses it. */
export const refusedNonce: Advice = {
  means: "the page comes from a cache that can't be avoided, or page and messages go to two different sites",
  change:
    "UPSTREAM_URL and CHAT_PAGE_URL, so that both name one site; UPSTREAM_HEADERS, if the site wants a cookie",
};

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
    change: "REDIS_URL (redis://user:password@host:port; rediss:// for TLS)",
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
  memory: gatewayFault,
};
