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

/** What the newest reply gets before anything is told of older turns: two lines, or four where the model is to go on with it. */
const newestReplySizes = { answered: 160, continued: 320, none: 0 } as const;

/** What an instruction at the end gets before all other system texts. */
const instructionSize = 320;

/**
 * History, turn by turn, the newest first. What users wrote goes before replies, and newer texts before older ones:
 * 1. a line of each question, each reply that is no longer than a line, and two lines of the newest reply;
 * 2. a line of each longer reply;
 * 3. questions as a whole;
 * 4. replies as a whole.
 *
 * Turns are read only as far as the first step gets.
 */
export function* historyRaises(
  turns: Iterable<readonly Piece[]>,
  newestReply: keyof typeof newestReplySizes,
): Generator<Raise, undefined> {
  const pieces: Piece[] = [];
  let newestSize: number = newestReplySizes[newestReply];
  for (const turn of turns) {
    // A turn's question before its replies.
    for (const piece of turn.toSorted((a, b) => Number(isReply(a)) - Number(isReply(b)))) {
      pieces.push(piece);
      if (!isReply(piece) || piece.size === piece.leastSize) yield [piece, piece.leastSize];
      else if (newestSize > 0) yield [piece, newestSize];
    }
    if (turn.some(isReply)) newestSize = 0;
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

/**
 * System texts: the instructions at the end, then of all, the most important first, a line of each, twice as much of each,
 * and so on.
 */
export function* systemRaises(
  instructions: readonly Piece[],
  others: readonly Piece[],
): Generator<Raise, undefined> {
  const pieces = [...instructions, ...others];
  const longest = Math.max(0, ...pieces.map(({ size }) => size));
  for (const piece of instructions) yield [piece, instructionSize];
  for (const piece of pieces) yield [piece, piece.leastSize];
  for (let size = 160; size < 2 * longest; size *= 2) for (const piece of pieces) yield [piece, size];
}

const isReply = ({ kind }: Piece): boolean => kind === "reply";
