/** The chat page: the fetch that a visitor's browser would make, for the nonce in its HTML and the cookies with it. */
import { ApiError } from "../../../errors.ts";
import type { Fetch } from "../../../types.ts";
import { cleanErrorText } from "../../shared/upstream-http.ts";
import { callSite, pageSummary, siteFault } from "../site-response.ts";
import { type CookieJar, collectCookies, cookieHeader } from "./cookies.ts";
import { scanPage } from "./page.ts";

const maxPageChars = 2_000_000;
const maxRedirects = 5;

export interface ChatPageOptions {
  readonly fetch: Fetch;
  readonly pageUrl: string;
  /** Without a cookie. */
  readonly headers: Readonly<Record<string, string>>;
  /** Cookies that the operator has set. */
  readonly cookies: CookieJar;
  readonly nowMs: () => number;
}

export interface ChatPage {
  readonly nonce: string;
  /** What the site has set. */
  readonly cookies: CookieJar;
}

/** What tells page caches to stand aside; the last is what nginx set-ups for WordPress look for. */
const pastCaches = { "cache-control": "no-cache", pragma: "no-cache" };
const pastCachesCookie = "wordpress_no_cache=1";

/**
 * Fetches the page as a new visitor, with `isForced` past page caches. Throws ApiError when there is no usable nonce
 * in it.
 */
export async function fetchChatPage(
  { fetch, pageUrl, headers, cookies: ownCookies, nowMs }: ChatPageOptions,
  { isForced, signal }: { readonly isForced: boolean; readonly signal: AbortSignal },
): Promise<ChatPage> {
  let cookies: CookieJar = {};
  let url = new URL(pageUrl);
  const { origin } = url;
  if (isForced) url.searchParams.set("_", String(nowMs()));

  for (let redirects = 0; redirects <= maxRedirects; redirects++) {
    const cookie = cookieHeader({ ...ownCookies, ...cookies });
    const sent = isForced ? [cookie, pastCachesCookie].filter(Boolean).join("; ") : cookie;
    const response = await callSite({
      fetch,
      url: url.href,
      method: "GET",
      headers: { ...headers, ...(isForced && pastCaches), ...(sent !== "" && { cookie: sent }) },
      signal,
      maxChars: maxPageChars,
    });
    cookies = collectCookies(cookies, response.headers, nowMs());
    const { status, text } = response;

    if (status >= 300 && status < 400 && response.headers.has("location")) {
      url = redirectTarget(response.headers.get("location") ?? "", url);
      if (url.origin === origin) continue;
      throw noNonce(
        `redirects to ${url.origin}, another site, which is not followed; is CHAT_PAGE_URL right?`,
      );
    }
    const page = status >= 200 && status < 300 ? scanPage(text) : undefined;
    if (page !== undefined && "nonce" in page) return { nonce: page.nonce, cookies };

    throw (
      siteFault(response, nowMs()) ??
      noNonce(
        page === undefined
          ? `has no nonce: status ${status}${quoted(text)}`
          : `has no nonce: ${page.problem}${quoted(text)}`,
      )
    );
  }
  throw noNonce("redirects in a circle");
}

const noNonce = (what: string): ApiError =>
  new ApiError("upstream_nonce_unavailable", `The chat page ${what}`);

const quoted = (text: string): string => {
  const summary = pageSummary(text);
  return summary === "" ? "" : ` ("${summary}")`;
};

function redirectTarget(location: string, from: URL): URL {
  if (URL.canParse(location, from.href)) return new URL(location, from.href);
  throw noNonce(`redirects to something that is no address: ${cleanErrorText(location)}`);
}
