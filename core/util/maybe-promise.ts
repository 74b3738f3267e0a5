/** Values that may have to be waited for. Where they needn't be, as with a store in memory, no promise is made. */
import type { MaybePromise } from "../types.ts";

export const isPromise = <T>(value: MaybePromise<T>): value is Promise<T> =>
  typeof (value as Partial<Promise<T>> | undefined | null)?.then === "function";

/** Goes on with a value: at once where it is there. */
export const andThen = <T, U>(
  value: MaybePromise<T>,
  next: (value: T) => MaybePromise<U>,
): MaybePromise<U> => (isPromise(value) ? value.then(next) : next(value));

/** What `task` gives or, where it fails at once or later, what `instead` gives or throws. */
export const orElse = <T>(task: () => MaybePromise<T>, instead: (error: unknown) => T): MaybePromise<T> => {
  try {
    const value = task();
    return isPromise(value) ? value.catch(instead) : value;
  } catch (error) {
    return instead(error);
  }
};
