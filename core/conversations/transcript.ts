/** What a model may read in a turn: what the client has sent, after what is remembered of earlier turns. */
import type { ChatMessage } from "../types.ts";
import { isSystem } from "../util/messages.ts";

export class Transcript {
  readonly #system: readonly ChatMessage[];
  readonly #remembered: readonly ChatMessage[];
  readonly #sent: readonly ChatMessage[];

  constructor(
    sent: readonly ChatMessage[],
    remembered: readonly ChatMessage[] = [],
    system: readonly ChatMessage[] = [],
  ) {
    this.#sent = sent;
    this.#remembered = remembered;
    this.#system = system;
  }

  get length(): number {
    return this.#system.length + this.#remembered.length + this.#sent.length;
  }

  /**
   * System texts first. Of what is remembered, the newest turns that have `maxHistoryMessages` messages at most, and the
   * system texts of the others.
   */
  messages(maxHistoryMessages = Number.POSITIVE_INFINITY): readonly ChatMessage[] {
    const remembered = this.#remembered;
    let start = Math.max(remembered.length - maxHistoryMessages, 0);
    while (start > 0 && start < remembered.length && remembered[start]?.role !== "user") start++;
    const system = start > 0 ? remembered.slice(0, start).filter(isSystem) : [];
    return [...this.#system, ...system, ...remembered.slice(start), ...this.#sent];
  }
}
