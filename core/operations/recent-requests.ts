/** The facts of the newest requests, for a look at what a server does now. */
import type { RequestFacts } from "../types.ts";

export interface RecentRequest {
  /** When its answer was over. */
  readonly atMs: number;
  readonly facts: RequestFacts;
}

export interface RecentRequests {
  add(request: RecentRequest): void;
  /** The newest first. */
  list(): readonly RecentRequest[];
}

/** More would be a log, which is elsewhere. */
const most = 50;

/** What pages and probes ask again and again; it would push out all others. */
const uninteresting: ReadonlySet<string> = new Set([
  "/",
  "/ui",
  "/docs",
  "/openapi.json",
  "/dashboard",
  "/health",
  "/ready",
  "/metrics",
  "/requests",
]);

export function createRecentRequests(): RecentRequests {
  const recent: RecentRequest[] = [];
  return {
    add(request) {
      if (uninteresting.has(request.facts.route)) return;
      recent.push(request);
      if (recent.length > most) recent.shift();
    },
    list: () => recent.toReversed(),
  };
}
