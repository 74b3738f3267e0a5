import type { GatewayCase } from "../../../contracts/gateway.ts";

type Skips = Partial<Record<GatewayCase, string>>;

/** For what counts as reachable from outside wherever it listens. */
export const alwaysExposed: Skips = {
  "answers only this machine when it has no key": "it counts as reachable from outside",
};

/** For what is started and ended by a program that isn't ours. */
export const endsAtOnce: Skips = {
  "finishes running answers after SIGTERM, then ends with exit code 0":
    "the platform ends it, not the gateway",
};
