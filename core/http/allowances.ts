/** Where limits are counted: in this process, or together with other instances in the store. */
import type { Allowance, Clock, Logger, MaybePromise, SessionStore, Spending } from "../types.ts";
import { spendFrom, type Tally } from "../util/allowance.ts";
import { sha256Hex } from "../util/hash.ts";
import { withTimeout } from "../util/time.ts";

export interface Allowances {
  /** Uses some of the allowance of this kind that belongs to an API key. Never rejects. */
  spend(kind: "requests" | "tokens", apiKey: string, spending: Spending): MaybePromise<Allowance>;
}

interface LocalAllowances extends Allowances {
  spend(kind: "requests" | "tokens", apiKey: string, spending: Spending): Allowance;
}

/** Counts in this process, by a clock that nobody can set. */
export function localAllowances(clock: Pick<Clock, "monotonic">): LocalAllowances {
  /** There are only as many keys as are configured. */
  const tallies = { requests: new Map<string, Tally>(), tokens: new Map<string, Tally>() };
  return {
    spend(kind, apiKey, spending) {
      const { allowance, tally } = spendFrom(tallies[kind].get(apiKey), spending, clock.monotonic());
      if (tally !== undefined) tallies[kind].set(apiKey, tally);
      return allowance;
    },
  };
}

/** How long a request may wait for the store's count. */
const storeLimitMs = 300;
/** For how long this process counts alone once the store has failed: nobody waits for it meanwhile. */
const aloneMs = 1_000;
const warnEveryMs = 60_000;

const isAllowance = ({ isGranted, left, waitMs, resetMs }: Allowance): boolean =>
  typeof isGranted === "boolean" &&
  [left, waitMs, resetMs].every((value) => Number.isFinite(value) && value >= 0);

export interface SharedAllowancesOptions {
  /** One that counts. */
  readonly store: Required<Pick<SessionStore, "name" | "spend">>;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Counts in the store. Where that fails, or takes longer than 300 ms, the request is counted in this process instead, with a
 * warning once a minute: a limit that can't be looked up stops nobody.
 */
export function sharedAllowances({ store, clock, log }: SharedAllowancesOptions): Allowances {
  const local = localAllowances(clock);
  /** API keys themselves are not for the store. */
  const names = new Map<string, string>();
  let aloneUntilMs = Number.NEGATIVE_INFINITY;
  let warnAtMs = Number.NEGATIVE_INFINITY;

  const nameOf = async (apiKey: string): Promise<string> => {
    let name = names.get(apiKey);
    if (name === undefined) {
      name = await sha256Hex(`limit ${apiKey}`);
      names.set(apiKey, name);
    }
    return name;
  };

  const inStore: Allowances["spend"] = async (kind, apiKey, spending) => {
    const allowance = await store.spend(`${kind}:${await nameOf(apiKey)}`, spending);
    if (!isAllowance(allowance)) throw new Error("The store's answer is no allowance");
    return allowance;
  };

  const goAlone = (error: unknown) => {
    aloneUntilMs = clock.monotonic() + aloneMs;
    if (clock.monotonic() < warnAtMs) return;
    warnAtMs = clock.monotonic() + warnEveryMs;
    log.warn("limit.not_shared", { store: store.name, reason: (error as Error).message });
  };

  return {
    async spend(kind, apiKey, spending) {
      if (clock.monotonic() < aloneUntilMs) return local.spend(kind, apiKey, spending);
      try {
        const shared = Promise.resolve(inStore(kind, apiKey, spending));
        const allowance = await withTimeout(shared, storeLimitMs, { clock });
        // This process knows its own part then, should it have to go on alone.
        if (allowance.isGranted && spending.mode !== "look")
          local.spend(kind, apiKey, { ...spending, mode: "force" });
        return allowance;
      } catch (error) {
        goAlone(error);
        return local.spend(kind, apiKey, spending);
      }
    },
  };
}
