import type { StreamParts } from "../types.ts";

type Step = Promise<IteratorResult<StreamParts, void>>;

const end: Step = Promise.resolve({ done: true, value: undefined });

/** An answer that comes all at once, loaded when it is first asked for. A generator would cost several promises more. */
export class InOnePiece implements AsyncIterableIterator<StreamParts, void> {
  #load: (() => Promise<StreamParts>) | undefined;

  constructor(load: () => Promise<StreamParts>) {
    this.#load = load;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Step {
    const load = this.#load;
    if (load === undefined) return end;
    this.#load = undefined;
    return load().then((value) => ({ done: false, value }));
  }

  return(): Step {
    this.#load = undefined;
    return end;
  }
}
