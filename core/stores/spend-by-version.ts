/** Allowances in a store that compares and sets. */
import type { Allowance, Clock, SessionStore, Spending } from "../types.ts";
import { spendFrom, type Tally, tallyDigits } from "../util/allowance.ts";

/** Of writers that meet, each round lets at least one through. */
const maxRounds = 100;

/** What this store has written; anything else counts as nothing and is written over. */
const readTally = (value: string | undefined): Tally | undefined => {
  const [, used, sinceMs] = /^(\d{1,15}(?:\.\d+)?) (\d{1,15})$/.exec(value ?? "") ?? [];
  return used === undefined ? undefined : { used: Number(used), sinceMs: Number(sinceMs) };
};

/** Reads, counts and writes until nobody was in between. Rejects as the store does. */
export async function spendByVersion(
  { get, set }: Pick<SessionStore, "get" | "set">,
  clock: Pick<Clock, "now">,
  key: string,
  spending: Spending,
): Promise<Allowance> {
  for (let rounds = 0; rounds < maxRounds; rounds++) {
    const stored = await get(key);
    const { allowance, tally } = spendFrom(readTally(stored?.value), spending, clock.now());
    if (tally === undefined) return allowance;
    const value = `${tally.used.toFixed(tallyDigits)} ${tally.sinceMs}`;
    const options = { ttlMs: spending.windowMs, ifVersion: stored?.version ?? null };
    if ((await set(key, value, options)) !== undefined) return allowance;
  }
  throw new Error("Too many writers of one key");
}
