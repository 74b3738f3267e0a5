/** The arithmetic of docs/scale.md. Bytes are those of UTF-8. */

/** A conversation: how many turns it has, and how long its texts are. */
export interface Shape {
  readonly turns: number;
  readonly questionBytes: number;
  readonly answerBytes: number;
}

/** What a conversation's record has beside its texts: measured. */
export interface RecordOverhead {
  readonly fixedBytes: number;
  readonly turnBytes: number;
}

/** What a shared Redis sees. */
export interface Traffic {
  readonly reads: number;
  readonly writes: number;
  /** From Redis to the gateways, and back. */
  readonly readBytes: number;
  readonly writtenBytes: number;
  /** The records that are there in the end. */
  readonly storedBytes: number;
}

/** What Redis' protocol adds to the records: measured. */
export interface WireOverhead {
  readonly readBytes: number;
  readonly writtenBytes: number;
}

/** The bytes of a record after `turns` turns; by default after all of them. */
export const recordBytes = (overhead: RecordOverhead, shape: Shape, turns = shape.turns): number =>
  overhead.fixedBytes + turns * (overhead.turnBytes + shape.questionBytes + shape.answerBytes);

/** The overhead of a record, from what two conversations of the same texts have come to. */
export function recordOverhead(
  [few, fewBytes]: readonly [Shape, number],
  [many, manyBytes]: readonly [Shape, number],
): RecordOverhead {
  const textBytes = few.questionBytes + few.answerBytes;
  const turnBytes = (manyBytes - fewBytes) / (many.turns - few.turns) - textBytes;
  return { turnBytes, fixedBytes: fewBytes - few.turns * (turnBytes + textBytes) };
}

/**
 * Plays conversations turn by turn: each turn reads the record that the one before has left, and writes it with a turn
 * more. What is over `maxBytes`, SESSION_MAX_BYTES, loses its oldest turns.
 */
export function simulate(
  conversations: readonly Shape[],
  { record, wire }: { readonly record: RecordOverhead; readonly wire: WireOverhead },
  maxBytes = 262_144,
): Traffic {
  const traffic = { reads: 0, writes: 0, readBytes: 0, writtenBytes: 0, storedBytes: 0 };
  for (const shape of conversations) {
    let kept = 0;
    for (let turn = 0; turn < shape.turns; turn++) {
      traffic.reads++;
      traffic.readBytes += wire.readBytes + (kept === 0 ? 0 : recordBytes(record, shape, kept));
      kept++;
      while (kept > 1 && recordBytes(record, shape, kept) > maxBytes) kept--;
      traffic.writes++;
      traffic.writtenBytes += wire.writtenBytes + recordBytes(record, shape, kept);
    }
    traffic.storedBytes += recordBytes(record, shape, kept);
  }
  return traffic;
}

/** By how much two numbers differ, as a factor of 1 or more. */
export const factorOff = (expected: number, found: number): number =>
  Math.max(expected / found, found / expected);

/** How far `simulate` may be off from a run of three processes, in commands and in bytes. */
export const tolerance = 1.1;

export const secondsOfMonth = 30 * 24 * 3600;

/** The turns that one processor carries in a second. */
export const turnsASecond = (cpuMicrosOfTurn: number): number => 1_000_000 / cpuMicrosOfTurn;

/** The answers under way at a moment: how many begin in a second, times how long each takes. */
export const answersAtOnce = (turnsASecond: number, secondsOfAnswer: number): number =>
  turnsASecond * secondsOfAnswer;

/**
 * The records that are kept at a moment: those of the conversations that had a turn within the last `ttlSeconds`. Each
 * lives for that time after its last turn; its own length is not counted.
 */
export const keptAtOnce = (begunInMonth: number, ttlSeconds: number): number =>
  begunInMonth * Math.min(1, ttlSeconds / secondsOfMonth);

/** What a function is billed for while it waits: the hours of all answers, times its memory, shared by those that it serves at once. */
export const gigabyteHours = (
  turns: number,
  secondsOfAnswer: number,
  gigabytes: number,
  answersOfInstance = 1,
): number => (turns * secondsOfAnswer * gigabytes) / answersOfInstance / 3600;
