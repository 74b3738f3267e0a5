import type { Percentiles } from "../statistics.ts";

/** What the benchmark asks of its load generator, and what it gets. */

export interface Job {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** Takes turns among so many values of a header. */
  readonly rotate?: Rotation;
  readonly load: Load;
  readonly stream: boolean;
  /** The text of the reply that each checked answer must have. */
  readonly expectedText: string;
  /** Every how manieth answer is read and compared with that text. */
  readonly checkEvery: number;
  readonly timeReads?: boolean;
}

export interface Rotation {
  readonly header: string;
  readonly prefix: string;
  readonly count: number;
  /** Sent in place of the job's: the first one with each value of the header, then the next, and from the first again. */
  readonly bodies?: readonly string[];
}

export type Load =
  /** Each connection sends its next request as soon as it has its answer, until the time or the number is up. */
  | { readonly kind: "closed"; readonly connections: number; readonly durationMs: number }
  | { readonly kind: "closed"; readonly connections: number; readonly requests: number }
  /** Requests leave at a fixed rate, whether or not earlier ones have been answered. */
  | { readonly kind: "open"; readonly ratePerSecond: number; readonly durationMs: number }
  /** All connections are opened first; then each sends its one request at the same moment. */
  | { readonly kind: "burst"; readonly connections: number };

export interface LoadResult {
  readonly requests: number;
  readonly durationMs: number;
  readonly requestsPerSecond: number;
  readonly latencyMs: Percentiles;
  readonly firstTextMs: Percentiles;
  readonly gapMs: Percentiles;
  /** Share of reads that brought more than one event. */
  readonly gathered: number;
  readonly checked: number;
  /** What went wrong, and how often. */
  readonly errors: Readonly<Record<string, number>>;
}
