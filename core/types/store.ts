/** The seam of stores. */
import type { MaybePromise } from "./platform.ts";

/** A stored value and the version that a conditional write must name. */
export interface StoredValue {
  readonly value: string;
  readonly version: string;
}

/** Something that is used of an allowance, which several instances may share. */
export interface Spending {
  /** How much, such as one request or 350 tokens. */
  readonly cost: number;
  /** How much may be used within `windowMs` milliseconds. */
  readonly limit: number;
  readonly windowMs: number;
  /**
   * How what was used comes back: "evenly", all of it within `windowMs`; or "at-once", `windowMs` after the first use, so that
   * never more than `limit` is used within that time.
   */
  readonly returns: "evenly" | "at-once";
  /**
   * "take" uses it if so much is left; "look" tells whether so much is left; "force" uses it whatever is left, as it has been
   * used already.
   */
  readonly mode: "take" | "look" | "force";
}

export interface Allowance {
  /** Whether so much was left. */
  readonly isGranted: boolean;
  /** What is left afterwards; never below 0. */
  readonly left: number;
  /** Milliseconds until so much will be left; 0 where it was. */
  readonly waitMs: number;
  /** Milliseconds until all of it will be left. */
  readonly resetMs: number;
}

/** Keeps short texts by key for a while, with compare-and-set. */
export interface SessionStore {
  readonly name: string;
  /** Whether other instances of the gateway see the same values. */
  readonly shared: boolean;
  get(key: string): MaybePromise<StoredValue | undefined>;
  /**
   * Writes `value` for `ttlMs`. With `ifVersion` only if that is still the stored version, `null` meaning "only if
   * absent". Resolves to the new version, or undefined if it was not so. `owner` stands for the API key whose value it is:
   * a store with a bound lets no owner push out what others hold.
   */
  set(
    key: string,
    value: string,
    options: {
      readonly ttlMs: number;
      readonly ifVersion?: string | null;
      readonly owner?: string | undefined;
    },
  ): MaybePromise<string | undefined>;
  delete(key: string): MaybePromise<void>;
  /**
   * Uses some of the allowance under `key`, as one step among all instances. A key holds an allowance or a value, never both.
   * Absent where the store can't, or is too slow to be asked before each request: RATE_LIMIT_SHARED then stops the start.
   */
  spend?(key: string, spending: Spending): MaybePromise<Allowance>;
  close?(): MaybePromise<void>;
}
