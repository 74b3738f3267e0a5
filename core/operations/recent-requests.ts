/** The facts of the newest requests, for a look at what a server does now. */
import type { Clock, RequestFacts } from "../types.ts";

export interface RecentRequest {
  /** When its answer was over. */
  readonly atMs: number;
  readonly facts: RequestFacts;
}

export interface RecentRequests {
  /** When this was made, which is when the process began to serve. */
  readonly startedAtMs: number;
  /** A request whose answer is over now. */
  add(facts: RequestFacts): void;
  /** The newest first. */
  list(): readonly RecentRequest[];
}

/** More would be a log, which is elsewhere. */
const most = 50;

/** What pages and probes ask again and again: they would push out all other requests. */
export const ownRoutes: readonly string[] = [
  "/",
  "/ui",
  "/docs",
  "/openapi.json",
  "/dashboard",
  "/health",
  "/ready",
  "/metrics",
  "/requests",
];

export function createRecentRequests(clock: Pick<Clock, "now">): RecentRequests {
  const recent: RecentRequest[] = [];
  return {
    startedAtMs: clock.now(),
    add(facts) {
      if (ownRoutes.includes(facts.route)) return;
      recent.push({ atMs: clock.now(), facts });
      if (recent.length > most) recent.shift();
    },
    list: () => recent.toReversed(),
  };
}
