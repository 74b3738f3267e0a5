/**
 * Which pieces are told, and how much of each. A plan lists raises, the most important first: "this piece up to this
 * size". They are granted in that order until the room is used up, so more room never tells less of any piece.
 */
import type { Piece } from "./piece.ts";

/** A piece, and the size that it is to have. */
export type Raise = readonly [piece: Piece, size: number];

/** Grants raises until the first that the room does not suffice for; that one gets what is left, if it is a line. */
export function grant(raises: Iterable<Raise>, room: number): void {
  let left = room;
  for (const [piece, size] of raises) {
    const missing = Math.min(size, piece.size) - piece.share;
    if (missing <= 0) continue;
    if (missing <= left) {
      piece.share += missing;
      left -= missing;
      continue;
    }
    if (piece.share + left >= piece.leastSize) piece.share += left;
    return;
  }
}

/** What a reply of the newest turn gets before anything is told of older turns: two lines. */
const newestReplySize = 160;

/**
 * History, turn by turn, the newest first. What users wrote goes before replies, and newer texts before older ones:
 * 1. a line of each question, each reply that is no longer than a line, and two lines of the newest reply;
 * 2. a line of each longer reply;
 * 3. questions as a whole;
 * 4. replies as a whole.
 *
 * Turns are read only as far as the first step gets.
 */
export function* historyRaises(turns: Iterable<readonly Piece[]>): Generator<Raise, undefined> {
  const pieces: Piece[] = [];
  let isNewest = true;
  for (const turn of turns) {
    // A turn's question before its replies.
    for (const piece of turn.toSorted((a, b) => Number(isReply(a)) - Number(isReply(b)))) {
      pieces.push(piece);
      if (!isReply(piece) || piece.size === piece.leastSize) yield [piece, piece.leastSize];
      else if (isNewest) yield [piece, newestReplySize];
    }
    isNewest = false;
  }
  const replies = pieces.filter(isReply);
  for (const piece of replies) yield [piece, piece.leastSize];
  for (const piece of pieces) if (!isReply(piece)) yield [piece, piece.size];
  for (const piece of replies) yield [piece, piece.size];
}

/** Whole turns, the newest first. */
export function* wholeTurns(turns: Iterable<readonly Piece[]>, room: number): Generator<Raise, undefined> {
  let left = room;
  for (const turn of turns) {
    for (const { size } of turn) left -= size;
    if (left < 0) return;
    for (const piece of turn) yield [piece, piece.size];
  }
}

/** System texts, the most important first: a line of each, then twice as much of each, and so on. */
export function* systemRaises(pieces: readonly Piece[]): Generator<Raise, undefined> {
  const longest = Math.max(0, ...pieces.map(({ size }) => size));
  for (const piece of pieces) yield [piece, piece.leastSize];
  for (let size = 160; size < 2 * longest; size *= 2) for (const piece of pieces) yield [piece, size];
}

const isReply = ({ kind }: Piece): boolean => kind === "reply";
