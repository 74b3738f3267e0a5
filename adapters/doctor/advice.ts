/** What each failure means to the operator, and which setting to change. */

import { ApiError, type ErrorCode } from "../../core/errors.ts";
import { errorMeanings } from "./error-meanings.ts";

export interface Advice {
  readonly means: string;
  readonly change: string;
}

type AdviceByCode = Partial<Record<ErrorCode, Advice>>;

/** The advice on whatever a provider has thrown. */
export function adviceFor(error: unknown, byCode: AdviceByCode): Advice {
  if (!(error instanceof ApiError)) {
    return { means: "the gateway itself is at fault", change: "nothing; please report it" };
  }
  return byCode[error.code] ?? { means: errorMeanings[error.code], change: "nothing that is known" };
}

const wait = "nothing here; until it is over, MODEL_FALLBACKS can send requests to another upstream";

/** For steps of the site. */
export const siteAdvice: AdviceByCode = {
  upstream_unreachable: {
    means: "no HTTP answer comes from the site",
    change:
      "CHAT_PAGE_URL or UPSTREAM_URL, if their host is wrong; HTTPS_PROXY, if this network needs a proxy",
  },
  upstream_challenge: {
    means:
      "the firewall of the site does not let this server in, wherever the address of a data centre is enough for that",
    change:
      "HTTPS_PROXY, or the machine itself, so that requests leave from another network; KIMI_WEB=off for other upstreams alone",
  },
  upstream_unavailable: { means: "the site is out of order or in maintenance", change: wait },
  upstream_rate_limited: {
    means: "the site limits its callers, which it knows by their address",
    change:
      "UPSTREAM_MAX_CONCURRENCY to a lower number, or RATE_LIMIT_RPM so that no caller takes all there is",
  },
  upstream_nonce_unavailable: {
    means: "the page is not the one with the chat, or no longer says the nonce that messages need",
    change: "CHAT_PAGE_URL: it must be the page that shows the chat to a visitor who is not logged in",
  },
  upstream_error: {
    means: "the site has taken the message and says that it failed itself",
    change: "KNOWN_MODELS (`id=name-at-the-site`), if its words are about the model; otherwise nothing here",
  },
  upstream_invalid_response: {
    means: "what answers is not the chat of this site",
    change: "UPSTREAM_URL: it must be the admin-ajax.php of the site that CHAT_PAGE_URL names",
  },
  upstream_timeout: {
    means: "the site thinks for longer than it may",
    change: "API_REQUEST_TIMEOUT to more seconds",
  },
  context_length_exceeded: {
    means: "the site finds a short message too long",
    change: "CONTEXT_MAX_LENGTH to what the site takes",
  },
};

/** The site has a nonce on its page and refuses it. */
export const refusedNonce: Advice = {
  means: "the page is kept by a cache that can't be passed, or page and call belong to two sites",
  change:
    "UPSTREAM_URL and CHAT_PAGE_URL, so that both name one site; UPSTREAM_HEADERS, if it wants a cookie",
};

/** Who sets what of an OpenAI-compatible upstream. */
export interface UpstreamSettingNames {
  readonly baseUrl: string;
  readonly apiKey: string;
  readonly models: string;
}

/** For steps of an OpenAI-compatible upstream. */
export const upstreamAdvice = ({ baseUrl, apiKey, models }: UpstreamSettingNames): AdviceByCode => ({
  upstream_unreachable: {
    means: "no HTTP answer comes from the upstream",
    change: `${baseUrl}, if host or port is wrong; HTTPS_PROXY, if this network needs a proxy`,
  },
  upstream_auth_failed: { means: "the upstream does not accept the key", change: apiKey },
  upstream_rejected: {
    means: "the upstream knows no such model, or the model does not chat",
    change: models,
  },
  upstream_rate_limited: {
    means: "the key's allowance is used up for the moment, or has no money left",
    change: `${apiKey}, or the account that it belongs to`,
  },
  upstream_unavailable: { means: "the upstream is out of order", change: wait },
  upstream_error: { means: "the upstream says that it failed", change: wait },
  upstream_challenge: {
    means: "a firewall before the upstream does not let this server in",
    change: `${baseUrl}: the API's own address usually has no such firewall`,
  },
  upstream_invalid_response: {
    means: "what answers is not an OpenAI-compatible API",
    change: `${baseUrl}: it usually ends with /v1`,
  },
  upstream_timeout: {
    means: "the upstream thinks for longer than it may",
    change: "API_REQUEST_TIMEOUT to more seconds",
  },
});

/** For the store, by its name. */
export const storeAdvice: Readonly<Record<string, Advice>> = {
  redis: {
    means:
      "Redis does not answer, or refuses; requests with a session then fail with session_store_unavailable",
    change: "REDIS_URL (redis://user:password@host:port; rediss:// for TLS)",
  },
  "redis-rest": {
    means:
      "the REST API does not answer, or refuses; requests with a session then fail with session_store_unavailable",
    change: "UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN, or KV_REST_API_URL and KV_REST_API_TOKEN",
  },
  "deno-kv": {
    means: "the database can't be used; requests with a session then fail with session_store_unavailable",
    change: "DENO_KV_PATH: a file that may be written, or a remote database's URL",
  },
  memory: { means: "the gateway itself is at fault", change: "nothing; please report it" },
};
