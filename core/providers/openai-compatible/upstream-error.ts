/** An upstream's error answers as ApiErrors: its status, code and words, without our key. */
import { ApiError, type ErrorCode, errorTable } from "../../errors.ts";
import type { JsonObject } from "../../types.ts";
import { isRecord } from "../../util/json.ts";
import { cleanErrorText } from "../shared/upstream-http.ts";
import { type ErrorFields, readErrorFields } from "./error-fields.ts";

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

const contextLength =
  /context_length|context_size|context length|context size|context window|model token limit|too_many_(prompt|input)_tokens|(prompt|input) is too long|too many (prompt|input) tokens|reduce the length of|exceeds? the (model'?s )?max\w* (context|input|prompt)/i;
const refusedKey =
  /api[ _-]?key\S*( \w+){0,3} (not valid|invalid|incorrect|expired|missing|not found)|(invalid|incorrect|wrong|expired|missing|unknown)[ _]api[ _-]?key|api_?key_?invalid|access token \S*( \w+)?(invalid|expired|no longer valid)|login fail/i;
const refusedName = /api_?key|authentication|unauthenticated|unauthori[sz]ed/i;
const rateLimit =
  /rate[ _]?limit|quota|too[ _]many[ _]requests|resource_exhausted|throttl|(request|qps|daily) limit/i;
const moderation = /content_policy|content_filter|moderation/i;

/** Which of our failures it is. */
function classify(status: number | undefined, { code, type, message, more }: ErrorFields): ErrorCode {
  const names = `${code} ${type} ${typeof more.status === "string" ? more.status : ""}`;
  const all = `${names} ${message}`;
  if ((status === undefined || status < 500) && contextLength.test(all)) return "context_length_exceeded";
  // Gemini answers 400 to a key that is not valid.
  if ((status === undefined || status === 400) && refusedKey.test(all)) return "upstream_auth_failed";
  if (status === undefined) {
    if (rateLimit.test(all)) return "upstream_rate_limited";
    return refusedName.test(names) ? "upstream_auth_failed" : "upstream_error";
  }
  // https://openrouter.ai/docs/api-reference/errors: its 403 of a flagged text has no code of its own.
  const { metadata } = more;
  const isModeration =
    moderation.test(names) || (isRecord(metadata) && ("reasons" in metadata || "flagged_input" in metadata));
  if (status === 401 || (status === 403 && !isModeration)) return "upstream_auth_failed";
  if (status === 429) return "upstream_rate_limited";
  if (status === 408) return "upstream_timeout";
  return status < 500 ? "upstream_rejected" : "upstream_unavailable";
}

/** A text as it stands in JSON, without the quotes. */
const inJson = (text: string): string => JSON.stringify(text).slice(1, -1);

/** Whether `text` has a piece of a secret: upstreams like to show the last characters of a wrong key. */
const reveals = (text: string, secrets: readonly string[], pieceChars: number): boolean =>
  secrets.some((secret) => {
    for (let start = 0; start === 0 || start + pieceChars <= secret.length; start++) {
      if (text.includes(secret.slice(start, start + pieceChars))) return true;
    }
    return false;
  });

/** The most characters of JSON that an error may have beside its words. */
const maxMoreChars = 16 * 1024;

/** What an error object has beside its words, if it is of a sensible size. */
function readMore(more: JsonObject): { readonly fields: JsonObject; readonly json: string } | undefined {
  try {
    const json = JSON.stringify(more);
    return json === "{}" || json.length > maxMoreChars ? undefined : { fields: more, json };
  } catch {
    // It is nested too deeply.
    return undefined;
  }
}

/** The error that a client gets for an upstream's. */
export function upstreamError(
  { status: httpStatus, body, retryAfterMs: headerRetryMs, shouldRetry }: FailedAnswer,
  { upstream, secrets }: UpstreamErrorOptions,
): ApiError {
  const readable = readErrorFields(body);
  const fields: ErrorFields = readable ?? { message: "", more: {} };
  const status = httpStatus ?? fields.status;
  const errorCode = classify(status, fields);
  const answered = status === undefined ? "failed" : `answered ${status}`;

  const isText = typeof body === "string" && (status === 404 || status === 405);
  if ((readable === undefined || isText) && errorCode === "upstream_rejected" && status !== 413) {
    const message = `${upstream} ${answered} in a form that is not its API's: is its base URL right?`;
    return new ApiError("upstream_invalid_response", message);
  }
  const isAuth = errorCode === "upstream_auth_failed";
  const text = cleanErrorText(fields.message);
  const code = fields.code && cleanErrorText(fields.code);
  const type = fields.type && cleanErrorText(fields.type);
  const param = fields.param && cleanErrorText(fields.param);
  const isSafe = !reveals([text, code, type, param].join(" "), secrets, isAuth ? 4 : 8);
  if (isAuth) {
    const message = `${upstream} refused the gateway's own key (${answered}).`;
    return new ApiError(errorCode, isSafe && text !== "" ? `${message} It says: ${text}` : message);
  }
  // An API that names its failure in its own form lives; what failed is this request.
  const isAboutRequest = readable !== undefined && status === 500;
  const retryAfterMs = headerRetryMs ?? fields.retryAfterMs;
  if (!isSafe) return new ApiError(errorCode, `${upstream} ${answered}.`, { retryAfterMs, isAboutRequest });
  const more = readMore(fields.more);
  return new ApiError(errorCode, text || `${upstream} ${answered}.`, {
    retryAfterMs,
    ...((shouldRetry === "true" || shouldRetry === "false") && {
      headers: { "x-should-retry": shouldRetry },
    }),
    param,
    isAboutRequest,
    upstream: {
      status: status ?? errorTable[errorCode].status,
      // Clients look for OpenAI's word for a context that is too long, so that they can shorten it.
      ...(code !== undefined && errorCode !== "context_length_exceeded" && { code }),
      ...(type !== undefined && { type }),
      ...(more !== undefined && !reveals(more.json, secrets.map(inJson), 8) && { fields: more.fields }),
    },
  });
}
