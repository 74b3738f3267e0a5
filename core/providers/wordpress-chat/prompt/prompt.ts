/** Makes one text, which is all that the site takes, out of the messages of a chat. */

import { ApiError } from "../../../errors.ts";
import type { ChatMessage, ConversationSummary } from "../../../types.ts";
import { isSystem } from "../../../util/messages.ts";
import type { PromptLabels } from "../settings.ts";
import { createPiece, isSilent, type Piece, readPiece, separator, tellPiece } from "./piece.ts";
import { grant, historyRaises, type Raise, systemRaises, wholeTurns } from "./room.ts";
import { countCodePoints, shorten } from "./shorten.ts";

export interface PromptOptions {
  /** The most characters (code points, as PHP's mb_strlen counts) that the site takes. */
  readonly maxChars: number;
  /** What the site takes beyond them, which is used for what stands before the prompt. */
  readonly leadChars?: number;
  readonly labels: PromptLabels;
  /** What becomes of a history that does not fit: replies are shortened first, or whole turns are dropped. */
  readonly overflow: "shorten" | "drop";
  /** What becomes of a newest message of the user that is too long by itself. */
  readonly longInput: "refuse" | "shorten";
  /** What is known of the oldest messages from an earlier turn; told where not all fits. */
  readonly summary?: ConversationSummary | undefined;
}

export interface Prompt {
  readonly text: string;
  /** Messages of which nothing is told. */
  readonly droppedMessages: number;
  /** Messages that are told in part. */
  readonly shortenedMessages: number;
  /** Characters of system texts, of older messages and of the newest one, as they are told. */
  readonly sizes: { readonly system: number; readonly history: number; readonly newest: number };
}

/**
 * Where all fits, all is told: leading system texts, then the other messages in order, each on a line of its own with
 * its label. Otherwise history is shortened as `historyRaises` has it, and system texts to half of the room at most. The
 * newest message is told as it is.
 *
 * Throws ApiError invalid_request where no message has any text, and context_length_exceeded.
 */
export function buildPrompt(messages: readonly ChatMessage[], options: PromptOptions): Prompt {
  const { maxChars, labels, overflow, summary } = options;
  const system = systemPieces(messages, labels);
  const lastAt = messages.findLastIndex((message) => !isSystem(message) && !isSilent(message));
  if (lastAt < 0 && system.length === 0)
    throw new ApiError("invalid_request", "No message has any text.", { param: "messages" });
  const newest = protectedPiece(messages, lastAt, system, options);
  const historyEnd = newest?.index ?? lastAt + 1;
  // The first piece has no separator before it.
  const room = maxChars + separator.length - (newest?.share ?? 0);

  const isNewestWhole = newest === undefined || newest.share === newest.size;
  const all = [...system, ...readWithin(readTurns(messages, 0, historyEnd, labels), room - sizeOf(system))];
  if (isNewestWhole && sizeOf(all) <= room) {
    for (const piece of all) piece.share = piece.size;
    return tell(messages, { newest, system, history: all.slice(system.length) }, options);
  }

  const hasHistory = all.length > system.length;
  const half = hasHistory && overflow === "shorten" ? Math.floor(maxChars / 2) : room;
  // Kept free whether or not system texts can use all of it, so that more room never tells less of the history.
  const systemRoom = Math.min(sizeOf(system), half, room);
  grant(raisesOf(system, lastAt), systemRoom);
  const historyRoom = room - systemRoom;

  const history: Piece[] = [];
  const readFrom = function* (start: number, end: number) {
    for (const turn of readTurns(messages, start, end, labels)) {
      history.push(...turn);
      yield turn;
    }
  };
  if (overflow === "drop") {
    grant(wholeTurns(readFrom(0, historyEnd), historyRoom), historyRoom);
    return tell(messages, { newest, system, history }, options);
  }
  const recentFrom = summary === undefined ? 0 : indexOfRecent(messages, summary.recentMessages);
  const summaryPiece = summary && summarized(messages, summary.text, labels);
  const raises = function* () {
    if (summaryPiece !== undefined) yield [summaryPiece, summaryPiece.size] as const;
    yield* historyRaises(readFrom(recentFrom, historyEnd), historyEnd > lastAt ? "continued" : "answered");
    yield* historyRaises(readFrom(0, Math.min(recentFrom, historyEnd)), "none");
  };
  grant(raises(), historyRoom);
  return tell(messages, { newest, system, history, summary: summaryPiece }, options);
}

/** A text that does not fit by itself. */
export interface LongText {
  /** The message's index. */
  readonly index: number;
  /** How many characters are for it. */
  readonly size: number;
  /** Whether it is the newest message; else it is a system text. */
  readonly isNewest: boolean;
}

/**
 * The newest message where it is too long by itself, and the system texts that do not fit into half of the room while
 * not all fits. The same system texts get the same room in every turn of a chat.
 */
export function longTexts(
  messages: readonly ChatMessage[],
  { maxChars, labels }: Pick<PromptOptions, "maxChars" | "labels">,
): LongText[] {
  const half = Math.floor(maxChars / 2);
  const system = systemPieces(messages, labels);
  const lastAt = messages.findLastIndex((message) => !isSystem(message) && !isSilent(message));
  const last = messages[lastAt];
  const newest = last && readPiece(last, lastAt, labels);
  const isNewestLong = newest?.kind === "question" && countCodePoints(newest.text) > maxChars;
  const others = readWithin(readTurns(messages, 0, lastAt + 1, labels), maxChars);
  if (!isNewestLong && sizeOf(system) + sizeOf(others) - separator.length <= maxChars) return [];

  grant(raisesOf(system, lastAt), half);
  const long = system.filter(({ size, share }) => share > 0 && share < size);
  return [
    ...(isNewestLong ? [{ index: newest.index, size: half - overheadOf(newest), isNewest: true }] : []),
    ...long.map((piece) => ({ index: piece.index, size: piece.share - overheadOf(piece), isNewest: false })),
  ];
}

const overheadOf = ({ label }: Piece): number => separator.length + countCodePoints(label);

/** The most messages with text that a prompt can tell of: each takes a line, its label and a character at least. */
export function maxMessages({ maxChars, labels }: Pick<PromptOptions, "maxChars" | "labels">): number {
  const shortestLabel = Math.min(...Object.values(labels).map(countCodePoints));
  return Math.ceil(maxChars / (separator.length + shortestLabel + 1));
}

const sizeOf = (pieces: readonly Piece[]): number => pieces.reduce((sum, { size }) => sum + size, 0);

const shareOf = (pieces: readonly Piece[]): number => pieces.reduce((sum, { share }) => sum + share, 0);

function systemPieces(messages: readonly ChatMessage[], labels: PromptLabels): Piece[] {
  return messages.flatMap((message, index) =>
    isSystem(message) ? (readPiece(message, index, labels) ?? []) : [],
  );
}

/** How system texts are raised: those at the end are instructions for this very reply; then come those at the top. */
function raisesOf(system: readonly Piece[], lastAt: number): Generator<Raise, undefined> {
  const topEnd = system.findIndex(({ index }, place) => index !== place);
  const top = topEnd < 0 ? system : system.slice(0, topEnd);
  const later = system.slice(top.length).toReversed();
  const isInstruction = ({ index }: Piece) => index > lastAt;
  const others = later.filter((piece) => !isInstruction(piece));
  return systemRaises(later.filter(isInstruction), [...top, ...others]);
}

/**
 * The newest message, with the share that it gets: all of it, unless it is too long by itself. Undefined where there is
 * none, and for a reply that a system text after it asks to go on with: that is history.
 */
function protectedPiece(
  messages: readonly ChatMessage[],
  lastAt: number,
  system: readonly Piece[],
  { maxChars, leadChars, labels, longInput }: PromptOptions,
): Piece | undefined {
  const message = messages[lastAt];
  const newest = message && readPiece(message, lastAt, labels);
  if (message === undefined || newest === undefined) return undefined;
  const isContinued = message.role === "assistant" && system.some(({ index }) => index > lastAt);
  if (isContinued) return undefined;
  // A user's message that stands alone needs no label.
  const needed = newest.kind === "question" ? countCodePoints(newest.text) : newest.size - separator.length;
  if (needed <= maxChars) {
    newest.share = newest.size;
    return newest;
  }
  const room = maxChars + separator.length;
  const withSystem = room - Math.min(sizeOf(system), Math.floor(maxChars / 2));
  const share = [withSystem, room].find((size) => size >= newest.leastSize);
  if (share === undefined || (newest.kind === "question" && longInput === "refuse"))
    throw tooLong(needed, maxChars, leadChars);
  newest.share = share;
  return newest;
}

const tooLong = (chars: number, maxChars: number, leadChars = 0): ApiError =>
  new ApiError(
    "context_length_exceeded",
    `The message has ${chars} characters; the chat site takes ${maxChars} at most` +
      `${leadChars > 0 ? ` beside the ${leadChars} that tell of tools or JSON` : ""}. Send a shorter one, let the server ` +
      "shorten or condense it (setting LONG_INPUT), or use a model with more room (another upstream, MODEL_FALLBACKS).",
    { param: "messages", overflow: { chars, maxChars } },
  );

/** The turns from `end` back to `start`, the newest first: a user's message and all that answers it. */
function* readTurns(
  messages: readonly ChatMessage[],
  start: number,
  end: number,
  labels: PromptLabels,
): Generator<Piece[], undefined> {
  let turn: Piece[] = [];
  for (let index = end - 1; index >= start; index -= 1) {
    const message = messages[index];
    if (message === undefined || isSystem(message)) continue;
    const piece = readPiece(message, index, labels);
    if (piece === undefined) continue;
    turn.push(piece);
    if (piece.kind !== "question") continue;
    yield turn;
    turn = [];
  }
  if (turn.length > 0) yield turn;
}

/** Reads turns until they no longer fit; the one that doesn't is the last. */
function readWithin(turns: Iterable<readonly Piece[]>, room: number): Piece[] {
  const pieces: Piece[] = [];
  let left = room;
  for (const turn of turns) {
    pieces.push(...turn);
    left -= sizeOf(turn);
    if (left < 0) break;
  }
  return pieces;
}

/** The index of the oldest of the newest `count` messages, system texts apart. */
function indexOfRecent(messages: readonly ChatMessage[], count: number): number {
  let left = count;
  for (let index = messages.length - 1; index >= 0; index -= 1) {
    const message = messages[index];
    if (message !== undefined && !isSystem(message)) left -= 1;
    if (left < 0) return index + 1;
  }
  return 0;
}

/** A piece of what is known of older messages, to stand before them. */
function summarized(messages: readonly ChatMessage[], text: string, labels: PromptLabels): Piece {
  const firstAt = messages.findIndex((message) => !isSystem(message));
  const told = `Summary of what was said before: ${text}`;
  return createPiece("system", { index: firstAt - 0.5, label: labels.system, text: told });
}

interface Told {
  readonly newest: Piece | undefined;
  readonly system: readonly Piece[];
  /** Those that were read. */
  readonly history: readonly Piece[];
  readonly summary?: Piece | undefined;
}

function tell(
  messages: readonly ChatMessage[],
  { newest, system, history, summary }: Told,
  { maxChars, leadChars }: PromptOptions,
): Prompt {
  const told = [...system, ...history].filter(({ share }) => share > 0);
  const pieces = [...told, ...(summary?.share ? [summary] : []), ...(newest ? [newest] : [])];
  const isLone = pieces.length === 1 && newest?.kind === "question";
  const text = isLone
    ? shorten(newest.text, maxChars)
    : pieces
        .sort((a, b) => a.index - b.index)
        .map(tellPiece)
        .join(separator);
  if (text === "") throw tooLong(sizeOf(system) + sizeOf(history), maxChars, leadChars);
  const isShortened = ({ share, size }: Piece) => share < size;
  return {
    text,
    droppedMessages:
      system.length + countDropped(messages, history, newest) - told.filter(isSystemPiece).length,
    shortenedMessages: [...told, ...(newest ? [newest] : [])].filter(isShortened).length,
    sizes: {
      system: shareOf(system),
      history: shareOf(history) + (summary?.share ?? 0),
      newest: isLone ? countCodePoints(text) : (newest?.share ?? 0),
    },
  };
}

const isSystemPiece = ({ kind }: Piece): boolean => kind === "system";

/** Messages before the newest one of which nothing is told; those without text only where others went with them. */
function countDropped(
  messages: readonly ChatMessage[],
  history: readonly Piece[],
  newest: Piece | undefined,
): number {
  const told = history.filter(({ share }) => share > 0);
  const oldestTold = Math.min(newest?.index ?? messages.length, ...told.map(({ index }) => index));
  const between = history.filter(({ index, share }) => share === 0 && index > oldestTold).length;
  const older = messages.slice(0, oldestTold).filter((message) => !isSystem(message));
  return between + (older.every(isSilent) ? 0 : older.length);
}
