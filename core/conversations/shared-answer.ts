/** One running answer for several who wait for it. */
import { ApiError } from "../errors.ts";
import type { StreamParts } from "../types.ts";

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
export const sharedAnswer = (
  start: (signal: AbortSignal) => AsyncIterable<StreamParts>,
  /** Called whenever the last reader has left. */
  onEmpty: () => void,
): SharedAnswer => new Sharing(start, onEmpty);

type Result = IteratorResult<StreamParts, undefined>;

// Classes, since a turn makes one of each, and methods in closures take a kilobyte more.
class Sharing implements SharedAnswer {
  readonly parts: StreamParts[] = [];
  state: "running" | "ended" | "failed" = "running";
  /** Stays as it is after a failure: whoever comes to that place later fails in the same way. */
  pulling: Promise<unknown> | undefined;
  readonly #controller = new AbortController();
  readonly #source: AsyncIterator<StreamParts>;
  readonly #onEmpty: () => void;
  #readers = 0;

  constructor(start: (signal: AbortSignal) => AsyncIterable<StreamParts>, onEmpty: () => void) {
    this.#source = start(this.#controller.signal)[Symbol.asyncIterator]();
    this.#onEmpty = onEmpty;
  }

  get isJoinable(): boolean {
    return this.state === "ended" || (this.state === "running" && this.#readers > 0);
  }

  join(signal: AbortSignal): AsyncIterableIterator<StreamParts> {
    this.#readers++;
    return new Reader(this, signal);
  }

  /** Asks for the next part; resolves to what `reader` takes then. */
  pull(reader: Reader): Promise<Result> {
    const pulled = this.#source.next().then(
      ({ value, done }) => {
        if (done) this.state = "ended";
        else this.parts.push(value);
        this.pulling = undefined;
        return reader.take();
      },
      (error) => {
        this.state = "failed";
        throw error;
      },
    );
    this.pulling = pulled;
    return pulled;
  }

  leave(signal: AbortSignal): void {
    this.#readers--;
    if (this.#readers > 0) return;
    if (this.state === "running") {
      this.state = "failed";
      this.#controller.abort(
        signal.aborted
          ? signal.reason
          : new ApiError("client_closed_request", "The client closed the connection."),
      );
    }
    // At the end too, and after a failure: it is what gives the place at the upstream back.
    this.#source.return?.().catch(() => {});
    this.#onEmpty();
  }
}

class Reader implements AsyncIterableIterator<StreamParts> {
  readonly #shared: Sharing;
  readonly #signal: AbortSignal;
  #position = 0;
  #isReading = true;

  constructor(shared: Sharing, signal: AbortSignal) {
    this.#shared = shared;
    this.#signal = signal;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  take(): Result {
    const value = this.#isReading ? this.#shared.parts[this.#position++] : undefined;
    return value === undefined ? { value, done: true } : { value, done: false };
  }

  next(): Promise<Result> {
    const { parts, state, pulling } = this.#shared;
    if (!this.#isReading || this.#position < parts.length || state === "ended")
      return Promise.resolve(this.take());
    return pulling === undefined ? this.#shared.pull(this) : pulling.then(() => this.take());
  }

  return(): Promise<Result> {
    if (this.#isReading) {
      this.#isReading = false;
      this.#shared.leave(this.#signal);
    }
    return Promise.resolve({ value: undefined, done: true });
  }
}
