/** An upstream's error answers as ApiErrors: its status, code and words, without our key. */
import { ApiError, type ErrorCode, errorTable } from "../../errors.ts";
import { cleanErrorText } from "../shared/upstream-http.ts";

export interface UpstreamErrorOptions {
  /** The upstream's name, for messages. */
  readonly upstream: string;
  /** Keys that no message may show, in part either. */
  readonly secrets: readonly string[];
}

export interface FailedAnswer {
  /** The HTTP status; absent for an error that came in a reply of status 200. */
  readonly status?: number;
  /** The parsed body, or its text where it is not JSON. */
  readonly body: unknown;
  readonly retryAfterMs?: number | undefined;
  /** OpenAI's word on whether a retry is any use. */
  readonly shouldRetry?: string | null;
}

interface ErrorFields {
  readonly message: string;
  readonly code?: string | null;
  readonly type?: string;
  readonly param?: string;
  readonly status?: number;
  /** The client's text was refused, not our key. */
  readonly isModeration: boolean;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const isErrorStatus = (value: unknown): value is number =>
  Number.isInteger(value) && (value as number) >= 400 && (value as number) <= 599;

/**
 * The error object's many shapes: OpenAI's `{error: {…}}`, a list with it (Gemini), `{error: "…"}` (Ollama), the
 * fields themselves (old vLLM), `{detail}` (FastAPI). Undefined for what is none.
 */
function readErrorFields(body: unknown): ErrorFields | undefined {
  if (Array.isArray(body)) return readErrorFields(body[0]);
  if (!isRecord(body)) return undefined;
  const error = isRecord(body.error) ? body.error : { ...body, message: body.message ?? body.error };
  const text = error.message ?? error.msg ?? error.detail;
  const message = typeof text === "string" ? text : text == null ? "" : JSON.stringify(text);
  if (message === "" && !isRecord(body.error)) return undefined;
  const status = [error.status, error.status_code, error.code].map(Number).find(isErrorStatus);
  return {
    message,
    ...((error.code === null || (typeof error.code === "string" && !/^\d*$/.test(error.code))) && {
      code: error.code && cleanErrorText(error.code),
    }),
    ...(typeof error.type === "string" && error.type !== "" && { type: cleanErrorText(error.type) }),
    ...(typeof error.param === "string" && { param: cleanErrorText(error.param) }),
    ...(status !== undefined && { status }),
    isModeration:
      /content_policy|content_filter|moderation/i.test(`${error.code} ${error.type}`) ||
      // https://openrouter.ai/docs/api-reference/errors: its 403 has no code of its own.
      (isRecord(error.metadata) && ("reasons" in error.metadata || "flagged_input" in error.metadata)),
  };
}

const contextLength =
  /context_length|context_size|context length|context size|context window|model token limit|prompt is too long/i;

/** Which of our failures it is. */
function classify(status: number | undefined, { code, type, message, isModeration }: ErrorFields): ErrorCode {
  const names = `${code} ${type}`;
  if ((status === undefined || status < 500) && contextLength.test(`${names} ${message}`)) {
    return "context_length_exceeded";
  }
  if (status === undefined) {
    if (/rate_?limit|quota/i.test(names)) return "upstream_rate_limited";
    if (/api_key|authentication/i.test(names)) return "upstream_auth_failed";
    return "upstream_error";
  }
  if (status === 401 || (status === 403 && !isModeration)) return "upstream_auth_failed";
  if (status === 429) return "upstream_rate_limited";
  if (status === 408) return "upstream_timeout";
  return status < 500 ? "upstream_rejected" : "upstream_unavailable";
}

/** Whether `text` has a piece of a secret: upstreams like to show the last characters of a wrong key. */
const reveals = (text: string, secrets: readonly string[], pieceChars: number): boolean =>
  secrets.some((secret) => {
    for (let start = 0; start === 0 || start + pieceChars <= secret.length; start++) {
      if (text.includes(secret.slice(start, start + pieceChars))) return true;
    }
    return false;
  });

/** What a client is told of an upstream's error. */
export function upstreamError(
  { status: httpStatus, body, retryAfterMs, shouldRetry }: FailedAnswer,
  { upstream, secrets }: UpstreamErrorOptions,
): ApiError {
  const readable = readErrorFields(body);
  const fields = readable ?? { message: "", isModeration: false };
  const status = httpStatus ?? fields.status;
  const errorCode = classify(status, fields);
  const answered = status === undefined ? "failed" : `answered ${status}`;

  if (readable === undefined && errorCode === "upstream_rejected" && status !== 413) {
    const message = `${upstream} ${answered} in a form that is not its API's: is its base URL right?`;
    return new ApiError("upstream_invalid_response", message);
  }
  const isAuth = errorCode === "upstream_auth_failed";
  const text = cleanErrorText(fields.message);
  const shown = [text, fields.code, fields.type, fields.param].join(" ");
  const isSafe = !reveals(shown, secrets, isAuth ? 4 : 8);
  if (isAuth) {
    const message = `${upstream} refused the gateway's own key (${answered}).`;
    return new ApiError(errorCode, isSafe && text !== "" ? `${message} It says: ${text}` : message);
  }
  // An API that names its failure in its own form lives; what failed is this request.
  const isAboutRequest = readable !== undefined && status === 500;
  if (!isSafe) return new ApiError(errorCode, `${upstream} ${answered}.`, { retryAfterMs, isAboutRequest });
  // A context that is too long is told by our code where the upstream's says nothing.
  const hasOwnCode =
    fields.code !== undefined && !(fields.code === null && errorCode === "context_length_exceeded");
  return new ApiError(errorCode, text || `${upstream} ${answered}.`, {
    retryAfterMs,
    ...((shouldRetry === "true" || shouldRetry === "false") && {
      headers: { "x-should-retry": shouldRetry },
    }),
    param: fields.param,
    isAboutRequest,
    upstream: {
      status: status ?? errorTable[errorCode].status,
      ...(hasOwnCode && { code: fields.code }),
      ...(fields.type !== undefined && { type: fields.type }),
    },
  });
}
