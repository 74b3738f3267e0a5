/** One response of the site's web server: read whole, with the faults of its host and of the firewalls before it. */
import { ApiError } from "../../errors.ts";
import type { Fetch } from "../../types.ts";
import { BodyReader, cleanErrorText, readRetryAfterMs } from "../shared/upstream-http.ts";

/** A response that has been read. */
export interface SiteResponse {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The text ends at the size limit; there was more. */
  readonly isCut: boolean;
}

export interface SiteCall {
  readonly fetch: Fetch;
  readonly url: string;
  readonly method: "GET" | "POST";
  readonly headers: HeadersInit;
  readonly body?: string | null;
  readonly signal: AbortSignal;
  readonly maxChars: number;
}

/** A response whose body is still to be read. Every read throws ApiError, or the signal's reason. */
export class SiteBody {
  readonly status: number;
  readonly headers: Headers;
  readonly #reader: BodyReader;
  readonly #signal: AbortSignal;

  constructor(response: Response, signal: AbortSignal, maxWholeBytes: number) {
    this.status = response.status;
    this.headers = response.headers;
    this.#reader = new BodyReader(response, maxWholeBytes);
    this.#signal = signal;
  }

  /** The next piece, as it arrives; undefined at the end. */
  next(): Promise<string | undefined> {
    return this.#reader.next().catch((error) => {
      if (this.#signal.aborted) throw this.#signal.reason;
      throw brokenOff(error);
    });
  }

  /** Whether there is nothing left to be read. */
  get isOver(): boolean {
    return this.#reader.isOver;
  }

  release(): void {
    this.#reader.release();
  }

  /** All of it, up to `maxChars`; `head` is what has been read already. */
  async whole(maxChars: number, head = ""): Promise<SiteResponse> {
    let text = head;
    while (!this.#reader.isOver) {
      text += (await this.next()) ?? "";
      if (text.length > maxChars) this.#reader.release();
    }
    const isCut = text.length > maxChars;
    return {
      status: this.status,
      headers: this.headers,
      text: isCut ? text.slice(0, maxChars) : text,
      isCut,
    };
  }
}

/** What an answer without its end is. */
export const brokenOff = (cause?: unknown): ApiError =>
  new ApiError(
    "upstream_unreachable",
    "The connection to the chat site broke off in the middle of its answer.",
    { cause },
  );

/** Makes one call; resolves once its body can be read. Bodies of at most `maxWholeBytes` come in one piece. Follows no redirect. */
export async function openSite(
  { fetch, url, method, headers, body = null, signal }: Omit<SiteCall, "maxChars">,
  maxWholeBytes: number,
): Promise<SiteBody> {
  try {
    const response = await fetch(url, { method, headers, body, signal, redirect: "manual" });
    return new SiteBody(response, signal, maxWholeBytes);
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    throw connectionFault(error);
  }
}

/** Makes one call and reads its answer up to `maxChars`. */
export async function callSite(call: SiteCall): Promise<SiteResponse> {
  return (await openSite(call, call.maxChars)).whole(call.maxChars);
}

/** Codes and words of an error and its causes: each runtime hides the reason elsewhere. */
function describe(error: unknown): string {
  let words = "";
  for (let cause = error, depth = 0; cause instanceof Error && depth < 5; cause = cause.cause, depth++) {
    words += ` ${cause.name} ${(cause as { code?: unknown }).code ?? ""} ${cause.message}`;
    // Node tries all addresses of a host and reports them together.
    if (cause instanceof AggregateError) words += cause.errors.map(describe).join("");
  }
  return words;
}

const noHost = /ENOTFOUND|EAI_AGAIN|dns error|getaddrinfo/i;
const noConnection =
  /ECONNREFUSED|ConnectionRefused|FailedToOpenSocket|EHOSTUNREACH|ENETUNREACH|ConnectTimeout|CONNECT_TIMEOUT|tcp connect error/i;
const noTls = /certificate|_CERT|CERT_|EPROTO|ERR_SSL|ERR_TLS|TLS handshake|client error \(Connect\)/i;

function connectionFault(error: unknown): ApiError {
  const words = describe(error);
  const reason = noHost.test(words)
    ? "its host name is not known"
    : noConnection.test(words)
      ? "no connection was accepted"
      : noTls.test(words)
        ? "no trusted TLS connection could be made; its certificate may be wrong or out of date"
        : "the connection broke before an answer came";
  return new ApiError("upstream_unreachable", `The chat site can't be reached: ${reason}.`, { cause: error });
}

/** Enough of an error page to tell what it is. */
const tellingChars = 65_536;

/**
 * Marks of pages that want a browser to prove itself, or that block one, by who makes them. Cloudflare and AWS put scripts
 * of their challenges into ordinary pages too, so their names alone mean nothing.
 */
const challengeMarks = [
  // Cloudflare
  /<title>Just a moment\.\.\.|_cf_chl_opt|cf-browser-verification/i,
  /<title>Attention Required! \| Cloudflare|used Cloudflare to restrict access|Sorry, you have been blocked/i,
  /^\s*error code: 10(?:0[5-9]|1[0-3]|20)\b/i,
  // AWS WAF
  /window\.gokuProps\s*=/,
  // Anubis
  /id="anubis_challenge"|\.within\.website\/x\/cmd\/anubis|<title>Making sure you(?:&#39;|'|’)re not a bot!/i,
  // DDoS-Guard
  /<title>DDoS-Guard|\/\.well-known\/ddos-guard\//i,
  // Imunify360
  /imunify360|<title>One moment, please\.\.\./i,
  // LiteSpeed
  /\/\.lsrecap\/|<title>Verifying that you are not a robot/i,
  // SiteGround, Sucuri
  /sgcaptcha|Sucuri Website Firewall/i,
];
/** Marks of firewalls that block an address or a single message. */
const firewallMarks = /Mod_?Security|<title>Not Acceptable!|Generated by Wordfence/i;
const outageMarks =
  /Error establishing a database connection|There has been a critical error on this website|Briefly unavailable for scheduled maintenance/i;

/** Cloudflare or AWS has marked the answer as a challenge of its own. */
export const isMarkedChallenge = (headers: Headers): boolean =>
  headers.has("cf-mitigated") || headers.has("x-amzn-waf-action");

const isChallenge = ({ headers, text }: SiteResponse): boolean =>
  isMarkedChallenge(headers) || challengeMarks.some((mark) => mark.test(text.slice(0, tellingChars)));

const refusingStatuses: ReadonlySet<number> = new Set([401, 403, 406]);

/** A page by which a firewall of the host, which reads messages, refuses one of them. */
export const isFirewallRefusal = (response: SiteResponse): boolean =>
  refusingStatuses.has(response.status) &&
  response.text.startsWith("<") &&
  !response.headers.has("retry-after") &&
  !isChallenge(response);

const tooLargeHeader =
  /request header or cookie too large|request header fields? too large|size of a request header field exceeds/i;

/** A refusal by the web server, before WordPress, for the cookies sent along. */
export const isTooLargeHeader = ({ status, text }: SiteResponse): boolean =>
  status === 431 || (status === 400 && tooLargeHeader.test(text.slice(0, tellingChars)));

/** A challenge or block of the site's firewall. */
export const challengeFault = (status: number): ApiError =>
  new ApiError(
    "upstream_challenge",
    `The chat site's firewall wants a browser to prove itself, or blocks this server (status ${status}). ` +
      "The gateway does not try to get past it.",
  );

/**
 * The fault that an answer without the wanted content is a sign of: challenge, rate limit or outage. Undefined if it
 * is none of these.
 */
export function siteFault(response: SiteResponse, nowMs: number): ApiError | undefined {
  const { status, headers, text } = response;
  const start = text.slice(0, tellingChars);
  if (isChallenge(response)) return challengeFault(status);
  const retryAfterMs = readRetryAfterMs(headers, nowMs);
  const isBlocked = status >= 400 && firewallMarks.test(start);
  // Wordfence says so with a 503.
  if (status === 429 || (isBlocked && retryAfterMs !== undefined)) {
    return new ApiError("upstream_rate_limited", withDetail("The chat site limits its callers", text), {
      retryAfterMs,
    });
  }
  if (isBlocked) return challengeFault(status);
  if (status >= 500 || outageMarks.test(start)) {
    const message = withDetail(`The chat site is out of order (status ${status})`, text);
    return new ApiError("upstream_unavailable", message, { retryAfterMs });
  }
  return undefined;
}

function withDetail(message: string, text: string): string {
  const detail = pageSummary(text);
  return detail === "" ? `${message}.` : `${message}: ${detail}`;
}

/** A short plain text as it is; "" for HTML, JSON and long texts. */
export const shortText = (text: string): string =>
  text.length <= 200 && !/[<{[]/.test(text) ? cleanErrorText(text) : "";

/** An HTML page's title, or else its first words; a short plain text as it is; "" for JSON and long texts. */
export function pageSummary(text: string): string {
  const start = text.slice(0, tellingChars).trimStart();
  if (!start.startsWith("<")) return shortText(start);
  const title = /<title[^<>]*>([^<]*)/i.exec(start)?.[1]?.trim();
  // What follows a brace may be the beginning of a reply.
  return cleanErrorText(title || withoutTags(start.split("{", 1)[0] ?? ""));
}

/** Takes linear time, which `<[^>]*>` does not; a tag that never ends takes the rest with it. */
const withoutTags = (html: string): string =>
  html
    .split("<")
    .map((piece, index) => (index === 0 ? piece : piece.slice(piece.indexOf(">") + 1 || piece.length)))
    .join(" ")
    .replace(/[\s\p{Cc}]+/gu, " ");

/** The site's own words on a failure, fit to be shown. */
export const siteWords = (text: string): string => cleanErrorText(withoutTags(text.slice(0, 4096)));
