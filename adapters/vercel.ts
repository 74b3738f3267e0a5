/** A Vercel Function, on its Node, Bun or Edge runtime; vercel.json sends every path here through api/index.ts. */
import type { FetchContext } from "../core/http/keep-work-alive.ts";
import { findEnvironment } from "./runtime.ts";
import { selfConfiguring } from "./self-configuring.ts";

const gateway = selfConfiguring(() => ({
  environment: findEnvironment(),
  exposed: true,
  hosted: true,
  // The most that the Hobby plan allows, and maxDuration in vercel.json.
  timeLimitMs: 300_000,
  preferredStore: "redis-rest",
}));

/** Where Vercel keeps the running request's `waitUntil`; its package `@vercel/functions` reads the same. */
const requestContext = Symbol.for("@vercel/request-context");

interface VercelGlobal {
  readonly [requestContext]?: { get?(): FetchContext | undefined };
}

export default {
  fetch: (request: Request): Promise<Response> =>
    gateway.fetch(request, undefined, (globalThis as VercelGlobal)[requestContext]?.get?.()),
};
