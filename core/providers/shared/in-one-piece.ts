import type { ChatRequest, ProviderContext, StreamParts } from "../../types.ts";

type Step = Promise<IteratorResult<StreamParts, void>>;

const step = (value: StreamParts): IteratorResult<StreamParts, void> => ({ done: false, value });
const end: Step = Promise.resolve({ done: true, value: undefined });

/** An answer that comes all at once, asked for with the first `next`. A generator would cost several promises more. */
export class InOnePiece implements AsyncIterableIterator<StreamParts, void> {
  readonly #load: (request: ChatRequest, context: ProviderContext) => Promise<StreamParts>;
  readonly #request: ChatRequest;
  readonly #context: ProviderContext;
  #isAsked = false;

  constructor(
    load: (request: ChatRequest, context: ProviderContext) => Promise<StreamParts>,
    request: ChatRequest,
    context: ProviderContext,
  ) {
    this.#load = load;
    this.#request = request;
    this.#context = context;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Step {
    if (this.#isAsked) return end;
    this.#isAsked = true;
    return this.#load(this.#request, this.#context).then(step);
  }

  return(): Step {
    this.#isAsked = true;
    return end;
  }
}
