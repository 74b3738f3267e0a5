/** The one file that knows itty-router: routes, access, cross-origin rules, and every error's last stop. */
import { IttyRouter } from "itty-router";
import { type Inbound, toApiError } from "../chat/exchange.ts";
import { ApiError } from "../errors.ts";
import type { Clock, MaybePromise, RequestRecord } from "../types.ts";
import { anyone, type Caller } from "./access.ts";
import type { Cors } from "./cors.ts";
import { type FetchContext, outliving } from "./keep-work-alive.ts";
import type { RateLimit } from "./rate-limit.ts";

/** A request that may enter, with what its route's pattern took from its path. */
export interface RoutedRequest extends Inbound {
  readonly caller: Caller;
  readonly params: Readonly<Record<string, string>>;
  /** 200 with a JSON body. */
  json(body: unknown): Response;
}

export interface Route {
  readonly method: "GET" | "POST" | "DELETE";
  /** Without `/v1`: every route is served with and without it. `:name+` takes the rest of the path. */
  readonly path: `/${string}`;
  /** Needs no API key. */
  readonly isPublic?: boolean;
  /** Counts against the rate limit. */
  readonly isLimited?: boolean;
  readonly handle: (routed: RoutedRequest) => MaybePromise<Response>;
}

export interface RouterOptions {
  readonly routes: readonly Route[];
  readonly authorize: (headers: Headers) => Caller;
  readonly cors: Cors;
  readonly rateLimit?: RateLimit | undefined;
  readonly clock: Pick<Clock, "now">;
  /** Called once for each request, when its answer is over. */
  readonly onRequest: (record: RequestRecord, error: unknown) => void;
}

/** For every answer. */
export const securityHeaders = {
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
};

const jsonHeaders = { "content-type": "application/json; charset=utf-8", "cache-control": "no-store" };

const saneRequestId = /^[\w.:-]{1,128}$/;

let lastUrl = "";
let lastPath = "";

/** `//v1//models/` → `/models`: base URLs are typed by hand. Nearly all requests have the URL of the one before. */
const normalizedPath = (url: string): string => {
  if (url !== lastUrl) {
    lastPath = normalize(url);
    lastUrl = url;
  }
  return lastPath;
};

const normalize = (url: string): string => {
  // An HTTP/1.0 request without Host has nothing before its path.
  const start = url.startsWith("/") ? 0 : url.indexOf("/", url.indexOf("//") + 2);
  const end = url.slice(start).search(/[?#]/);
  const path = start < 0 ? "/" : url.slice(start, end < 0 ? undefined : start + end);
  const clean = path.includes("//") ? path.replace(/\/{2,}/g, "/") : path;
  const withoutVersion = clean === "/v1" || clean.startsWith("/v1/") ? clean.slice(3) : clean;
  return withoutVersion.length > 1 && withoutVersion.endsWith("/")
    ? withoutVersion.slice(0, -1)
    : withoutVersion || "/";
};

/** A HEAD request's answer: servers would say of an empty body that it has no length at all. */
const withoutBody = async (response: Response): Promise<Response> => {
  const bodiless = new Response(null, response);
  bodiless.headers.set("content-length", String((await response.arrayBuffer()).byteLength));
  return bodiless;
};

/** A record with all the fields that it will ever have, which costs less than to add them one by one. */
const newRecord = (requestId: string, method: string): RequestRecord => ({
  requestId,
  method,
  route: "none",
  key: undefined,
  model: undefined,
  provider: undefined,
  stream: undefined,
  status: 0,
  code: undefined,
  firstPartMs: undefined,
  ms: 0,
  upstreamMs: undefined,
  attempts: undefined,
  charsIn: undefined,
  charsOut: undefined,
  droppedMessages: undefined,
  session: undefined,
  storeMs: undefined,
  replayed: undefined,
  fallbackFrom: undefined,
});

const noParams: RoutedRequest["params"] = {};

/**
 * A request on its way through the gateway. A class, as is all that is made for every request: its methods are there
 * already, where each closure would be made anew.
 */
class Entering implements RoutedRequest {
  readonly request: Request;
  readonly record: RequestRecord;
  caller = anyone;
  params = noParams;
  /** Further headers of the answer, whatever it will be. */
  answerHeaders: Readonly<Record<string, string>> | undefined;
  /** Whether the answer goes on after the response has been returned. */
  isDeferred = false;
  readonly #startedMs: number;
  readonly #commonHeaders: Headers;
  readonly #options: Pick<RouterOptions, "clock" | "onRequest">;
  readonly #outlived: (clientHasLeft: boolean) => void;

  constructor(
    request: Request,
    commonHeaders: Headers,
    options: Pick<RouterOptions, "clock" | "onRequest">,
    outlived: (clientHasLeft: boolean) => void,
  ) {
    const givenId = request.headers.get("x-request-id");
    const requestId = givenId !== null && saneRequestId.test(givenId) ? givenId : crypto.randomUUID();
    this.request = request;
    this.record = newRecord(requestId, request.method);
    this.#startedMs = options.clock.now();
    this.#commonHeaders = commonHeaders;
    this.#options = options;
    this.#outlived = outlived;
  }

  respond(
    status: number,
    body: string | ReadableStream<Uint8Array> | null,
    further?: Readonly<Record<string, string>>,
  ): Response {
    this.record.status = status;
    const response = new Response(body, { status, headers: this.#commonHeaders });
    const { headers } = response;
    headers.set("x-request-id", this.record.requestId);
    for (const name in this.answerHeaders) headers.set(name, this.answerHeaders[name] as string);
    for (const name in further) headers.set(name, further[name] as string);
    return response;
  }

  json(body: unknown): Response {
    return this.respond(200, JSON.stringify(body));
  }

  defer(): void {
    this.isDeferred = true;
  }

  finish(error?: unknown): void {
    const { record } = this;
    record.ms = this.#options.clock.now() - this.#startedMs;
    if (error !== undefined) record.code = toApiError(error).code;
    this.#outlived(record.code === "client_closed_request");
    this.#options.onRequest(record, error);
  }
}

type RouteWithPattern = Route & { readonly pattern: RegExp };

/** itty-router makes the patterns. Its own `fetch` would parse the URL anew, and wait after each step. */
const withPatterns = (routes: readonly Route[]): readonly RouteWithPattern[] => {
  const { routes: compiled, all } = IttyRouter();
  for (const { path } of routes) all(path);
  return routes.map((route, index) => ({ ...route, pattern: compiled[index]?.[1] as RegExp }));
};

export function createRouter(
  options: RouterOptions,
): (request: Request, context?: FetchContext) => Promise<Response> {
  const { routes, authorize, cors, rateLimit } = options;
  const publicPaths = new Set<string>(routes.filter(({ isPublic }) => isPublic).map(({ path }) => path));
  const known = withPatterns(routes);

  const refuse = (method: string, path: string): never => {
    const allowed: string[] = known.filter(({ pattern }) => pattern.test(path)).map((route) => route.method);
    if (allowed.includes("GET")) allowed.push("HEAD");
    if (allowed.length > 0) {
      const allow = allowed.join(", ");
      throw new ApiError("method_not_allowed", `${method} is not possible here. Possible: ${allow}.`, {
        headers: { allow },
      });
    }
    const there = routes
      .map((route) => `${route.method} ${route.path.replace(/:(\w+)\+?/, "{$1}")}`)
      .join(", ");
    throw new ApiError("not_found", `There is no such route. There are, each also under /v1: ${there}.`);
  };

  /** Lets in who may enter, and hands over to the route. */
  const enter = (entering: Entering, path: string): MaybePromise<Response> => {
    const { request, record } = entering;
    if (request.method === "OPTIONS") {
      return entering.respond(204, null, cors.preflightHeaders(request.headers));
    }
    if (!publicPaths.has(path)) entering.caller = authorize(request.headers);
    record.key = entering.caller.name;
    const method = request.method === "HEAD" ? "GET" : request.method;
    for (const route of known) {
      if (route.method !== method || !route.pattern.test(path)) continue;
      record.route = route.path;
      if (route.path.includes(":")) entering.params = route.pattern.exec(path)?.groups ?? noParams;
      if (route.isLimited && rateLimit) entering.answerHeaders = rateLimit.take(entering.caller.key);
      return route.handle(entering);
    }
    return refuse(method, path);
  };

  const outlive = outliving();
  const headersFor = (givenOrigin: string | null): Headers =>
    new Headers({ ...securityHeaders, ...jsonHeaders, ...cors.headersFor(givenOrigin) });
  // Most answers begin with the same headers, which the runtime copies in one go.
  const headersWithoutOrigin = headersFor(null);

  return async (request, context) => {
    const givenOrigin = request.headers.get("origin");
    const commonHeaders = givenOrigin === null ? headersWithoutOrigin : headersFor(givenOrigin);
    const entering = new Entering(request, commonHeaders, options, outlive(context));

    let response: Response;
    let failure: unknown;
    try {
      response = await enter(entering, normalizedPath(request.url));
    } catch (error) {
      failure = error;
      const shown = toApiError(error);
      response = entering.respond(shown.status, JSON.stringify(shown.toBody()), shown.toHeaders());
    }
    if (!entering.isDeferred) entering.finish(failure);
    return request.method === "HEAD" ? withoutBody(response) : response;
  };
}
