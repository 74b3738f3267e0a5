/**
 * Every failure that a client can meet: one table, which the code throws from, the documentation and the doctor print,
 * and the tests hold each other to.
 */

export interface ErrorRow {
  readonly status: number;
  /** `type` of the error object. */
  readonly type: string;
  /**
   * `x-should-retry`, which OpenAI's SDKs obey: false where their own two retries would only do harm;
   * "with-retry-after" where they help only once the server has said how long to wait.
   */
  readonly retry?: false | "with-retry-after";
  /** What the Retry-After header says, where there is one. */
  readonly retryAfter?: string;
  /** Another upstream might do better, so the next of MODEL_FALLBACKS is tried. */
  readonly fallback?: true;
  /** It can end a stream that has begun. */
  readonly inStream?: true;
  /** When it happens; the end of the sentence "The request fails because …". */
  readonly when: string;
  /** What an operator can do about it. */
  readonly operator: string;
  /** Whether it is worth waking an operator at night; absent where only the client can do something about it. */
  readonly wakeUp?: "no" | "yes" | "yes, if all requests fail";
}

const invalid = "invalid_request_error";
const clientOnly = "Nothing: only the client can change the request.";
const otherUpstream = "Offer a model of an upstream that can do it (OPENAI_BASE_URL, PROVIDERS).";

const rows = {
  invalid_json: {
    status: 400,
    type: invalid,
    when: "the body is not JSON in UTF-8",
    operator: clientOnly,
  },
  invalid_request: {
    status: 400,
    type: invalid,
    when: "a field is missing, has the wrong type or is out of range; `param` names it",
    operator: clientOnly,
  },
  unsupported_content: {
    status: 400,
    type: invalid,
    fallback: true,
    inStream: true,
    when: "the newest message of the user has a part that the model's provider does not take (image, audio, file)",
    operator: otherUpstream,
  },
  unsupported_parameter: {
    status: 400,
    type: invalid,
    fallback: true,
    inStream: true,
    when: "a parameter asks for something that the model's provider can't do; `param` names it",
    operator: otherUpstream,
  },
  context_length_exceeded: {
    status: 400,
    type: invalid,
    fallback: true,
    inStream: true,
    when: "the newest message alone is longer than the provider takes",
    operator:
      "Let long messages be shortened or condensed (LONG_INPUT), or name a model with more room in MODEL_FALLBACKS. If the site takes more, raise CONTEXT_MAX_LENGTH; if the site itself refused the text, lower it.",
  },
  missing_api_key: {
    status: 401,
    type: "authentication_error",
    when: "the request has no API key: `Authorization: Bearer KEY` is missing",
    operator: clientOnly,
  },
  invalid_api_key: {
    status: 401,
    type: "authentication_error",
    retry: false,
    when: "the API key is not one of the server's",
    operator: "Compare the client's key with API_MASTER_KEY and API_KEYS.",
  },
  api_key_expired: {
    status: 401,
    type: "authentication_error",
    retry: false,
    when: "the API key's `expiresAt` is over",
    operator: "Give its holder a new key in API_KEYS, or a later `expiresAt`.",
  },
  forbidden_origin: {
    status: 403,
    type: "permission_error",
    when: "a server without API keys, open to its own machine only, was called under another Host or Origin or through a proxy",
    operator: "Set API_MASTER_KEY, or list the page's origin in CORS_ORIGIN.",
  },
  sessions_need_a_key: {
    status: 403,
    type: "permission_error",
    when: "a remembered conversation, or the list of requests, was asked for, on a server that others can reach and that has no API keys",
    operator: "Set API_MASTER_KEY or API_KEYS.",
  },
  model_not_allowed: {
    status: 403,
    type: "permission_error",
    when: "the API key may not use this model; the message names those that it may",
    operator: "Add the model to the key's `models` in API_KEYS.",
  },
  model_not_found: {
    status: 404,
    type: invalid,
    fallback: true,
    inStream: true,
    when: "no provider has the model, or its upstream has it no more",
    operator: "Set KNOWN_MODELS or an upstream's models, or make the name an alias in MODEL_ALIASES.",
  },
  response_not_found: {
    status: 404,
    type: invalid,
    when: "a stored response, or an item of one, was asked for by an id that this API key has nothing under: it is unknown, has expired, was deleted, or was not kept",
    operator:
      "If responses expire too early, raise RESPONSES_TTL; if they are too long to be kept, RESPONSES_MAX_BYTES.",
  },
  previous_response_not_found: {
    status: 400,
    type: invalid,
    when: "`previous_response_id` names no stored response of this API key",
    operator:
      "If responses expire too early, raise RESPONSES_TTL; if they are too long to be kept, RESPONSES_MAX_BYTES.",
  },
  not_found: {
    status: 404,
    type: invalid,
    when: "there is no such route",
    operator: clientOnly,
  },
  method_not_allowed: {
    status: 405,
    type: invalid,
    when: "the route does not take this method; `Allow` lists those that it takes",
    operator: clientOnly,
  },
  request_timeout: {
    status: 408,
    type: invalid,
    when: "the request's body did not arrive within API_REQUEST_TIMEOUT",
    operator: "If clients on slow connections send long bodies, raise API_REQUEST_TIMEOUT.",
  },
  idempotency_key_reused: {
    status: 409,
    type: invalid,
    retry: false,
    when: "the last request of this conversation had the same Idempotency-Key and another body",
    operator: clientOnly,
  },
  request_too_large: {
    status: 413,
    type: invalid,
    when: "the body has more than MAX_BODY_BYTES bytes",
    operator: "Raise MAX_BODY_BYTES.",
  },
  websocket_unsupported: {
    status: 426,
    type: invalid,
    when: "a WebSocket was asked for, which the Responses API has at OpenAI; clients go on over HTTP",
    operator: clientOnly,
  },
  too_many_bodies: {
    status: 503,
    type: "server_error",
    retryAfter: "2",
    when: "the bodies of requests under way take all of MAX_BODIES_BYTES, or their key's half of it",
    operator:
      "See which key sends so much (`kimi_requests_total`). Raise MAX_BODIES_BYTES if there is memory for it, or lower MAX_BODY_BYTES.",
    wakeUp: "no",
  },
  unsupported_encoding: {
    status: 415,
    type: invalid,
    when: "the body's Content-Encoding is one that the platform can't decode",
    operator:
      "Have the client send its bodies uncompressed or as gzip. Bun, Deno and Node from 22.15 on decode gzip, deflate, br and zstd.",
  },
  rate_limit_exceeded: {
    status: 429,
    type: "rate_limit_error",
    retryAfter: "until the key may send again",
    when: "the API key has made RATE_LIMIT_RPM requests, or as many as its own `rpm`, within a minute",
    operator: "Raise RATE_LIMIT_RPM or the key's `rpm`, or give busy clients a key of their own.",
    wakeUp: "no",
  },
  token_limit_exceeded: {
    status: 429,
    type: "rate_limit_error",
    retryAfter: "until the key's 24 hours are over",
    when: "the API key has used its `tokensPerDay`",
    operator: "Raise the key's `tokensPerDay` in API_KEYS, or wait.",
    wakeUp: "no",
  },
  client_closed_request: {
    status: 499,
    type: "client_error",
    when: "the client left before the answer; seen only in the log",
    operator:
      "Nothing. If there are many at one time, look for a proxy that hangs up before STREAM_COMMIT_MS or STREAM_KEEPALIVE_MS is over.",
    wakeUp: "no",
  },
  overloaded: {
    status: 503,
    type: "server_error",
    retryAfter: "5",
    fallback: true,
    inStream: true,
    when: "too many requests already wait for the upstream",
    operator:
      "See which key sends so much (`kimi_requests_total`). Raise UPSTREAM_MAX_CONCURRENCY if the site can bear it, set RATE_LIMIT_RPM, or name MODEL_FALLBACKS.",
    wakeUp: "no",
  },
  api_key_not_configured: {
    status: 503,
    type: "server_error",
    retry: false,
    when: "others can reach the server, and it has neither an API key nor API_MASTER_KEY=1, which opens it to everyone",
    operator: "Set API_MASTER_KEY or API_KEYS; API_MASTER_KEY=1 opens the API to everyone.",
    wakeUp: "yes",
  },
  upstream_rate_limited: {
    status: 429,
    type: "rate_limit_error",
    retry: "with-retry-after",
    retryAfter: "the upstream's, if it sends one",
    fallback: true,
    inStream: true,
    when: "the upstream limits how much the gateway may send; the site counts by the gateway's address",
    operator: "Send less at once: lower UPSTREAM_MAX_CONCURRENCY, or set RATE_LIMIT_RPM for each key.",
    wakeUp: "no",
  },
  upstream_error: {
    status: 502,
    type: "upstream_error",
    retry: false,
    fallback: true,
    inStream: true,
    when: "the upstream took the request and reports that it failed; its text is in the message",
    operator: "Read the upstream's text. If it is about the model, try another one, or name MODEL_FALLBACKS.",
    wakeUp: "no",
  },
  upstream_rejected: {
    status: 400,
    type: invalid,
    inStream: true,
    when: "an OpenAI-compatible upstream refuses the request; status, code and message are the upstream's own",
    operator: clientOnly,
  },
  upstream_out_of_credit: {
    status: 402,
    type: "upstream_error",
    retry: false,
    fallback: true,
    inStream: true,
    when: "the gateway's account at the upstream has no credit or quota left",
    operator: "Top the account up, or name MODEL_FALLBACKS or further keys of other accounts.",
    wakeUp: "yes",
  },
  upstream_auth_failed: {
    status: 502,
    type: "upstream_error",
    retry: false,
    inStream: true,
    when: "the upstream does not accept the gateway's own key",
    operator: "Set the upstream's key: OPENAI_API_KEY, or apiKey in PROVIDERS.",
    wakeUp: "yes",
  },
  upstream_invalid_response: {
    status: 502,
    type: "upstream_error",
    fallback: true,
    inStream: true,
    when: "the upstream's answer is not one of its API, or twice not in the form demanded (a tool call, JSON)",
    operator:
      "Run `npm run doctor`, and open UPSTREAM_URL (or the base URL) in a browser: the address may have moved, want a login, or run a changed plugin.",
    wakeUp: "yes, if all requests fail",
  },
  upstream_unreachable: {
    status: 502,
    type: "upstream_error",
    fallback: true,
    inStream: true,
    when: "no connection to the upstream could be made, or it broke",
    operator:
      "Wait. If it lasts for hours, run `npm run doctor`: UPSTREAM_URL, DNS, HTTPS_PROXY or a firewall may be the cause.",
    wakeUp: "no",
  },
  upstream_unavailable: {
    status: 503,
    type: "upstream_error",
    retryAfter: "the upstream's, if it sends one",
    fallback: true,
    inStream: true,
    when: "the upstream answers 5xx, is in maintenance or has lost its database",
    operator: "Wait: the circuit breaker spares the upstream. Meanwhile MODEL_FALLBACKS can answer.",
    wakeUp: "no",
  },
  upstream_message_refused: {
    status: 422,
    type: invalid,
    retry: false,
    fallback: true,
    inStream: true,
    when: "a firewall before the site, which reads messages, refused this one, and would refuse it again",
    operator:
      "Nothing: other messages pass. If many are refused, ask the site's host to exempt admin-ajax.php from its firewall's rules, or name MODEL_FALLBACKS. Sending such messages again and again gets the gateway's address banned.",
    wakeUp: "no",
  },
  upstream_nonce_unavailable: {
    status: 503,
    type: "upstream_error",
    retry: false,
    fallback: true,
    inStream: true,
    when: "the chat page has no nonce (the token that messages need), or only one that the site refuses",
    operator:
      "Open CHAT_PAGE_URL in a private window: is the chat there? If a page cache holds an old page, have the site exempt it. If the site wants a cookie, set it in UPSTREAM_HEADERS.",
    wakeUp: "yes",
  },
  upstream_challenge: {
    status: 503,
    type: "upstream_error",
    retry: false,
    retryAfter: "while the circuit breaker pauses",
    fallback: true,
    inStream: true,
    when: "the upstream's firewall lets only browsers in (a Cloudflare challenge or block)",
    operator:
      "It seldom passes by itself. Let requests leave from another network (HTTPS_PROXY, another machine), ask the site to let the address in, or pass the challenge in a browser at the same address and set its cookie and User-Agent in UPSTREAM_HEADERS. Meanwhile MODEL_FALLBACKS can answer. The gateway does not try to pass it.",
    wakeUp: "yes",
  },
  upstream_timeout: {
    status: 504,
    type: "timeout_error",
    retry: false,
    fallback: true,
    inStream: true,
    when: "the upstream took longer than it may to begin, fell silent, or the whole answer took too long; the message says which",
    operator:
      "Raise the limit that the message names: API_REQUEST_TIMEOUT or API_TOTAL_TIMEOUT, and PLATFORM_TIME_LIMIT where the platform allows more. If all requests are slow for long, run `npm run doctor`.",
    wakeUp: "no",
  },
  session_store_unavailable: {
    status: 503,
    type: "server_error",
    retryAfter: "2",
    when: "the store of conversations does not answer; requests without a session are not affected",
    operator:
      "Start the store, and check REDIS_URL, UPSTASH_REDIS_REST_URL or DENO_KV_PATH; `/health` tells which store it is.",
    wakeUp: "yes",
  },
  internal_error: {
    status: 500,
    type: "server_error",
    inStream: true,
    when: "the gateway itself has a fault",
    operator:
      "Find the log's lines with the request's id (`x-request-id`): one has the stack. Please report it.",
    wakeUp: "yes",
  },
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof rows;

export const errorTable: Readonly<Record<ErrorCode, ErrorRow>> = rows;

export interface ApiErrorOptions {
  /** The request's field at fault, or its header. */
  readonly param?: string | undefined;
  readonly retryAfterMs?: number | undefined;
  /** Further response headers, such as Allow. */
  readonly headers?: Readonly<Record<string, string>>;
  /**
   * Status, code and type that an upstream of the same format gave, and further fields of its error object; they are
   * passed on as they came.
   */
  readonly upstream?: {
    readonly status: number;
    readonly code?: string | null;
    readonly type?: string;
    readonly fields?: Readonly<Record<string, unknown>>;
  };
  /** Whether it says nothing of the upstream's health, as an API's own 500 about one request does. */
  readonly isAboutRequest?: boolean;
  /** How long a prompt is that is too long, and how long it may be, in characters. */
  readonly overflow?: { readonly chars: number; readonly maxChars: number };
  readonly cause?: unknown;
}

/** SDKs sleep for as long as Retry-After says; a longer sleep would look as if they hung. */
const longestRetryAfterMs = 30_000;

/**
 * A failure that a client sees: its code sets the HTTP status and whether a retry helps, as docs/errors.md lists
 * them, and `retryAfterMs` milliseconds become Retry-After. Its message is shown to the client: no secrets, no texts of
 * messages.
 *
 * @example
 * ```ts
 * import { ApiError, type Provider } from "kimi-ai-2api";
 *
 * const closed: Provider = {
 *   name: "closed",
 *   models: () => [{ id: "sleeper", createdAt: 1_735_689_600 }],
 *   async answer() {
 *     throw new ApiError("upstream_unavailable", "We are closed until Monday.", { retryAfterMs: 60_000 });
 *   },
 * };
 * ```
 */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly code: ErrorCode;
  readonly status: number;
  readonly type: string;
  readonly param: string | null;
  readonly retryAfterMs: number | undefined;
  readonly headers: Readonly<Record<string, string>>;
  /** Whether it says nothing of the upstream's health. */
  readonly isAboutRequest: boolean;
  readonly overflow: ApiErrorOptions["overflow"];
  /** The `code` on the wire: an upstream's own where it gave one. */
  readonly wireCode: string | null;
  /** Further fields of an upstream's error object. */
  readonly fields: Readonly<Record<string, unknown>> | undefined;
  readonly #options: ApiErrorOptions;

  constructor(code: ErrorCode, message: string, options: ApiErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    const row = errorTable[code];
    this.code = code;
    this.#options = options;
    this.status = options.upstream?.status ?? row.status;
    this.type = options.upstream?.type ?? row.type;
    this.wireCode = options.upstream?.code === undefined ? code : options.upstream.code;
    this.fields = options.upstream?.fields;
    this.param = options.param ?? null;
    this.retryAfterMs = options.retryAfterMs;
    this.headers = options.headers ?? {};
    this.isAboutRequest = options.isAboutRequest === true;
    this.overflow = options.overflow;
  }

  /** The same failure, known by another code; what an upstream gave of its own stays. */
  as(code: ErrorCode): ApiError {
    return new ApiError(code, this.message, this.#options);
  }

  /** The value of x-should-retry; undefined leaves it to the SDK. */
  get shouldRetry(): boolean | undefined {
    if (this.retryAfterMs !== undefined && this.retryAfterMs > longestRetryAfterMs) return false;
    const { retry } = errorTable[this.code];
    if (retry === "with-retry-after") return this.retryAfterMs === undefined ? false : undefined;
    return retry;
  }

  /** The same error with other words: `replace` gets each text that the client sees. */
  reworded(replace: (text: string) => string): ApiError {
    const message = replace(this.message);
    const type = replace(this.type);
    const code = this.wireCode === null ? null : replace(this.wireCode);
    const param = this.param === null ? null : replace(this.param);
    const { status } = this;
    const fields = this.fields && JSON.parse(replace(JSON.stringify(this.fields)));
    return new ApiError(this.code, message, {
      ...this.#options,
      param: param ?? undefined,
      upstream: { status, code, type, ...(fields && { fields }) },
    });
  }

  /** OpenAI's error object. */
  toBody(): { error: { message: string; type: string; param: string | null; code: string | null } } {
    const { message, type, param, wireCode: code, fields } = this;
    return { error: { ...fields, message, type, param, code } };
  }

  /** The response headers that belong to the error. */
  toHeaders(): Record<string, string> {
    const headers: Record<string, string> = { ...this.headers };
    if (this.retryAfterMs !== undefined) {
      headers["retry-after"] = String(Math.ceil(this.retryAfterMs / 1000));
      headers["retry-after-ms"] = String(Math.ceil(this.retryAfterMs));
    }
    if (this.shouldRetry !== undefined) headers["x-should-retry"] = String(this.shouldRetry);
    return headers;
  }
}

/** Any thrown value as an error for the client; what is not ours is not shown. */
export const toApiError = (error: unknown): ApiError =>
  error instanceof ApiError
    ? error
    : new ApiError("internal_error", "The gateway failed. Its log has the details.", { cause: error });
