/** One running answer for several who wait for it. */
import { ApiError } from "./errors.ts";
import type { StreamParts } from "./types.ts";

export interface SharedAnswer {
  /** False once it has failed or everyone has left before its end. */
  readonly isJoinable: boolean;
  /**
   * All parts from the first one on. Whoever joins must call `return`, at the end too. Waiting is bounded by the
   * reader's own timer, not here: `signal` only tells why a reader has left early.
   */
  join(signal: AbortSignal): AsyncIterableIterator<StreamParts>;
}

/** Starts an answer that lives as long as one of its readers; the fastest of them sets its pace. */
export function sharedAnswer(
  start: (signal: AbortSignal) => AsyncIterable<StreamParts>,
  /** Called whenever the last reader has left. */
  onEmpty: () => void,
): SharedAnswer {
  const controller = new AbortController();
  const source = start(controller.signal)[Symbol.asyncIterator]();
  const parts: StreamParts[] = [];
  let pulling: Promise<unknown> | undefined;
  let state: "running" | "ended" | "failed" = "running";
  let readers = 0;

  /** Asks for the next part; resolves to what `then` makes of it. */
  const pull = <T>(then: () => T): Promise<T> =>
    source.next().then(
      ({ value, done }) => {
        if (done) state = "ended";
        else parts.push(value);
        pulling = undefined;
        return then();
      },
      (error) => {
        // `pulling` stays as it is: whoever comes to this place later fails in the same way.
        state = "failed";
        throw error;
      },
    );

  const leave = (signal: AbortSignal) => {
    readers--;
    if (readers > 0) return;
    if (state === "running") {
      state = "failed";
      controller.abort(
        signal.aborted
          ? signal.reason
          : new ApiError("client_closed_request", "The client closed the connection."),
      );
    }
    // At the end too, and after a failure: it is what gives the place at the upstream back.
    source.return?.().catch(() => {});
    onEmpty();
  };

  return {
    get isJoinable() {
      return state === "ended" || (state === "running" && readers > 0);
    },

    join(signal) {
      let position = 0;
      let isReading = true;
      readers++;

      const take = (): IteratorResult<StreamParts> => {
        const value = isReading ? parts[position++] : undefined;
        return value === undefined ? { value, done: true } : { value, done: false };
      };

      const reader: AsyncIterableIterator<StreamParts> = {
        [Symbol.asyncIterator]: () => reader,
        next() {
          if (!isReading || position < parts.length || state === "ended") return Promise.resolve(take());
          if (pulling !== undefined) return pulling.then(take);
          const next = pull(take);
          pulling = next;
          return next;
        },
        return() {
          if (isReading) {
            isReading = false;
            leave(signal);
          }
          return Promise.resolve({ value: undefined, done: true });
        },
      };
      return reader;
    },
  };
}
