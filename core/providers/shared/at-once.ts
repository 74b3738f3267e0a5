import type { UpstreamEvent } from "../../types.ts";

/** Events that are all there, as those of an answer. */
export const atOnce = (events: readonly UpstreamEvent[]): AsyncIterable<readonly UpstreamEvent[]> => ({
  [Symbol.asyncIterator]() {
    const batches = events.length > 0 ? [events] : [];
    return {
      next() {
        const value = batches.pop();
        return Promise.resolve(value === undefined ? { done: true, value } : { done: false, value });
      },
    };
  },
});
