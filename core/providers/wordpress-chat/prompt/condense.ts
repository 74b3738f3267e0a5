/** Long texts in few words: the model itself condenses them, piece by piece. Sizes are code points. */
import { countCodePoints, shorten } from "./shorten.ts";

export interface CondenseOptions {
  /** The most characters that a text sent to the model may have. */
  readonly maxChars: number;
  /** Asks the model; resolves to its reply. */
  readonly ask: (text: string) => Promise<string>;
  /** A slot for one more call beside those that run, if there is one now; absent means that there always is. */
  readonly extraSlot?: (() => { release(): void } | undefined) | undefined;
}

export interface Condensed {
  readonly text: string;
  readonly calls: number;
}

/** The request that stands before a piece. Short, since its length is taken from the piece. */
const instruction = (chars: number): string =>
  `Condense to at most ${chars} characters. Keep names, numbers, quotes, code, questions. Reply with that alone.\n\n`;

/** A round that leaves more than this of the text is the last one: the model does not do what it is asked. */
const worthwhile = 0.9;

/** Pieces shorter than this would cost more in requests than they carry. */
const leastPiece = 100;

/** Where a text may be cut, the best places first. */
const breaks = [/\n\s*\n/g, /\n/g, /[.!?。！？]\s/g, /\s/g];

/** How much of a piece may be given up for a better place to cut, the most first. */
const slacks = [0.3, 0.1, 0.02];

/** A text in pieces that can be condensed by one call each; undefined where that takes more than `maxCalls`. */
export function cutForCondensing(text: string, maxChars: number, maxCalls: number): string[] | undefined {
  const pieceChars = maxChars - countCodePoints(instruction(maxChars));
  if (pieceChars < leastPiece) return undefined;
  for (const slack of slacks) {
    const pieces = cutAtBreaks(text, pieceChars, slack, maxCalls);
    if (pieces !== undefined) return pieces;
  }
  return undefined;
}

/**
 * Puts a text in at most `targetChars` characters, by `maxCalls` calls at most; what is then still too long is shortened.
 * `pieces` is the text as `cutForCondensing` has cut it. Rejects as soon as a call does.
 */
export async function condense(
  pieces: readonly string[],
  targetChars: number,
  maxCalls: number,
  options: CondenseOptions,
): Promise<Condensed> {
  let calls = 0;
  let next: readonly string[] | undefined = pieces;
  let text = pieces.join("");
  while (next !== undefined && calls + next.length <= maxCalls) {
    calls += next.length;
    const share = Math.floor((targetChars + 1) / next.length) - 1;
    const parts = await askAll(
      next.map((piece) => instruction(share) + piece),
      options,
    );
    const joined = parts.join("\n");
    const isShorter = countCodePoints(joined) < countCodePoints(text) * worthwhile;
    text = joined;
    if (countCodePoints(text) <= targetChars || !isShorter) break;
    next = cutForCondensing(text, options.maxChars, maxCalls - calls);
  }
  return { text: shorten(text, targetChars), calls };
}

/** One call after the other, and more at once while there are slots for them. */
async function askAll(texts: readonly string[], { ask, extraSlot }: CondenseOptions): Promise<string[]> {
  const replies: string[] = [];
  let nextIndex = 0;
  const work = async () => {
    try {
      while (nextIndex < texts.length) {
        const index = nextIndex++;
        const reply = (await ask(texts[index] as string)).trim();
        if (reply === "") throw new Error("The reply is empty.");
        replies[index] = reply;
      }
    } catch (error) {
      // Nobody begins another piece.
      nextIndex = texts.length;
      throw error;
    }
  };
  const workInSlot = async (slot: { release(): void }) => {
    try {
      await work();
    } finally {
      slot.release();
    }
  };
  const workers = [work()];
  while (workers.length < texts.length) {
    const slot = extraSlot ? extraSlot() : { release() {} };
    if (slot === undefined) break;
    workers.push(workInSlot(slot));
  }
  // All have ended before one's failure is told: none of the request's calls outlives it.
  const outcomes = await Promise.allSettled(workers);
  for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
  return replies;
}

function cutAtBreaks(
  text: string,
  pieceChars: number,
  slack: number,
  maxPieces: number,
): string[] | undefined {
  const pieces: string[] = [];
  let rest = text;
  while (rest !== "") {
    if (pieces.length === maxPieces) return undefined;
    const end = endOfPiece(rest, pieceChars, slack);
    pieces.push(rest.slice(0, end));
    rest = rest.slice(end);
  }
  return pieces;
}

/** Where the first piece ends: at the best break near the end of what one call takes. */
function endOfPiece(text: string, pieceChars: number, slack: number): number {
  const longest =
    text.length <= pieceChars
      ? text.length
      : [...text.slice(0, 2 * pieceChars)].slice(0, pieceChars).join("").length;
  if (longest === text.length) return longest;
  const earliest = Math.floor(longest * (1 - slack));
  const window = text.slice(earliest, longest);
  for (const pattern of breaks) {
    const found = [...window.matchAll(pattern)].at(-1);
    if (found !== undefined) return earliest + found.index + found[0].length;
  }
  return longest;
}
