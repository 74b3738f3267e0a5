/** The pages for people: made by scripts/build-pages.ts, handed to the handler, served as they are. */
import type { Route, RoutedRequest } from "../types.ts";

/** A page, complete in itself: it loads nothing but what the gateway's own routes answer. */
export interface Page {
  /** Where it is served; the one at `/` only to browsers. */
  readonly paths: readonly `/${string}`[];
  readonly contentType: string;
  /** It names the page's own script and style by their hashes, and no other may run. */
  readonly contentSecurityPolicy: string;
  readonly etag: string;
  /** Its bytes, compressed by gzip, in base64. */
  readonly gzip: string;
}

export type Pages = readonly Page[];

/** Whether HTML is listed: browsers list it, while probes and SDKs accept anything or JSON. */
const wantsHtml = ({ headers }: Request): boolean => /\btext\/html\b/i.test(headers.get("accept") ?? "");

const takesGzip = ({ headers }: Request): boolean =>
  /\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))/i.test(headers.get("accept-encoding") ?? "");

const decompressed = (bytes: Uint8Array<ArrayBuffer>): ReadableStream<Uint8Array> =>
  new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));

/** The gzip bytes, which Workers would compress once more if they were not told that it is done. */
const encodedAsTheyAre = (answer: Response): Response => {
  const init = { headers: answer.headers, encodeBody: "manual" };
  const response = new Response(answer.body, init);
  response.headers.set("content-encoding", "gzip");
  return response;
};

function createAnswer({ gzip, contentType, contentSecurityPolicy, etag }: Page) {
  const tag = `W/"${etag}"`;
  const headers = {
    "content-type": contentType,
    "content-security-policy": contentSecurityPolicy,
    // What changes a page on its way, as some CDNs do, would break the hashes.
    "cache-control": "no-cache, no-transform",
    etag: tag,
    vary: "Accept, Accept-Encoding, Origin",
  };
  let bytes: Uint8Array<ArrayBuffer> | undefined;

  return (routed: RoutedRequest): Response => {
    const { request } = routed;
    if (request.headers.get("if-none-match") === tag) return routed.respond(304, null, headers);
    bytes ??= Uint8Array.from(atob(gzip), (char) => char.charCodeAt(0));
    if (!takesGzip(request)) return routed.respond(200, decompressed(bytes), headers);
    return encodedAsTheyAre(routed.respond(200, new Blob([bytes]).stream(), headers));
  };
}

/** The gateway's routes with those of the pages. */
export function withPages(routes: readonly Route[], pages: Pages): Route[] {
  const answers = new Map(
    pages.flatMap((page) => {
      const answer = createAnswer(page);
      return page.paths.map((path) => [path, answer] as const);
    }),
  );
  if (answers.has("/docs")) {
    // Where FastAPI has another view of the same.
    answers.set("/redoc", (routed) => routed.respond(302, null, { location: "docs" }));
  }
  const welcome = answers.get("/");
  const ofPages: Route[] = [...answers]
    .filter(([path]) => path !== "/")
    .map(([path, handle]) => ({ method: "GET", path, isPublic: true, handle }));
  return [
    ...routes.map((route): Route => {
      if (welcome === undefined || route.path !== "/") return route;
      return {
        ...route,
        handle: (routed) => (wantsHtml(routed.request) ? welcome(routed) : route.handle(routed)),
      };
    }),
    ...ofPages,
  ];
}
