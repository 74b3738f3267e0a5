/**
 * Token counts as an estimate, by rules of thumb in one pass over the text. The libraries for it take 25 µs for a short
 * reply (tokenx) or megabytes of tables (real tokenizers); this takes about one, and a test holds it to real counts.
 */

const space = 0;
/** Latin ones, those with accents among them. */
const letter = 1;
const digit = 2;
const punctuation = 3;
/** Arabic and Indian ones, and all rarities. */
const otherLetter = 4;
/** Chinese, Japanese, Korean: about a token for each character, or a little less. */
const ideograph = 5;
/** Emoji and rarities: halves of surrogate pairs. */
const surrogate = 6;
const cyrillic = 7;
/** Greek, Hebrew, Thai: alphabets of which tokenizers have seen little. */
const rareLetter = 8;

/** The kind of every UTF-16 unit. */
const kinds = new Uint8Array(0x10000)
  .fill(otherLetter)
  .fill(punctuation, 0, 0xc0)
  .fill(space, 0, 33)
  .fill(digit, 48, 58)
  .fill(letter, 65, 91)
  .fill(letter, 97, 123)
  .fill(letter, 0xc0, 0x300)
  .fill(rareLetter, 0x370, 0x400)
  .fill(cyrillic, 0x400, 0x530)
  .fill(rareLetter, 0x590, 0x600)
  .fill(rareLetter, 0xe00, 0xe80)
  .fill(letter, 0x1e00, 0x1f00)
  .fill(rareLetter, 0x1f00, 0x2000)
  .fill(punctuation, 0x2000, 0x2c00)
  .fill(ideograph, 0x2e80, 0xd800)
  .fill(surrogate, 0xd800, 0xe000)
  .fill(ideograph, 0xf900, 0xfb00)
  .fill(punctuation, 0xfb00);

/** Blank beyond the end: a look outside of a text makes engines give up what they know of it. */
const kindAt = (text: string, at: number): number =>
  at < text.length ? (kinds[text.charCodeAt(at)] as number) : space;

const isUpper = (code: number): boolean => code >= 65 && code <= 90;

/** Short words are whole in a tokenizer's vocabulary. */
const piece = (length: number): number => (length < 9 ? 1 : length / 6);

/** What a letter beyond ASCII adds to its word: those of Western Europe are the most usual, then Vietnamese ones. */
const accentTokens = (code: number): number => (code < 0x100 ? 0.6 : code < 0x300 ? 1 : 0.25);

/** A word of Latin letters: `camelCase` is two, and accents break words up. */
function wordTokens(text: string, start: number, end: number): number {
  let tokens = 0;
  let accents = 0;
  let pieceStart = start;
  for (let at = start; at < end; at++) {
    const code = text.charCodeAt(at);
    if (code >= 0xc0) accents += accentTokens(code);
    else if (at > pieceStart && isUpper(code) && !isUpper(text.charCodeAt(at - 1))) {
      tokens += piece(at - pieceStart);
      pieceStart = at;
    }
  }
  return tokens + piece(end - pieceStart) + accents;
}

const newline = 10;

/** Blanks: one belongs to what comes after it, if that is no number; line breaks belong to punctuation before them. */
function spaceTokens(text: string, start: number, end: number): number {
  let indent = end - start;
  let hasBreak = false;
  for (let at = end - 1; at >= start; at--) {
    if (text.charCodeAt(at) !== newline) continue;
    hasBreak = true;
    indent = end - 1 - at;
    break;
  }
  const ownBreak = hasBreak && start > 0 && kindAt(text, start - 1) !== punctuation ? 1 : 0;
  const isKept = indent > 1 || (indent === 1 && kindAt(text, end) === digit);
  return ownBreak + (isKept ? 1 : 0);
}

/** A lone character between letters is often part of the word after it: `.name`, `_id`, `/path`. */
function punctuationTokens(text: string, start: number, end: number): number {
  const length = end - start;
  if (length > 1) return length < 4 ? 1 : length / 3;
  const isBetween = start > 0 && kindAt(text, start - 1) !== space && kindAt(text, end) === letter;
  return isBetween ? 0.6 : 1;
}

/** About how many tokens a run of characters of one kind has. */
function tokensOf(kind: number, text: string, start: number, end: number): number {
  const length = end - start;
  switch (kind) {
    case space:
      return spaceTokens(text, start, end);
    case letter:
      return wordTokens(text, start, end);
    case digit:
      return Math.ceil(length / 3);
    case punctuation:
      return punctuationTokens(text, start, end);
    case cyrillic:
      return length < 4 ? 1 : length / 3.1;
    case otherLetter:
      return length < 4 ? 1 : length / 3;
    case rareLetter:
      return length < 3 ? 1 : length / 2.4;
    case ideograph:
      return length * 0.8;
    default:
      return length;
  }
}

/** Where the run of characters of one kind ends that begins at `start`. */
const endOfRun = (text: string, start: number, kind: number): number => {
  let end = start + 1;
  while (end < text.length && kindAt(text, end) === kind) end++;
  return end;
};

/** Counts until more than `limit`; tells where the text ended or the limit was reached. */
const scan = (text: string, limit: number): { readonly count: number; readonly end: number } => {
  let count = 0;
  let countedEnd = 0;
  for (let start = 0; start < text.length; ) {
    const kind = kindAt(text, start);
    const end = endOfRun(text, start, kind);
    const tokens = tokensOf(kind, text, start, end);
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
