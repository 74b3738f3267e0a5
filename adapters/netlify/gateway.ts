/** A Netlify Function, which streams. */
import { loadRedis } from "../load-redis.ts";
import { findBlobsContext, findEnvironment } from "../runtime.ts";
import { selfConfiguring } from "../self-configuring.ts";

const gateway = selfConfiguring(() => ({
  environment: findEnvironment(),
  exposed: true,
  hosted: true,
  // https://docs.netlify.com/build/functions/configuration: not configurable.
  timeLimitMs: 60_000,
  preferredStores: ["redis-rest", "redis", "netlify-blobs"],
  drivers: { loadRedis, blobsContext: findBlobsContext },
}));

export default (request: Request, context: unknown): Promise<Response> =>
  gateway.fetch(request, undefined, context);

export const config = { path: "/*" };
