/** The signal that ends a request. */
import { ApiError } from "../errors.ts";
import type { Clock } from "../types.ts";

/** The life of one request: it ends with its answer, when the client leaves, or after `timeoutMs` milliseconds. */
export class Lifetime {
  /** Aborts with the ApiError to throw. */
  readonly signal: AbortSignal;
  readonly #controller = new AbortController();
  readonly #client: AbortSignal;
  readonly #cancelTimer: () => void;

  constructor(client: AbortSignal, timeoutMs: number, clock: Clock) {
    this.signal = this.#controller.signal;
    this.#client = client;
    this.#cancelTimer = clock.schedule(() => {
      this.#end(
        new ApiError("upstream_timeout", `The upstream did not answer within ${timeoutMs / 1000} s.`),
      );
    }, timeoutMs);
    if (client.aborted) this.leave();
    else client.addEventListener("abort", this);
  }

  /** The client's signal has aborted: https://dom.spec.whatwg.org/#callbackdef-eventlistener */
  handleEvent(): void {
    this.leave();
  }

  /** The client has left. */
  leave(): void {
    this.#end(new ApiError("client_closed_request", "The client closed the connection."));
  }

  /** The answer is over: from now on nothing aborts. */
  release(): void {
    this.#cancelTimer();
    // A caller may use one signal for many requests, and Deno aborts a request's even after an answer that went well.
    this.#client.removeEventListener("abort", this);
  }

  #end(reason: ApiError): void {
    this.release();
    this.#controller.abort(reason);
  }
}
