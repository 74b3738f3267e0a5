/**
 * Counting what is used of an allowance. What comes back evenly is a generic cell rate algorithm, which keeps one number and
 * one time: https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm
 * Of the libraries for it, one keeps a timer per key and the other is a third as large as the whole gateway.
 */
import type { Allowance, Spending } from "../types.ts";

/** What has been used and did not come back yet. */
export interface Tally {
  readonly used: number;
  /** Milliseconds: when that was so; of what comes back at once, when it was first used. */
  readonly sinceMs: number;
}

/** Fractions are rounded, also where they are stored. */
const tolerance = 1e-5;

export const tallyDigits = 6;

/** What is left of an allowance of which `used` is used, for `passedMs` of its window. */
export function allowanceOf(
  { cost, limit, windowMs, returns }: Spending,
  {
    used,
    passedMs,
    isGranted,
  }: { readonly used: number; readonly passedMs: number; readonly isGranted: boolean },
): Allowance {
  const returnMs = (amount: number) => Math.max(0, Math.ceil((amount * windowMs) / limit - tolerance));
  const resetMs = used <= 0 ? 0 : returns === "evenly" ? returnMs(used) : windowMs - passedMs;
  const waitMs = isGranted ? 0 : returns === "evenly" ? returnMs(used + cost - limit) : resetMs;
  return { isGranted, left: Math.max(0, Math.floor(limit - used + tolerance)), waitMs, resetMs };
}

/** Uses some of what `held` leaves; `tally` is what is to be kept, undefined where nothing has changed. */
export function spendFrom(
  held: Tally | undefined,
  spending: Spending,
  nowMs: number,
): { readonly allowance: Allowance; readonly tally: Tally | undefined } {
  const { cost, limit, windowMs, returns, mode } = spending;
  let { used, sinceMs } = held ?? { used: 0, sinceMs: nowMs };
  // A clock that was ahead and has been set since must not keep anybody waiting for it: time counts from now on.
  const isFromAhead = sinceMs > nowMs;
  if (isFromAhead) sinceMs = nowMs;
  if (returns === "evenly") {
    used = Math.max(0, used - ((nowMs - sinceMs) * limit) / windowMs);
    sinceMs = nowMs;
  } else if (used === 0 || nowMs - sinceMs >= windowMs) {
    used = 0;
    sinceMs = nowMs;
  }
  const isGranted = used + cost <= limit + tolerance;
  const isUsed = mode === "force" || (mode === "take" && isGranted);
  if (isUsed) used += cost;
  return {
    allowance: allowanceOf(spending, { used, passedMs: nowMs - sinceMs, isGranted }),
    tally: isUsed || isFromAhead ? { used, sinceMs } : undefined,
  };
}
