/** The limits of a reply that comes in pieces: what `limitReply` does to one that is all there. */
import { endOfTokens, estimateTokens } from "../../../util/estimate-tokens.ts";
import { graphemeAt } from "./grapheme.ts";
import type { LimitedReply, ReplyLimits } from "./limit-reply.ts";

/** No text has more tokens for each of its UTF-16 units. */
const mostTokensPerUnit = 2;

/**
 * Takes a reply in pieces, and says of each how much may go out. What could be the beginning of a stop text, or half of a
 * character, is held back.
 */
export class PieceLimiter {
  readonly #stops: readonly string[];
  readonly #maxTokens: number;
  /** All that has come. */
  #text = "";
  /** How much of it has gone out. */
  #sent = 0;
  /** Below this length, its tokens need not be counted. */
  #countFrom: number;
  #end: LimitedReply | undefined;

  constructor({ stop, maxTokens = Number.POSITIVE_INFINITY }: ReplyLimits) {
    this.#stops = stop.filter((text) => text !== "");
    this.#maxTokens = maxTokens;
    this.#countFrom = maxTokens / mostTokensPerUnit;
  }

  /** The reply with its end, once a limit has ended it. */
  get end(): LimitedReply | undefined {
    return this.#end;
  }

  /** What may go out now that this has come. */
  add(piece: string): string {
    this.#text += piece;
    return this.#release(this.#safeEnd());
  }

  /** What was held back, once nothing more comes. */
  finish(): string {
    const rest = this.#release(this.#text.length);
    this.#end ??= { text: this.#text, reason: "stop" };
    return rest;
  }

  #release(safeEnd: number): string {
    if (this.#end !== undefined) return "";
    let end = safeEnd;
    let limited: Omit<LimitedReply, "text"> | undefined;
    for (const stop of this.#stops) {
      const at = this.#text.indexOf(stop, this.#sent);
      // One that begins before it may still come.
      if (at < 0 || at > safeEnd || (limited !== undefined && at >= end)) continue;
      end = at;
      limited = { reason: "stop", stopSequence: stop };
    }
    end = Math.max(this.#sent, graphemeStart(this.#text, end));
    if (end >= this.#countFrom) {
      const text = this.#text.slice(0, end);
      const missing = this.#maxTokens - estimateTokens(text);
      this.#countFrom = end + Math.max(0, missing) / mostTokensPerUnit;
      const cut = missing >= 0 ? end : graphemeAt(text, endOfTokens(text, this.#maxTokens))[1];
      if (cut < end) {
        end = Math.max(this.#sent, cut);
        limited = { reason: "length" };
      }
    }
    const released = this.#text.slice(this.#sent, end);
    this.#sent = end;
    if (limited !== undefined) this.#end = { text: this.#text.slice(0, end), ...limited };
    return released;
  }

  /** Where the longest end of the text begins that could become a stop text, or is half of a surrogate pair. */
  #safeEnd(): number {
    const text = this.#text;
    const longest = Math.max(0, ...this.#stops.map(({ length }) => length - 1));
    for (let at = Math.max(this.#sent, text.length - longest); at < text.length; at++) {
      const tail = text.slice(at);
      if (this.#stops.some((stop) => stop.startsWith(tail))) return at;
    }
    const last = text.charCodeAt(text.length - 1);
    return last >= 0xd800 && last < 0xdc00 ? text.length - 1 : text.length;
  }
}

/** A cut before a stop text is made as in a whole reply, never in the middle of what a reader sees as one character. */
const graphemeStart = (text: string, end: number): number =>
  end < text.length ? graphemeAt(text, end)[0] : end;
