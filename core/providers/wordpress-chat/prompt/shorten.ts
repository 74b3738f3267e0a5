/** Texts shortened to their beginning and end. All counts are code points, as PHP's mb_strlen counts. */

/** How many code points a text has. */
export function countCodePoints(text: string): number {
  let count = text.length;
  for (let index = 1; index < text.length; index += 1) {
    if (isPairEnd(text, index)) count -= 1;
  }
  return count;
}

/** The fewest characters that a shortened text may have: the mark, and some words around it. */
export const leastShortened = 45;

const mark = (leftOut: number): string => ` [… ${leftOut} characters left out …] `;

/**
 * A text in at most `maxChars` characters: as it is where it fits, else its head and its tail with a mark between them
 * that says how much is missing. More room never keeps less of either. `maxChars` is at least `leastShortened`.
 */
export function shorten(text: string, maxChars: number): string {
  if (text.length <= maxChars) return text;
  const chars = countCodePoints(text);
  if (chars <= maxChars) return text;
  const kept = keptChars(chars, maxChars);
  const head = Math.ceil(kept * 0.6);
  return (
    text.slice(0, endOfHead(text, head)) + mark(chars - kept) + text.slice(startOfTail(text, kept - head))
  );
}

/** How many characters are kept of `chars`: the mark is the shorter the fewer digits its number has. */
function keptChars(chars: number, maxChars: number): number {
  for (let digits = 1; ; digits += 1) {
    const kept = Math.max(maxChars - mark(0).length + 1 - digits, 0);
    if (String(chars - kept).length <= digits) return kept;
  }
}

function endOfHead(text: string, chars: number): number {
  let end = 0;
  for (let count = 0; count < chars; count += 1) end += isPairEnd(text, end + 1) ? 2 : 1;
  return end;
}

function startOfTail(text: string, chars: number): number {
  let start = text.length;
  for (let count = 0; count < chars; count += 1) start -= isPairEnd(text, start - 1) ? 2 : 1;
  return start;
}

/** Whether the unit at `index` is the second half of a surrogate pair. */
function isPairEnd(text: string, index: number): boolean {
  return (text.charCodeAt(index) & 0xfc00) === 0xdc00 && (text.charCodeAt(index - 1) & 0xfc00) === 0xd800;
}
