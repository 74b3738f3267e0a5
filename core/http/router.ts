/** Every request's way in and out: its route, access, cross-origin rules, request ids, and the last stop of errors. */
import { type IRequest, IttyRouter } from "itty-router";
import { ChatError } from "../chat/exchange.ts";
import { ApiError, errorTable, toApiError } from "../errors.ts";
import type {
  Caller,
  ChatFacts,
  ChatResponse,
  Clock,
  Dialect,
  RequestFacts,
  Route,
  RoutedRequest,
} from "../types.ts";
import { anyone } from "./access.ts";
import type { Cors } from "./cors.ts";
import { type FetchContext, outliving } from "./keep-work-alive.ts";
import type { RateLimit } from "./rate-limit.ts";

type EncodeError = Dialect["encodeError"];

/** A route, and how its dialect answers; by default failures look as `RouterOptions.encodeError` has it. */
export type RouteWithErrors = Route & Partial<Pick<Dialect, "encodeError" | "headers">>;

export interface RouterOptions {
  readonly routes: readonly RouteWithErrors[];
  /** The body of a failure where no route says how it looks. */
  readonly encodeError: EncodeError;
  /** Takes secrets out of texts. */
  readonly hide: (text: string) => string;
  readonly authorize: (headers: Headers) => Caller;
  readonly cors: Cors;
  readonly rateLimit?: RateLimit | undefined;
  readonly clock: Pick<Clock, "monotonic">;
  /** Called once for each request, when its answer is over. */
  readonly onRequest: (facts: RequestFacts, error: unknown) => void;
}

/** For every answer. */
export const securityHeaders = {
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
};

const jsonHeaders = { "content-type": "application/json; charset=utf-8", "cache-control": "no-store" };

const saneRequestId = /^[\w.:-]{1,128}$/;

const requestIdOf = ({ headers }: Request): string => {
  const given = headers.get("x-request-id");
  return given !== null && saneRequestId.test(given) ? given : crypto.randomUUID();
};

const slashes = /\/{2,}/g;
const version = /^(\/v1)+(?=\/|$)/;
const lastSlash = /(?<=.)\/$/;

/** `//v1//models/` → `/models`: base URLs are typed by hand. */
const normalizedPath = (url: string): string => {
  // An HTTP/1.0 request without Host has nothing before its path.
  const { pathname } = new URL(url, "http://localhost");
  return pathname.replace(slashes, "/").replace(version, "").replace(lastSlash, "") || "/";
};

/** A HEAD request's answer: servers would say of an empty body that it has no length at all. */
const withoutBody = async (response: Response): Promise<Response> => {
  const bodiless = new Response(null, response);
  bodiless.headers.set("content-length", String((await response.arrayBuffer()).byteLength));
  return bodiless;
};

/** A request on its way through the gateway. */
class Visit implements RoutedRequest {
  readonly request: Request;
  readonly requestId: string;
  caller = anyone;
  /** The name of the API key, once it is known. */
  key: string | undefined;
  params: RoutedRequest["params"] = {};
  route: RouteWithErrors | undefined;
  /** How failures look. */
  encodeError: EncodeError | undefined;
  status = 0;
  /** Further headers of the answer, whatever it will be. */
  answerHeaders: Readonly<Record<string, string>> | undefined;
  readonly #commonHeaders: Headers;
  readonly #context: FetchContext | undefined;

  constructor(request: Request, commonHeaders: Headers, context: FetchContext | undefined) {
    this.request = request;
    this.#context = context;
    this.requestId = requestIdOf(request);
    this.#commonHeaders = commonHeaders;
  }

  waitUntil(task: Promise<unknown>): void {
    this.#context?.waitUntil?.(task);
  }

  /** Answers as the route's dialect does. */
  speak({ encodeError, headers }: RouteWithErrors): void {
    this.encodeError = encodeError;
    if (headers !== undefined) this.answerHeaders = headers(this.requestId);
  }

  respond(
    status: number,
    body: string | ReadableStream<Uint8Array> | null,
    further?: Readonly<Record<string, string>>,
  ): Response {
    this.status = status;
    const headers = new Headers(this.#commonHeaders);
    headers.set("x-request-id", this.requestId);
    for (const name in this.answerHeaders) headers.set(name, this.answerHeaders[name] as string);
    for (const name in further) headers.set(name, further[name] as string);
    return new Response(body, { status, headers });
  }

  json(body: unknown): Response {
    return this.respond(200, JSON.stringify(body));
  }
}

/** What an error means, in the gateway's own words: its message may quote the client's request. */
const reasonOf = (error: unknown): string => {
  const { code, cause } = toApiError(error);
  const detail = systemCode(cause);
  return detail === undefined ? errorTable[code].when : `${errorTable[code].when} (${detail})`;
};

/** The system's name for a failure, such as ECONNREFUSED. */
const systemCode = (error: unknown, depth = 0): string | undefined => {
  if (!(error instanceof Error) || depth > 5) return undefined;
  const { code, cause } = error as Error & { readonly code?: unknown };
  return typeof code === "string" && /^\w{3,40}$/.test(code) ? code : systemCode(cause, depth + 1);
};

type Answered = Omit<ChatResponse, "finished"> & {
  readonly finished: Promise<{ readonly facts: ChatFacts; readonly error?: unknown }>;
};

/** The end of an answer that is no chat's. */
const withoutFacts: Answered["finished"] = Promise.resolve({ facts: {} });

const isChatResponse = (answer: Response | ChatResponse): answer is ChatResponse => "finished" in answer;

/** Routes requests. HEAD is answered as GET is, an unknown path with the list of routes, a wrong method with Allow. */
export function createRouter(
  options: RouterOptions,
): (request: Request, context?: FetchContext) => Promise<Response> {
  const { routes, encodeError, hide, authorize, cors, rateLimit, clock, onRequest } = options;

  const serve = (visit: Visit, route: RouteWithErrors) => {
    visit.route = route;
    visit.speak(route);
    if (!route.isPublic) visit.caller = authorize(visit.request.headers);
    visit.key = visit.caller.name;
    if (!route.isLimited || rateLimit === undefined) return route.handle(visit);
    const handle = (headers: Readonly<Record<string, string>>) => {
      visit.answerHeaders = { ...visit.answerHeaders, ...headers };
      return route.handle(visit);
    };
    const taken = rateLimit.take(visit.caller);
    return taken instanceof Promise ? taken.then(handle) : handle(taken);
  };

  const router = IttyRouter<IRequest, [Visit]>();
  /** The routes of each path, for the answer to another method. */
  const others = IttyRouter<IRequest, [RouteWithErrors[]]>();
  router.options("*", (_, visit) => visit.respond(204, null, cors.preflightHeaders(visit.request.headers)));
  for (const route of routes) {
    router[route.method === "GET" ? "get" : route.method === "POST" ? "post" : "delete"](
      route.path,
      ({ params }, visit) => {
        if (route.matches?.(visit.request.headers) === false) return undefined;
        visit.params = params;
        return serve(visit, route);
      },
    );
    others.all(route.path, (_, found) => {
      found.push(route);
    });
  }

  const refuse = async (visit: Visit, url: string): Promise<never> => {
    const { method } = visit.request;
    const found: RouteWithErrors[] = [];
    await others.fetch({ method, url }, found);
    // An unknown path under one of a dialect's is that dialect's too.
    const [, place] = new URL(url).pathname.split("/");
    const fits = ({ matches }: Route) => matches?.(visit.request.headers) !== false;
    const isNear = ({ path, encodeError }: RouteWithErrors) => encodeError && path.split("/")[1] === place;
    const speaker = found.find(fits) ?? routes.find((route) => isNear(route) && fits(route));
    if (speaker !== undefined) visit.speak(speaker);
    visit.key = authorize(visit.request.headers).name;
    const allowed = new Set<string>(found.filter(fits).map((route) => route.method));
    if (allowed.has("GET")) allowed.add("HEAD");
    if (allowed.size > 0) {
      const allow = [...allowed].join(", ");
      throw new ApiError("method_not_allowed", `${method} is not possible here. Possible: ${allow}.`, {
        headers: { allow },
      });
    }
    const completions = "/chat/completions";
    if (new URL(url).pathname.endsWith(completions)) {
      throw new ApiError(
        "not_found",
        `There is no such route. Clients add ${completions} by themselves: make their base URL end in /v1, and nothing after it.`,
      );
    }
    const known = new Set(routes.map(({ method, path }) => `${method} ${path.replace(/:(\w+)\+?/, "{$1}")}`));
    throw new ApiError(
      "not_found",
      `There is no such route. There are, each also under /v1: ${[...known].join(", ")}.`,
    );
  };
  router.all("*", ({ url }, visit) => refuse(visit, url));

  const fail = (visit: Visit, thrown: unknown): Answered => {
    const error = thrown instanceof ChatError ? thrown.cause : thrown;
    const facts = thrown instanceof ChatError ? thrown.facts : {};
    const shown = toApiError(error).reworded(hide);
    const { status, body, headers } = (visit.encodeError ?? encodeError)(shown, visit.requestId);
    const response = visit.respond(status ?? shown.status, JSON.stringify(body), {
      ...shown.toHeaders(),
      ...headers,
    });
    return { response, finished: Promise.resolve({ facts, error }) };
  };

  const headersFor = (givenOrigin: string | null): Headers =>
    new Headers({ ...securityHeaders, ...jsonHeaders, ...cors.headersFor(givenOrigin) });
  // Nearly all requests come from no page.
  const headersWithoutOrigin = headersFor(null);
  const outlive = outliving();

  return async (request, context) => {
    const startedMs = clock.monotonic();
    const outlived = outlive(context);
    const origin = request.headers.get("origin");
    const visit = new Visit(request, origin === null ? headersWithoutOrigin : headersFor(origin), context);
    const url = `http://localhost${normalizedPath(request.url)}`;
    const method = request.method === "HEAD" ? "GET" : request.method;
    let answered: Answered;
    try {
      const answer: Response | ChatResponse = await router.fetch({ method, url }, visit);
      answered = isChatResponse(answer) ? answer : { response: answer, finished: withoutFacts };
    } catch (thrown) {
      answered = fail(visit, thrown);
    }
    const { response, finished } = answered;

    void finished.then(({ facts, error }) => {
      const code = error === undefined ? undefined : toApiError(error).code;
      const reason = error === undefined ? undefined : reasonOf(error);
      const { requestId, key, status, route } = visit;
      outlived(code === "client_closed_request");
      onRequest(
        {
          requestId,
          method: request.method,
          route: route?.path ?? "none",
          key,
          status,
          code,
          reason,
          ms: clock.monotonic() - startedMs,
          ...facts,
        },
        error,
      );
    });
    return request.method === "HEAD" ? withoutBody(response) : response;
  };
}
