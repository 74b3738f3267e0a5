import type { StreamParts } from "../../types.ts";

const end: Promise<IteratorResult<StreamParts, void>> = Promise.resolve({ done: true, value: undefined });

/** An answer that comes all at once, when it is first asked for; a generator would cost several promises more. */
export function inOnePiece(load: () => Promise<StreamParts>): AsyncIterableIterator<StreamParts, void> {
  let isAsked = false;
  const answer: AsyncIterableIterator<StreamParts, void> = {
    [Symbol.asyncIterator]: () => answer,
    next() {
      if (isAsked) return end;
      isAsked = true;
      return load().then((value) => ({ done: false, value }));
    },
    return() {
      isAsked = true;
      return end;
    },
  };
  return answer;
}
