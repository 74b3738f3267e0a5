/**
 * Token counts as an estimate, by rules of thumb in one pass over the text. The libraries for it take 25 µs for a short
 * reply (tokenx) or megabytes of tables (real tokenizers); this takes about one, and a test holds it to real counts.
 */

const space = 0;
const letter = 1;
const digit = 2;
const punctuation = 3;
/** Letters of other alphabets, accents among them. */
const foreignLetter = 4;
/** Chinese, Japanese, Korean: about a token for each character, or a little less. */
const ideograph = 5;
/** Emoji and rarities: halves of surrogate pairs. */
const surrogate = 6;

const asciiKinds = new Uint8Array(128)
  .fill(punctuation)
  .fill(space, 0, 33)
  .fill(digit, 48, 58)
  .fill(letter, 65, 91)
  .fill(letter, 97, 123);

const kindOf = (code: number): number => {
  if (code < 128) return asciiKinds[code] as number;
  if (code >= 0xd800 && code <= 0xdfff) return surrogate;
  if ((code >= 0x2e80 && code <= 0xd7ff) || (code >= 0xf900 && code <= 0xfaff)) return ideograph;
  if ((code >= 0x2000 && code <= 0x2bff) || code >= 0xfb00) return punctuation;
  return foreignLetter;
};

/** About how many tokens a run of `length` characters of one kind has. */
const tokensOf = (kind: number, length: number): number => {
  switch (kind) {
    case space:
      // A single blank belongs to the word after it.
      return length > 1 ? 1 : 0;
    case letter:
      return length < 10 ? 1 : length / 5;
    case digit:
      return Math.ceil(length / 3);
    case punctuation:
      return length < 4 ? 1 : length / 3;
    case foreignLetter:
      return length < 4 ? 1 : length / 3.5;
    case ideograph:
      return length * 0.75;
    default:
      return length;
  }
};

/** Where the run of characters of one kind ends that begins at `start`. */
const endOfRun = (text: string, start: number, kind: number): number => {
  let end = start + 1;
  while (end < text.length && kindOf(text.charCodeAt(end)) === kind) end++;
  return end;
};

/** Counts until more than `limit`; tells where the text ended or the limit was reached. */
const scan = (text: string, limit: number): { readonly count: number; readonly end: number } => {
  let count = 0;
  let countedEnd = 0;
  for (let start = 0; start < text.length; ) {
    const kind = kindOf(text.charCodeAt(start));
    const end = endOfRun(text, start, kind);
    const tokens = tokensOf(kind, end - start);
    if (count + tokens > limit) {
      const share = (limit - count) / tokens;
      return { count: limit, end: share === 0 ? countedEnd : start + Math.ceil((end - start) * share) };
    }
    if (tokens > 0) countedEnd = end;
    count += tokens;
    start = end;
  }
  return { count, end: text.length };
};

/** About how many tokens a text has: some percent off, but cheap, and for any model. */
export const estimateTokens = (text: string): number => Math.ceil(scan(text, Number.POSITIVE_INFINITY).count);

/** About where the first `maxTokens` tokens of a text end; its length if it has no more. */
export const endOfTokens = (text: string, maxTokens: number): number => scan(text, maxTokens).end;
