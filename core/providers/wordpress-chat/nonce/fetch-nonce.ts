/** Where a site's nonce comes from: its page, or an address that hands one out. */
import type { Fetch } from "../../../types.ts";
import type { NonceSettings } from "../preset.ts";
import { placeOf } from "../protocol/paths.ts";
import { type FetchedNonce, fetchChatPage } from "./chat-page.ts";
import type { CookieJar } from "./cookies.ts";
import { fetchFromRoute } from "./nonce-route.ts";
import { pageScanner } from "./page.ts";

export interface NonceFetcherOptions {
  readonly fetch: Fetch;
  readonly nonce: NonceSettings;
  readonly pageUrl: string;
  /** Of a browser that opens the page. */
  readonly pageHeaders: Readonly<Record<string, string>>;
  /** Of a script in it that asks for JSON. */
  readonly routeHeaders: Readonly<Record<string, string>>;
  /** Cookies that the operator has set. */
  readonly cookies: CookieJar;
  readonly nowMs: () => number;
}

export interface NonceFetcher {
  /** Throws ApiError. */
  fetch(signal: AbortSignal): Promise<FetchedNonce>;
  /** What tells this place from every other; instances that share a store share what comes from it. */
  readonly place: string;
}

export function nonceFetcher(options: NonceFetcherOptions): NonceFetcher {
  const { fetch, nonce, pageUrl, pageHeaders, routeHeaders, cookies, nowMs } = options;
  const { route, path } = nonce;
  if (route !== undefined) {
    const routeOptions = { fetch, route, place: placeOf(path), headers: routeHeaders, cookies, nowMs };
    return {
      place: `${route.method} ${route.url} ${path}`,
      fetch: (signal) => fetchFromRoute(routeOptions, signal),
    };
  }
  const where = { in: nonce.in ?? "", path };
  const pageOptions = { fetch, pageUrl, headers: pageHeaders, cookies, nowMs, scan: pageScanner(where) };
  return {
    place: `${pageUrl} ${where.in} ${path}`,
    fetch: (signal) => fetchChatPage(pageOptions, signal),
  };
}
