/** What a model is told, put together without copying what is long. */
import type { ChatMessage } from "../types.ts";

/**
 * Messages in order, of which no version ever changes. A version with further messages shares those that both have: a
 * copy of thousands costs more than all else that a turn does, as engines get memory for so long an array page by page.
 */
export class MessageList {
  /** Shared with other versions, which may have dropped some of the first and added others behind the last. */
  readonly #items: ChatMessage[];
  readonly #start: number;
  readonly #end: number;

  /** Takes `items` over: nobody else may change them. */
  constructor(items: ChatMessage[], start = 0, end = items.length) {
    this.#items = items;
    this.#start = start;
    this.#end = end;
  }

  get length(): number {
    return this.#end - this.#start;
  }

  at(index: number): ChatMessage | undefined {
    return index >= 0 && index < this.length ? this.#items[this.#start + index] : undefined;
  }

  /** The messages from the one at `start` up to the one at `end`. */
  slice(start = 0, end = this.length): ChatMessage[] {
    return this.#items.slice(this.#start + start, this.#start + Math.min(end, this.length));
  }

  /** With `messages` behind the others. */
  concat(messages: readonly ChatMessage[]): MessageList {
    // Only the newest version goes on in place, and only while less has been dropped than is left.
    const isNewest = this.#items.length === this.#end;
    if (!isNewest || this.#start >= this.length) return new MessageList(this.slice().concat(messages));
    for (const message of messages) this.#items.push(message);
    return new MessageList(this.#items, this.#start);
  }

  /** Without the first `count`. */
  drop(count: number): MessageList {
    return new MessageList(this.#items, this.#start + count, this.#end);
  }
}

export const noMessages = new MessageList([]);

const none: readonly ChatMessage[] = [];

/** All that a model may be told in a turn: what the client has sent, after what is remembered of earlier turns. */
export class Transcript {
  readonly #sent: readonly ChatMessage[];
  readonly #remembered: MessageList;
  readonly #system: readonly ChatMessage[];

  constructor(sent: readonly ChatMessage[], remembered = noMessages, system = none) {
    this.#sent = sent;
    this.#remembered = remembered;
    this.#system = system;
  }

  get length(): number {
    return this.#system.length + this.#remembered.length + this.#sent.length;
  }

  /** System texts first. Of what is remembered, the newest turns that have `maxRemembered` messages at most. */
  messages(maxRemembered = Number.POSITIVE_INFINITY): readonly ChatMessage[] {
    const { length } = this.#remembered;
    if (length === 0 && this.#system.length === 0) return this.#sent;
    let start = Math.max(length - maxRemembered, 0);
    while (start > 0 && start < length && this.#remembered.at(start)?.role !== "user") start++;
    return this.#system.concat(this.#remembered.slice(start), this.#sent);
  }
}
