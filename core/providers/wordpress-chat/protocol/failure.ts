/** What a site's failure means, whatever plug-in says it: by its status, its words and its codes. */
import { ApiError } from "../../../errors.ts";
import { isRecord } from "../../../util/json.ts";
import { readRetryAfterMs } from "../../shared/upstream-http.ts";
import { type SiteResponse, siteWords } from "../site-response.ts";
import type { AnswerForm } from "./answer-form.ts";

/** The site has not read the message, and may do so with other credentials. */
export interface Refused {
  /**
   * "refused-nonce": the site did not accept the nonce. "refused-cookies": it finds them too large.
   * "unclear-refusal": its text does not tell why.
   */
  readonly kind: "refused-nonce" | "refused-cookies" | "unclear-refusal";
  /** The site's words. */
  readonly text: string;
}

const failureWords = /^(?:error|fail|failed|failure|denied|rejected|ko|nok)$/i;

const isFilled = (value: unknown): boolean =>
  value === true || (typeof value === "string" && value !== "") || isRecord(value);

const isTrue = (value: unknown): boolean =>
  value === true || value === 1 || value === "true" || value === "1";

/** Whether JSON says of itself that it is a reply, or a failure; undefined where it says nothing. */
export function saysSuccess(answer: Readonly<Record<string, unknown>>): boolean | undefined {
  if (Object.hasOwn(answer, "success")) return isTrue(answer.success);
  const { status, data, code } = answer;
  if (answer.ok === false || isFilled(answer.error)) return false;
  if (typeof status === "string") return failureWords.test(status) ? false : undefined;
  // The REST API's own failures.
  if (typeof code === "string" && isRecord(data) && Number(data.status) >= 400) return false;
  return undefined;
}

/** The words in what PHP code hands to wp_send_json_error: a text, an object with one, a list of WP_Error's parts. */
export function failureText(data: unknown, depth = 0): string {
  if (typeof data === "string") return data;
  if (depth > 4) return "";
  if (Array.isArray(data)) return failureText(data[0], depth + 1);
  if (!isRecord(data)) return "";
  const { message, error, error_message, msg, reason, detail, errors } = data;
  const text = [message, error, error_message, msg, reason, detail, errors]
    .map((value) => failureText(value, depth + 1))
    .find((words) => words !== "");
  const code = [data.code, data.error_code].find((value) => typeof value === "string" && value !== "");
  return text === undefined ? `${code ?? ""}` : code === undefined ? text : `${text} (${code})`;
}

const tooLong =
  /\b(?:message|text|input|prompt|question|content|query)\b[^.]{0,20}\btoo (?:long|large)|too many characters|characters? (?:allowed|limit)|(?:maximum|limit(?:ed)?|up)(?: is| of| to)? [\d,. ]+char|maximum (?:\w+ )?length|exceeds? .{0,40}(?:length|characters)/i;
const rateLimited =
  /rate.?limit|too many (?:requests|messages|attempts)|(?:daily|hourly|message|request|usage) limit|slow down|limit reached/i;
/** `rest_forbidden` is what a route says whose own check of the nonce has failed. */
const nonceRefused =
  /nonce|csrf|(?:invalid|wrong|bad|missing) token|security|expired|refresh|rest_forbidden|rest_cookie/i;
/** "Security", and "reload the page", in the languages that sites speak most. */
const nonceRefusedElsewhere =
  /sicherheit|sécurité|seguridad|segurança|sicurezza|beveiliging|bezpiecze|güvenlik|безопасност|安全验证|安全驗證|安全校验|安全检查|刷新|セキュリティ|보안/i;
/** What a chat plugin says when the model behind it has failed; no other nonce would help. */
const modelFailed =
  /\b(?:AI|API|LLM|cURL|HTTP|model|provider|timeout|timed out|unavailable|overloaded|busy|quota|empty)\b|http_request_failed/i;
/** WordPress's REST API, of addresses and fields. */
const noRoute = /\brest_no_route\b/;
const badFields = /\brest_(?:missing_callback_param|invalid_param|invalid_json)\b/;

/** A failure in the site's words. Throws ApiError, but for what other credentials may mend. */
export function readFailure(
  { status, headers }: Pick<SiteResponse, "status" | "headers">,
  text: string,
  { form, nowMs }: { readonly form: AnswerForm; readonly nowMs: number },
): Refused {
  const retryAfterMs = readRetryAfterMs(headers, nowMs);
  const words = text.slice(0, 4096);
  if (form.isRefusal(status, words)) return { kind: "refused-nonce", text };
  if (noRoute.test(words)) {
    throw unusable(
      `WordPress has no route ${form.path} (${siteWords(text)}); \`endpoint\` of its preset names it`,
    );
  }
  if (badFields.test(words)) {
    throw unusable(
      `WordPress does not take the fields (${siteWords(text)}); \`body\` of its preset has them`,
    );
  }
  if (tooLong.test(words)) {
    const message = `The chat site finds the message too long: ${siteWords(text)}`;
    throw new ApiError("context_length_exceeded", message, { param: "messages" });
  }
  if (status === 429 || rateLimited.test(words)) {
    const message = `The chat site limits its callers: ${siteWords(text)}`;
    throw new ApiError("upstream_rate_limited", message, { retryAfterMs });
  }
  if (status === 503 || (status > 500 && retryAfterMs !== undefined)) {
    const message = `The chat site is out of order (status ${status}): ${siteWords(text)}`;
    throw new ApiError("upstream_unavailable", message, { retryAfterMs });
  }
  const isNonces = nonceRefused.test(words) || nonceRefusedElsewhere.test(words);
  if (status < 500 && isNonces) return { kind: "refused-nonce", text };
  if (status >= 500 || modelFailed.test(words)) throw siteRefusal(text);
  return { kind: "unclear-refusal", text };
}

/** The site says that it failed. */
export function siteRefusal(text: string): ApiError {
  const detail = siteWords(text);
  const message =
    detail === "" ? "The chat site failed without an error message." : `The chat site failed: ${detail}`;
  return new ApiError("upstream_error", message);
}

/** An answer that can't be read. */
export const unusable = (what: string): ApiError =>
  new ApiError("upstream_invalid_response", `The chat site's answer can't be used: ${what}.`);
