/** A nonce that the site hands out at an address of its own, as JSON. */
import { ApiError } from "../../../errors.ts";
import type { Fetch } from "../../../types.ts";
import { tryParseJson } from "../../../util/json.ts";
import type { NonceSettings } from "../preset.ts";
import { type Place, placesOfTexts, valueAt } from "../protocol/paths.ts";
import { fixedBody } from "../protocol/request-form.ts";
import { findJson } from "../reply/find-json.ts";
import { callSite, pageSummary, siteFault } from "../site-response.ts";
import type { FetchedNonce } from "./chat-page.ts";
import { type CookieJar, collectCookies, cookieHeader } from "./cookies.ts";
import { isUsableNonce } from "./page.ts";

export interface NonceRouteOptions {
  readonly fetch: Fetch;
  readonly route: NonNullable<NonceSettings["route"]>;
  readonly place: Place;
  /** Without a cookie. */
  readonly headers: Readonly<Record<string, string>>;
  /** Cookies that the operator has set. */
  readonly cookies: CookieJar;
  readonly nowMs: () => number;
}

const maxChars = 200_000;

/** Asks for a nonce as a new visitor. Throws ApiError when none is handed out. */
export async function fetchFromRoute(options: NonceRouteOptions, signal: AbortSignal): Promise<FetchedNonce> {
  const { fetch, route, place, headers, cookies, nowMs } = options;
  const { url, method } = route;
  const { text: body, type } = fixedBody(route.body);
  const cookie = cookieHeader(cookies);
  const response = await callSite({
    fetch,
    url,
    method,
    headers: {
      ...headers,
      "cache-control": "no-cache",
      ...(cookie !== "" && { cookie }),
      ...(method === "POST" && { "content-type": type }),
    },
    body: method === "POST" ? body : null,
    signal,
    maxChars,
  });
  const { status, text } = response;
  const json = findJson(text, [place.steps[0] ?? ""]);
  const nonce =
    valueAt(json, place) ?? (place.steps.length === 0 ? text.trim().replace(/^"|"$/g, "") : undefined);
  if (typeof nonce === "string" && isUsableNonce(nonce)) {
    return { nonce, cookies: collectCookies({}, response.headers, nowMs()) };
  }
  const fault = siteFault(response, nowMs());
  if (fault !== undefined) throw fault;
  const { pathname } = new URL(url);
  throw new ApiError(
    "upstream_nonce_unavailable",
    `${method} ${pathname} hands out no nonce: ${reasonOf(status, text, place)}`,
  );
}

function reasonOf(status: number, text: string, { name }: Place): string {
  if (status < 200 || status >= 300) {
    const summary = pageSummary(text);
    return `status ${status}${summary === "" ? "" : ` ("${summary}")`}; \`nonce.route\` and \`nonce.method\` of its preset say what is asked`;
  }
  const places = placesOfTexts(tryParseJson(text));
  const others = places.length === 0 ? "" : `; its JSON has texts at ${places.join(", ")}`;
  return `nothing usable at ${name}, where \`nonce.path\` of its preset says${others}`;
}
