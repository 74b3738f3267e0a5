/** The seam of stores. */
import type { MaybePromise } from "./platform.ts";

/** A stored value and the version that a conditional write must name. */
export interface StoredValue {
  readonly value: string;
  readonly version: string;
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
  close?(): MaybePromise<void>;
}
