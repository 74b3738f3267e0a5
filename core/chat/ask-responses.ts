/** What is asked of an upstream about responses that it keeps, within the time of any request. */
import { ApiError } from "../errors.ts";
import type { DialectDeps, Logger, Provider } from "../types.ts";
import { type Bounds, createLifetime } from "./exchange.ts";

export interface AskResponsesOptions extends Bounds {
  readonly providers: readonly Provider[];
  readonly log: Logger;
}

/** `DialectDeps.askResponses` over providers. */
export const createAskResponses =
  ({ providers, log, ...bounds }: AskResponsesOptions): DialectDeps["askResponses"] =>
  async ({ request, requestId }, name, call) => {
    const provider = providers.find((each) => each.name === name);
    if (provider?.askResponses === undefined) {
      const message = `The response is kept by ${name}, which is no longer among the upstreams that keep responses.`;
      throw new ApiError("response_not_found", message);
    }
    const lifetime = createLifetime(request, bounds);
    try {
      return await provider.askResponses(call, { signal: lifetime.signal, requestId, log });
    } finally {
      lifetime.release();
    }
  };
