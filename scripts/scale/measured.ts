/** What `npm run scale` has measured last. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { RecordOverhead, Shape, WireOverhead } from "./arithmetic.ts";
import type { StoreCost } from "./stores.ts";

export interface Measured {
  readonly date: string;
  readonly machine: string;
  /** The load average before it began: what else the machine had to do. */
  readonly load: number;
  readonly record: RecordOverhead;
  readonly wire: WireOverhead;
  /** An answer of the Responses API with all that came before it, on average over the typical conversation. */
  readonly responseBytes: number;
  readonly stores: Readonly<Record<string, StoreCost>>;
  /** Processor time of a turn of the typical conversation, in microseconds, by store; and that of Redis itself. */
  readonly micros: Readonly<Record<"memory" | "sqlite" | "redis" | "redisStreamed" | "redisItself", number>>;
  /** Memory of a waiting stream, from docs/performance.md. */
  readonly streamKibibytes: number;
}

/** The conversation that docs/scale.md counts with: ten questions of a few lines, each with an answer of half a page. */
export const typical: Shape = { turns: 10, questionBytes: 200, answerBytes: 1500 };

export const measuredPath = fileURLToPath(new URL("measured.json", import.meta.url));

export const measured = (): Measured => JSON.parse(readFileSync(measuredPath, "utf8"));
