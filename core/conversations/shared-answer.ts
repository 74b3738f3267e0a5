/** One running answer for several requests that wait for it. */
import { ApiError } from "../errors.ts";
import type { UpstreamEvent } from "../types.ts";
import { abortable } from "../util/time.ts";

/** An answer that has begun; of it `Facts` are known. */
export interface BegunAnswer {
  /** The events that arrived first. */
  readonly first: readonly UpstreamEvent[];
  readonly rest: AsyncIterable<readonly UpstreamEvent[]>;
  /** Ends the reading; at the end too. */
  close(): void;
}

/**
 * An answer that lives as long as one of its readers, and goes as fast as the fastest of them. `Begun` also holds what
 * is known of the answer, which every reader gets alike.
 */
export class SharedAnswer<Begun extends BegunAnswer> {
  readonly #controller = new AbortController();
  readonly #begun: Promise<Begun>;
  readonly #onEmpty: () => void;
  readonly #batches: (readonly UpstreamEvent[])[] = [];
  #source: AsyncIterator<readonly UpstreamEvent[]> | undefined;
  /** The call for the next batch that is under way; after a failure it stays, so that every reader fails there alike. */
  #pulling: Promise<void> | undefined;
  #state: "running" | "ended" | "failed" = "running";
  #readers = 0;

  /** Asks at once. `onEmpty` is called whenever the last reader has left. */
  constructor(ask: (signal: AbortSignal) => Promise<Begun>, onEmpty: () => void) {
    this.#onEmpty = onEmpty;
    this.#begun = this.#begin(ask);
  }

  /** False once it has failed, or every reader has left before its end. */
  get isJoinable(): boolean {
    return this.#state === "ended" || (this.#state === "running" && this.#readers > 0);
  }

  /** All events from the first one on, as soon as there is one. Rejects with the signal's reason when it aborts. */
  async join(signal: AbortSignal): Promise<Begun> {
    this.#readers++;
    try {
      const begun = await abortable(this.#begun, signal);
      let isReading = true;
      const close = () => {
        if (isReading) this.#leave(signal);
        isReading = false;
      };
      return { ...begun, rest: this.#read(signal), close };
    } catch (error) {
      this.#leave(signal);
      throw error;
    }
  }

  async #begin(ask: (signal: AbortSignal) => Promise<Begun>): Promise<Begun> {
    try {
      const begun = await ask(this.#controller.signal);
      this.#source = begun.rest[Symbol.asyncIterator]();
      return begun;
    } catch (error) {
      this.#state = "failed";
      throw error;
    }
  }

  async *#read(signal: AbortSignal): AsyncGenerator<readonly UpstreamEvent[], undefined> {
    for (let next = 0; ; next++) {
      if (next === this.#batches.length && this.#state !== "ended") await abortable(this.#pull(), signal);
      const batch = this.#batches[next];
      if (batch === undefined) return;
      yield batch;
    }
  }

  /** Reads one more batch, or the end, for all who wait for it. */
  #pull(): Promise<void> {
    this.#pulling ??= this.#readNext();
    return this.#pulling;
  }

  async #readNext(): Promise<void> {
    try {
      const next = await this.#source?.next();
      if (next === undefined || next.done) this.#state = "ended";
      else this.#batches.push(next.value);
      this.#pulling = undefined;
    } catch (error) {
      this.#state = "failed";
      throw error;
    }
  }

  #leave(signal: AbortSignal): void {
    this.#readers--;
    if (this.#readers > 0) return;
    if (this.#state === "running") {
      this.#state = "failed";
      const left = () => new ApiError("client_closed_request", "The client closed the connection.");
      this.#controller.abort(signal.aborted ? signal.reason : left());
    }
    // After the end and after a failure too: it gives the slot at the upstream back.
    this.#begun.then(({ close }) => close()).catch(() => {});
    this.#onEmpty();
  }
}
