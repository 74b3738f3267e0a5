/** The signal that ends a request. */
import { ApiError } from "../errors.ts";
import type { Clock } from "../types.ts";

/** The life of one request: it ends with its answer, when the client leaves, or when time is up. */
export interface Lifetime {
  /** Aborts with the ApiError to throw. */
  readonly signal: AbortSignal;
  /** The client has left. */
  leave(): void;
  /** The answer is over: from now on nothing aborts. */
  release(): void;
}

/** A lifetime that ends with `client`, or after `timeoutMs` milliseconds. */
export function createLifetime(client: AbortSignal, timeoutMs: number, clock: Clock): Lifetime {
  const controller = new AbortController();
  const release = () => {
    cancelTimer();
    // A caller may use one signal for many requests, and Deno aborts a request's even after an answer that went well.
    client.removeEventListener("abort", leave);
  };
  const end = (reason: ApiError) => {
    release();
    controller.abort(reason);
  };
  const leave = () => end(new ApiError("client_closed_request", "The client closed the connection."));
  const cancelTimer = clock.schedule(() => {
    end(new ApiError("upstream_timeout", `The upstream did not answer within ${timeoutMs / 1000} s.`));
  }, timeoutMs);
  client.addEventListener("abort", leave, { once: true });
  if (client.aborted) leave();
  return { signal: controller.signal, leave, release };
}
