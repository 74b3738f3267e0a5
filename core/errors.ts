/**
 * Every failure a client can meet. The table is what the code throws, the documentation lists and the tests check;
 * error-meanings.ts says when each happens.
 */

interface ErrorRow {
  readonly status: number;
  readonly type: string;
  /**
   * `x-should-retry`, which OpenAI's SDKs obey: false where their own two retries would only do harm;
   * "with-retry-after" where they help only once the server has said how long to wait.
   */
  readonly retry?: false | "with-retry-after";
  /** Another upstream might do better, so a fallback is asked. */
  readonly mendable?: true;
}

const invalid = "invalid_request_error";

export const errorTable = {
  invalid_json: { status: 400, type: invalid },
  invalid_request: { status: 400, type: invalid },
  unsupported_content: { status: 400, type: invalid },
  unsupported_parameter: { status: 400, type: invalid },
  context_length_exceeded: { status: 400, type: invalid, mendable: true },
  missing_api_key: { status: 401, type: "authentication_error" },
  invalid_api_key: { status: 403, type: "authentication_error" },
  forbidden_origin: { status: 403, type: "permission_error" },
  sessions_need_a_key: { status: 403, type: "permission_error" },
  model_not_found: { status: 404, type: invalid },
  not_found: { status: 404, type: invalid },
  method_not_allowed: { status: 405, type: invalid },
  request_timeout: { status: 408, type: invalid },
  idempotency_key_reused: { status: 409, type: invalid, retry: false },
  request_too_large: { status: 413, type: invalid },
  rate_limit_exceeded: { status: 429, type: "rate_limit_error" },
  client_closed_request: { status: 499, type: "client_error" },
  overloaded: { status: 503, type: "server_error", mendable: true },
  api_key_not_configured: { status: 503, type: "server_error", retry: false },
  upstream_rate_limited: {
    status: 429,
    type: "rate_limit_error",
    retry: "with-retry-after",
    mendable: true,
  },
  upstream_error: {
    status: 502,
    type: "upstream_error",
    retry: false,
    mendable: true,
  },
  upstream_rejected: { status: 400, type: invalid },
  upstream_auth_failed: { status: 502, type: "upstream_error", retry: false },
  upstream_invalid_response: { status: 502, type: "upstream_error", mendable: true },
  upstream_unreachable: { status: 502, type: "upstream_error", mendable: true },
  upstream_unavailable: { status: 503, type: "upstream_error", mendable: true },
  upstream_message_refused: {
    status: 422,
    type: invalid,
    retry: false,
    mendable: true,
  },
  upstream_nonce_unavailable: {
    status: 503,
    type: "upstream_error",
    retry: false,
    mendable: true,
  },
  upstream_challenge: {
    status: 503,
    type: "upstream_error",
    retry: false,
    mendable: true,
  },
  upstream_timeout: {
    status: 504,
    type: "timeout_error",
    retry: false,
    mendable: true,
  },
  session_store_unavailable: { status: 503, type: "server_error" },
  internal_error: { status: 500, type: "server_error" },
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof errorTable;

export interface ApiErrorOptions {
  /** The request's field at fault. */
  readonly param?: string | undefined;
  readonly retryAfterMs?: number | undefined;
  /** Further response headers, such as Allow. */
  readonly headers?: Readonly<Record<string, string>>;
  /** What an upstream of the same format said instead: it is passed on as it came. */
  readonly upstream?: { readonly status: number; readonly code?: string | null; readonly type?: string };
  readonly cause?: unknown;
}

/** Over this, an SDK that slept as told would seem to hang. */
const longestRetryAfterMs = 30_000;

/** A failure that a client is told of. Its message is shown to the client: no secrets, no message texts. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly code: ErrorCode;
  readonly status: number;
  readonly type: string;
  readonly param: string | null;
  readonly retryAfterMs: number | undefined;
  readonly headers: Readonly<Record<string, string>>;
  /** The `code` on the wire: an upstream's own where it gave one. */
  readonly wireCode: string | null;

  constructor(code: ErrorCode, message: string, options: ApiErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    const row = errorTable[code];
    this.code = code;
    this.status = options.upstream?.status ?? row.status;
    this.type = options.upstream?.type ?? row.type;
    this.wireCode = options.upstream?.code === undefined ? code : options.upstream.code;
    this.param = options.param ?? null;
    this.retryAfterMs = options.retryAfterMs;
    this.headers = options.headers ?? {};
  }

  /** What OpenAI's SDKs are told of retrying; undefined leaves it to them. */
  get shouldRetry(): boolean | undefined {
    if (this.retryAfterMs !== undefined && this.retryAfterMs > longestRetryAfterMs) return false;
    const { retry }: ErrorRow = errorTable[this.code];
    if (retry === "with-retry-after") return this.retryAfterMs === undefined ? false : undefined;
    return retry;
  }

  /** OpenAI's error object. */
  toBody(): { error: { message: string; type: string; param: string | null; code: string | null } } {
    return { error: { message: this.message, type: this.type, param: this.param, code: this.wireCode } };
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
