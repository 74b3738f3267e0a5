import { ApiError } from "../../core/errors.ts";
import type { Advice } from "./advice.ts";

/** What one step of the doctor has found. */
export interface Finding {
  readonly step: string;
  readonly verdict: "good" | "warning" | "bad" | "skipped";
  /** What was seen, in a few words. */
  readonly facts: string;
  readonly ms?: number;
  /** For what is not good. */
  readonly advice?: Advice;
}

export const good = (step: string, facts: string, ms?: number): Finding => ({
  step,
  verdict: "good",
  facts,
  ...(ms !== undefined && { ms }),
});

export const warning = (step: string, facts: string, advice: Advice): Finding => ({
  step,
  verdict: "warning",
  facts,
  advice,
});

export const bad = (step: string, facts: string, advice: Advice, ms?: number): Finding => ({
  step,
  verdict: "bad",
  facts,
  advice,
  ...(ms !== undefined && { ms }),
});

export const skipped = (step: string, facts: string): Finding => ({ step, verdict: "skipped", facts });

/** A URL as it may be shown: without user, password and query. */
export const shownUrl = (url: string): string => {
  const { protocol, host, pathname } = new URL(url);
  return `${protocol}//${host}${pathname}`;
};

/** The message of whatever was thrown, on one line. */
export const wordsOf = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).replaceAll(/\s+/g, " ").trim();

/** The same with the code of an error that has one. */
export const describe = (error: unknown): string =>
  error instanceof ApiError ? `${error.code}: ${wordsOf(error)}` : wordsOf(error);
