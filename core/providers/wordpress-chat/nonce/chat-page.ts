/** The chat page: the fetch that a visitor's browser would make, for the nonce in its HTML and the cookies with it. */
import { ApiError } from "../../../errors.ts";
import type { Fetch } from "../../../types.ts";
import { cleanErrorText } from "../../shared/upstream-http.ts";
import { callSite, pageSummary, type SiteResponse, siteFault } from "../site-response.ts";
import { type CookieJar, collectCookies, cookieHeader } from "./cookies.ts";
import type { PageScanner } from "./page.ts";
import { movedScripts } from "./scripts.ts";

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
  readonly scan: PageScanner;
}

export interface FetchedNonce {
  readonly nonce: string;
  /** What the site has set. */
  readonly cookies: CookieJar;
}

/** These make page caches stand aside, as does a query that no earlier address had. */
const pastCaches = { "cache-control": "no-cache", pragma: "no-cache" };
/** What nginx set-ups for WordPress look for. */
const pastCachesCookie = "wordpress_no_cache=1";

/**
 * Fetches the page as a new visitor, past page caches: what they keep has a nonce that may have died long ago. Throws
 * ApiError when there is no usable nonce in it.
 */
export async function fetchChatPage(options: ChatPageOptions, signal: AbortSignal): Promise<FetchedNonce> {
  const { nowMs, scan } = options;
  let cookies: CookieJar = {};
  let url = pastCachesUrl(new URL(options.pageUrl), nowMs());

  for (let redirects = 0; redirects <= maxRedirects; redirects++) {
    const response = await get(url, options, cookies, signal);
    cookies = collectCookies(cookies, response.headers, nowMs());
    if (isRedirect(response)) {
      const target = redirectTarget(response, url);
      // A redirect within one path may be about the query itself.
      url = target.pathname === url.pathname ? target : pastCachesUrl(target, nowMs());
      continue;
    }
    const page = scan(response.text);
    if ("nonce" in page) return { nonce: page.nonce, cookies };
    const fault = siteFault(response, nowMs());
    if (fault !== undefined) throw fault;
    const nonce = await nonceOfScripts(movedScripts(response.text, url), options, cookies, signal);
    if (nonce !== undefined) return { nonce, cookies };
    const { status, text } = response;
    const isPage = status >= 200 && status < 300;
    const reason = isPage
      ? `${page.problem}${quoted(text)}; ${whereToLook}`
      : `status ${status}${quoted(text)}`;
    throw noNonce(`has no nonce: ${reason}`);
  }
  throw noNonce("redirects in a circle");
}

const whereToLook = "`nonce` of its preset says where to look";

/** Some optimisers move the page's inline scripts into files. */
async function nonceOfScripts(
  scripts: readonly URL[],
  options: ChatPageOptions,
  cookies: CookieJar,
  signal: AbortSignal,
): Promise<string | undefined> {
  for (const url of scripts) {
    const script = await get(url, options, cookies, signal).catch((error) => {
      signal.throwIfAborted();
      if (error instanceof ApiError) return undefined;
      throw error;
    });
    if (script === undefined || script.status !== 200) continue;
    const scanned = options.scan(script.text);
    if ("nonce" in scanned) return scanned.nonce;
  }
  return undefined;
}

function get(
  url: URL,
  { fetch, headers, cookies: ownCookies }: ChatPageOptions,
  cookies: CookieJar,
  signal: AbortSignal,
): Promise<SiteResponse> {
  const cookie = [cookieHeader({ ...ownCookies, ...cookies }), pastCachesCookie].filter(Boolean).join("; ");
  return callSite({
    fetch,
    url: url.href,
    method: "GET",
    headers: { ...headers, ...pastCaches, cookie },
    signal,
    maxChars: maxPageChars,
  });
}

function pastCachesUrl(url: URL, nowMs: number): URL {
  const fresh = new URL(url);
  fresh.searchParams.set("_", String(nowMs));
  return fresh;
}

const isRedirect = ({ status, headers }: SiteResponse): boolean =>
  status >= 300 && status < 400 && headers.has("location");

/** Where a redirect leads. Throws ApiError if that is another site, which is not followed. */
function redirectTarget({ headers }: SiteResponse, from: URL): URL {
  const location = headers.get("location") ?? "";
  if (!URL.canParse(location, from.href)) {
    throw noNonce(`redirects to something that is no address: ${cleanErrorText(location)}`);
  }
  const target = new URL(location, from.href);
  if (target.origin === from.origin) return target;
  throw noNonce(
    `redirects to ${target.origin}, another site, which is not followed; is CHAT_PAGE_URL (\`page\` of its preset) right?`,
  );
}

const noNonce = (what: string): ApiError =>
  new ApiError("upstream_nonce_unavailable", `The chat page ${what}`);

const quoted = (text: string): string => {
  const summary = pageSummary(text);
  return summary === "" ? "" : ` ("${summary}")`;
};
