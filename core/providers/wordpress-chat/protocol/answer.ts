/** What a site's whole answer to a message means. */
import { ApiError } from "../../../errors.ts";
import type { Clock } from "../../../types.ts";
import { tryParseJson } from "../../../util/json.ts";
import { cleanErrorText } from "../../shared/upstream-http.ts";
import { parseCookies } from "../nonce/cookies.ts";
import { findJson, jsonObjectAt } from "../reply/find-json.ts";
import {
  challengeFault,
  isFirewallRefusal,
  isMarkedChallenge,
  isTooLargeHeader,
  pageSummary,
  type SiteResponse,
  shortText,
  siteFault,
} from "../site-response.ts";
import type { AnswerForm } from "./answer-form.ts";
import { failureText, type Refused, readFailure, saysSuccess, unusable } from "./failure.ts";
import { placesOfTexts, textAt, valueAt } from "./paths.ts";

export interface SiteReply {
  readonly kind: "reply";
  readonly text: string;
  /** What the site calls the session, where it names them. */
  readonly session?: string;
}

export interface AnswerContext {
  readonly form: AnswerForm;
  /** What a Retry-After date is counted from. */
  readonly clock: Pick<Clock, "now">;
  /** What was sent, lest it be shown when the site repeats it. */
  readonly nonce: string;
  readonly cookie: string;
  /** Whether the site has accepted a message with this nonce before. */
  readonly isNonceAccepted: boolean;
}

/** Sorts an answer that is all there. What is neither a reply nor a refusal is thrown. */
export function readAnswer(response: SiteResponse, context: AnswerContext): Refused | SiteReply {
  const { status, headers, isCut } = response;
  const { form } = context;
  if (isMarkedChallenge(headers)) throw challengeFault(status);
  if (isCut) throw unusable("more than 4 million characters");
  // A page may have anything in its scripts.
  const answer = findJson(response.text, isDocument(response.text) ? ownKeys : form.keys);
  if (answer === undefined) return readOtherAnswer(response, context);
  const success = saysSuccess(answer);
  if (success === false && Object.hasOwn(answer, "success")) {
    const text = withCode(failureText(answer.data) || failureText(answer), answer.code);
    return fail(response, text, context);
  }
  if (success === true || (success === undefined && status < 400)) {
    const found = textAt(answer, form.reply);
    if (found !== undefined) return readReply(found.text, answer, response, context);
    if (success === true) throw noReply(answer, status, form);
  }
  return readOtherAnswer(response, context, answer);
}

/** WordPress's own, which no page of a site has in its scripts. */
const ownKeys = ["success"];
/** Whether a text is a whole page. */
export const isDocument = (text: string): boolean => /^\s*<(?:!doctype html|html)\b/i.test(text);

/** A code that stands beside the words. */
const withCode = (text: string, code: unknown): string =>
  typeof code !== "string" || code === "" || text.includes(code) ? text : `${text} (${code})`.trim();

/** A reply, or the error that came as one. */
function readReply(
  text: string,
  answer: unknown,
  response: SiteResponse,
  context: AnswerContext,
): Refused | SiteReply {
  const { form } = context;
  if (isErrorText(text, form)) return fail(response, text, context);
  const session = form.session && sessionAt(answer, form);
  return { kind: "reply", text, ...(session !== undefined && { session }) };
}

/** Whether a reply begins as errors do. */
export const isErrorText = (text: string, { errors }: AnswerForm): boolean =>
  errors.some((error) => text.startsWith(error));

/** A longer one is no name. */
const maxSessionChars = 200;

/** What the site calls the session. */
export function sessionAt(answer: unknown, { session }: AnswerForm): string | undefined {
  const name = session && valueAt(answer, session);
  const text = typeof name === "string" || typeof name === "number" ? `${name}` : "";
  return text !== "" && text.length <= maxSessionChars ? text : undefined;
}

/** What the site says of a failure, in words that may be shown. */
function fail(response: SiteResponse, words: string, context: AnswerContext): Refused {
  const { form, clock } = context;
  const text = withoutSecrets(words, context);
  // What a preset knows of a refusal may stand beside the words.
  if (form.isRefusal(response.status, response.text.slice(0, 4096))) return { kind: "refused-nonce", text };
  return readFailure(response, text, { form, nowMs: clock.now() });
}

export function withoutSecrets(
  text: string,
  { nonce, cookie }: Pick<AnswerContext, "nonce" | "cookie">,
): string {
  let shown = text;
  for (const secret of [nonce, ...Object.values(parseCookies(cookie))]) {
    // What is shorter is no secret, and may be a piece of any word.
    if (secret.length >= 6) shown = shown.replaceAll(secret, "***");
  }
  return shown;
}

/** A good answer without a reply where it should be. */
function noReply(answer: unknown, status: number, { reply }: AnswerForm): ApiError {
  const looked = reply.map(({ name }) => name).join(", ") || "no place at all";
  const places = placesOfTexts(answer);
  const others = places.length === 0 ? "" : `; it has texts at ${places.join(", ")}`;
  return unusable(
    `no message in its JSON at ${looked}, where \`reply\` of its preset says (status ${status})${others}`,
  );
}

/** check_ajax_referer's whole answer; PHP's warnings may stand before it, a cache plugin's comment behind it. */
const bareMinusOne = /^(?:<[\s\S]*>\s*)?-1\s*(?:<!--[^>]*-->)?$/;

const isHtml = (text: string): boolean => isDocument(text) || (text.startsWith("<") && !text.includes('{"'));

/** An answer that is no JSON with a reply; `answer` is the JSON that it may be instead. */
function readOtherAnswer(
  response: SiteResponse,
  context: AnswerContext,
  answer = response.text.trimStart().startsWith("{") ? jsonObjectAt(response.text.trimStart(), 0) : undefined,
): Refused | SiteReply {
  const { form, clock } = context;
  const nowMs = clock.now();
  const text = withoutSecrets(response.text, context).trim();
  const shown = { ...response, text };
  if (text.length < 4096 && bareMinusOne.test(text)) return { kind: "refused-nonce", text: "-1" };
  if (isTooLargeHeader(shown)) return { kind: "refused-cookies", text };
  if (isToldRefusal(shown, form))
    return { kind: "refused-nonce", text: pageSummary(text) || shortText(text) };
  // Before its words are taken for a firewall's: a reply may speak of anything.
  const reply = answer === undefined ? plainReply(response, context) : undefined;
  if (reply !== undefined) return reply;
  if (context.isNonceAccepted && isFirewallRefusal(shown)) throw messageRefused();
  const words = answer === undefined ? plainRefusal(shown) : withoutSecrets(failureText(answer), context);
  const fault = siteFault(words === "" ? shown : { ...shown, text: words }, nowMs);
  if (fault !== undefined) throw fault;
  if (words !== "" || (answer !== undefined && saysSuccess(answer) === false))
    return fail(response, words, context);
  return failUnread(shown, context);
}

/** A preset's own words for a refused nonce, in an answer that is not JSON, and so no broken reply either. */
const isToldRefusal = ({ status, text }: SiteResponse, form: AnswerForm): boolean =>
  !/^[{["]/.test(text) && form.isRefusal(status, text.slice(0, 65_536));

/** The plain words of a refusal; else "", as the text may be a broken reply. */
function plainRefusal({ status, text }: SiteResponse): string {
  const isRefusal = status === 401 || status === 403 || status === 406;
  return isRefusal && !text.startsWith("{") && /\p{L}/u.test(text) ? shortText(text) : "";
}

/** A reply that is the whole answer, or stands in JSON that is no object, where a preset says so. */
function plainReply(response: SiteResponse, context: AnswerContext): Refused | SiteReply | undefined {
  const { form } = context;
  const text = response.text.trim();
  if (response.status >= 400 || text === "" || text === "0" || isHtml(text) || text.startsWith("{"))
    return undefined;
  const json = tryParseJson(text);
  const isWhole = form.reply.some(({ steps }) => steps.length === 0);
  const found = json === undefined ? (isWhole ? text : undefined) : textAt(json, form.reply)?.text;
  return found === undefined ? undefined : readReply(found, json, response, context);
}

const messageRefused = (): ApiError =>
  new ApiError(
    "upstream_message_refused",
    "The site's firewall refused this message; other messages may pass.",
  );

/** Says what came instead of a reply, as far as that is surely no piece of one. */
function failUnread({ status, headers, text }: SiteResponse, context: AnswerContext): never {
  const { form } = context;
  const withStatus = `(status ${status})`;
  if (status === 0 || (status >= 300 && status < 400)) {
    const target = withoutSecrets(redirectTarget(headers), context);
    throw unusable(`a redirect${target}, which is not followed ${withStatus}`);
  }
  if (text === "") throw unusable(`it is empty ${withStatus}`);
  if (text === "0") {
    const whatIsAsked = "`endpoint` and `body` of its preset say what is asked";
    throw unusable(
      `"0" ${withStatus}: WordPress has no ${form.action}, or it gave no answer; ${whatIsAsked}`,
    );
  }
  if (text === "null") throw unusable(`"null" ${withStatus}`);
  if (isHtml(text)) {
    throw unusable(
      `an HTML page instead of JSON ${withStatus}: "${pageSummary(text)}"; \`endpoint\` of its preset says where messages go`,
    );
  }
  if (looksLikeEvents(text)) {
    throw unusable(`a stream of events ${withStatus}; \`stream\` of its preset says how to read one`);
  }
  const json = tryParseJson(text);
  if (json !== undefined) throw noReply(json, status, form);
  throw unusable(`${text.includes("{") ? "broken JSON" : "text that is not JSON"} ${withStatus}`);
}

/** Whether a body is one of server-sent events, whatever its type says. */
export const looksLikeEvents = (text: string): boolean => /^\ufeff?\s*(?:data|event|id|retry)?:/.test(text);

/** Host and path of a redirect; its query may hold a secret. */
function redirectTarget(headers: Headers): string {
  const location = headers.get("location") ?? "";
  return location === "" ? "" : ` to ${cleanErrorText(location.split(/[?#]/, 1)[0] ?? "")}`;
}
