/**
 * The product in one import: `createHandler(options)`, and a default export that configures itself from the
 * environment on its first request, so that `bun handler.ts`, `deno serve -A handler.ts` and a Worker run it.
 */
import { findEnvironment, findOpenKv, isWorkerContext } from "./adapters/runtime.ts";
import { selfConfiguring } from "./adapters/self-configuring.ts";
import type { DenoKv } from "./core/stores/deno-kv.ts";

export { createHandler, type Handler, type HandlerOptions } from "./core/gateway.ts";

/** For `bun handler.ts`, `deno serve -A handler.ts` and Workers, all of which can be reached from outside. */
export default {
  ...selfConfiguring((env, context) => {
    const openKv = findOpenKv<DenoKv>();
    return {
      environment: findEnvironment(env, context),
      exposed: true,
      hosted: isWorkerContext(context),
      preferredStore: openKv === undefined ? "redis-rest" : "deno-kv",
      drivers: { openKv },
    };
  }),
  /** Seconds of silence after which Bun would cut an answer that is not streamed; the most that it knows. */
  idleTimeout: 255,
};
