/** The chat's one call: a form that is posted to WordPress's admin-ajax.php, and what its answer means. */
import { ApiError } from "../../errors.ts";
import type { Clock, Fetch } from "../../types.ts";
import { isRecord } from "../../util/json.ts";
import { cleanErrorText, readRetryAfterMs } from "../shared/upstream-http.ts";
import { parseCookies } from "./nonce/cookies.ts";
import { findJson, jsonObjectAt } from "./reply/find-json.ts";
import {
  callSite,
  challengeFault,
  isFirewallRefusal,
  isMarkedChallenge,
  isTooLargeHeader,
  pageSummary,
  type SiteResponse,
  shortText,
  siteFault,
  siteWords,
} from "./site-response.ts";

const maxReplyChars = 4_000_000;

export interface ChatMessageForm {
  readonly message: string;
  /** The model's name at the site. */
  readonly model: string;
  readonly sessionId: string;
}

export interface PostOptions {
  readonly nonce: string;
  readonly fetch: Fetch;
  readonly url: string;
  readonly headers: Headers;
  /** The `Cookie` header among them; "" for none. */
  readonly cookie: string;
  readonly signal: AbortSignal;
  readonly clock: Pick<Clock, "now">;
  /** Whether the site has accepted a message with this nonce before. */
  readonly isNonceAccepted: boolean;
}

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

/** What the site made of a message. All else is thrown. */
export type SiteAnswer = Refused | { readonly kind: "reply"; readonly text: string };

/** Sends one message, once. */
export async function postMessage(form: ChatMessageForm, options: PostOptions): Promise<SiteAnswer> {
  const { fetch, url, headers, nonce, signal } = options;
  const { message, model, sessionId } = form;
  const fields = { action: "kimi_send_message", nonce, message, model, session_id: sessionId };
  const body = new URLSearchParams(fields).toString();
  const response = await callSite({
    fetch,
    url,
    method: "POST",
    headers,
    body,
    signal,
    maxChars: maxReplyChars,
  });
  return readAnswer(response, options);
}

export interface AnswerContext {
  /** What a Retry-After date is counted from. */
  readonly clock: Pick<Clock, "now">;
  /** What was sent, lest it be shown when the site repeats it. */
  readonly nonce: string;
  readonly cookie: string;
  readonly isNonceAccepted: boolean;
}

/** Sorts an answer of admin-ajax.php. */
export function readAnswer(response: SiteResponse, context: AnswerContext): SiteAnswer {
  const { status, headers, isCut } = response;
  if (isMarkedChallenge(headers)) throw challengeFault(status);
  if (isCut) throw invalid("more than 4 million characters");
  const answer = findJson(response.text, "success");
  if (answer === undefined) return readOtherAnswer(response, context);
  if (isTrue(answer.success)) {
    const text = messageOf(answer.data);
    if (text === undefined) throw invalid(`no message in its JSON (status ${status})`);
    return { kind: "reply", text };
  }
  const text = failureText(answer.data) || failureText(answer);
  return readFailure(response, withoutSecrets(text, context), context.clock.now());
}

function withoutSecrets(text: string, { nonce, cookie }: AnswerContext): string {
  let shown = text;
  for (const secret of [nonce, ...Object.values(parseCookies(cookie))]) {
    // What is shorter is no secret, and may be a piece of any word.
    if (secret.length >= 6) shown = shown.replaceAll(secret, "***");
  }
  return shown;
}

const isTrue = (value: unknown): boolean =>
  value === true || value === 1 || value === "true" || value === "1";

function messageOf(data: unknown): string | undefined {
  const message = isRecord(data) ? data.message : data;
  return typeof message === "string" && message !== "" ? message : undefined;
}

/** The words in what PHP code hands to wp_send_json_error: a text, an object with one, a list of WP_Error's parts. */
function failureText(data: unknown, depth = 0): string {
  if (typeof data === "string") return data;
  if (depth > 4) return "";
  if (Array.isArray(data)) return failureText(data[0], depth + 1);
  if (!isRecord(data)) return "";
  const text = [data.message, data.error, data.msg, data.errors]
    .map((value) => failureText(value, depth + 1))
    .find((words) => words !== "");
  const code = typeof data.code === "string" ? data.code : "";
  return text === undefined ? code : code === "" ? text : `${text} (${code})`;
}

const tooLong =
  /\b(?:message|text|input|prompt|question|content|query)\b[^.]{0,20}\btoo (?:long|large)|too many characters|characters? (?:allowed|limit)|(?:maximum|limit(?:ed)?|up)(?: is| of| to)? [\d,. ]+char|maximum (?:\w+ )?length|exceeds? .{0,40}(?:length|characters)/i;
const rateLimited =
  /rate.?limit|too many (?:requests|messages|attempts)|(?:daily|hourly|message|request|usage) limit|slow down|limit reached/i;
const nonceRefused = /nonce|security|expired|refresh/i;
/** What a chat plugin says when the model behind it has failed; no other nonce would help. */
const modelFailed =
  /\b(?:AI|API|LLM|cURL|HTTP|model|provider|timeout|timed out|unavailable|overloaded|busy|quota|empty)\b|http_request_failed/i;

function readFailure({ status, headers }: SiteResponse, text: string, nowMs: number): SiteAnswer {
  const retryAfterMs = readRetryAfterMs(headers, nowMs);
  const words = text.slice(0, 4096);
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
  if (status < 500 && nonceRefused.test(words)) return { kind: "refused-nonce", text };
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

const invalid = (what: string): ApiError =>
  new ApiError("upstream_invalid_response", `The chat site's answer can't be used: ${what}.`);

/** check_ajax_referer's whole answer; PHP's warnings may stand before it, a cache plugin's comment behind it. */
const bareMinusOne = /^(?:<[\s\S]*>\s*)?-1\s*(?:<!--[^>]*-->)?$/;

const isHtml = (text: string): boolean => text.startsWith("<") && !text.includes('{"');

/** An answer that is not the chat plugin's. */
function readOtherAnswer(response: SiteResponse, context: AnswerContext): SiteAnswer {
  const nowMs = context.clock.now();
  const text = withoutSecrets(response.text, context).trim();
  const shown = { ...response, text };
  if (text.length < 4096 && bareMinusOne.test(text)) return { kind: "refused-nonce", text: "-1" };
  if (isTooLargeHeader(shown)) return { kind: "refused-cookies", text };
  if (context.isNonceAccepted && isFirewallRefusal(shown)) throw messageRefused();
  const words = refusalWords(shown);
  const fault = siteFault(words === "" ? shown : { ...shown, text: words }, nowMs);
  if (fault !== undefined) throw fault;
  if (words !== "") return readFailure(response, words, nowMs);
  throw unusable(shown, context);
}

/** What JSON without `success` says, or the plain words of a refusal; else "", as the text may be a broken reply. */
function refusalWords({ status, text }: SiteResponse): string {
  if (text.startsWith("{")) return failureText(jsonObjectAt(text, 0));
  const isRefusal = status === 401 || status === 403 || status === 406;
  return isRefusal && /\p{L}/u.test(text) ? shortText(text) : "";
}

const messageRefused = (): ApiError =>
  new ApiError(
    "upstream_message_refused",
    "The site's firewall refused this message; other messages may pass.",
  );

/** Says what came instead of JSON, as far as that is surely no reply. */
function unusable({ status, headers, text }: SiteResponse, context: AnswerContext): ApiError {
  const withStatus = `(status ${status})`;
  if (status === 0 || (status >= 300 && status < 400)) {
    const target = withoutSecrets(redirectTarget(headers), context);
    return invalid(`a redirect${target}, which is not followed ${withStatus}`);
  }
  if (text === "") return invalid(`it is empty ${withStatus}`);
  if (text === "0") {
    return invalid(`"0" ${withStatus}: WordPress has no action kimi_send_message, or it gave no answer`);
  }
  if (text === "null") return invalid(`"null" ${withStatus}`);
  if (isHtml(text)) return invalid(`an HTML page instead of JSON ${withStatus}: "${pageSummary(text)}"`);
  return invalid(`${text.includes("{") ? "broken JSON" : "text that is not JSON"} ${withStatus}`);
}

/** Host and path of a redirect; its query may hold a secret. */
function redirectTarget(headers: Headers): string {
  const location = headers.get("location") ?? "";
  return location === "" ? "" : ` to ${cleanErrorText(location.split(/[?#]/, 1)[0] ?? "")}`;
}
