import type { Bench, Subject } from "../bench.ts";
import { format, type Row, type Verdict } from "../report.ts";
import { median } from "../statistics.ts";

export interface Scenario {
  readonly name: string;
  /** A long one runs only when it is named. */
  readonly onlyByName?: boolean;
  run(bench: Bench): Promise<readonly Row[]>;
}

/**
 * How long a loop runs before it is measured, in rounds of a second. The engine compiles the gateway's code in that time, on
 * a thread that takes the processors from all others; a floor is compiled at once.
 */
export const warmUpSeconds = 5;

export type Samples<Sample> = ReadonlyMap<Subject, readonly Sample[]>;

/** The median of each subject's rounds, by the subject's name. */
export function medians<Sample>(
  samples: Samples<Sample>,
  value: (sample: Sample) => number,
): Record<string, number> {
  return Object.fromEntries([...samples].map(([subject, each]) => [subject.name, median(each.map(value))]));
}

/**
 * Compares two subjects round by round, which cancels what makes the whole machine faster or slower for a while,
 * and returns the median of it.
 */
export function compare<Sample>(
  samples: Samples<Sample>,
  [from, to]: readonly [from: string, to: string],
  value: (sample: Sample) => number,
  comparison: (from: number, to: number) => number,
): number {
  const of = (name: string) => [...samples].find(([subject]) => subject.name === name)?.[1].map(value) ?? [];
  const [before, after] = [of(from), of(to)];
  return median(after.map((each, round) => comparison(before[round] ?? 0, each)));
}

export const ratio = (from: number, to: number) => to / from;
export const difference = (from: number, to: number) => to - from;

export function atLeast(result: number, budget: number, unit = "×"): Verdict {
  return {
    result: `${format(result)} ${unit}`,
    budget: `≥ ${format(budget)} ${unit}`,
    met: result >= budget,
  };
}

export function atMost(result: number, budget: number, unit = "×"): Verdict {
  return {
    result: `${format(result)} ${unit}`,
    budget: `≤ ${format(budget)} ${unit}`,
    met: result <= budget,
  };
}

export function addedAtMost(result: number, budget: number, unit = "ms"): Verdict {
  const sign = result < 0 ? "" : "+";
  return {
    result: `${sign}${format(result)} ${unit}`,
    budget: `≤ +${format(budget)} ${unit}`,
    met: result <= budget,
  };
}
