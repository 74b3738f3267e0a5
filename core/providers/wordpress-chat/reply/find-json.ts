import { isRecord, tryParseJson } from "../../../util/json.ts";

type JsonObject = Readonly<Record<string, unknown>>;

/** More beginnings than these are not tried, which keeps the search linear. */
const maxCandidates = 8;

const parseObject = (text: string): JsonObject | undefined => {
  const value = tryParseJson(text);
  return isRecord(value) ? value : undefined;
};

/**
 * The first JSON object with one of `keys` in a text that may have anything before and after it: PHP prints its warnings
 * before an answer, and WordPress a "0" behind it.
 */
export function findJson(text: string, keys: readonly string[]): JsonObject | undefined {
  const hasKey = (object: JsonObject) => keys.some((key) => Object.hasOwn(object, key));
  // Nearly every answer is such an object and nothing else.
  const whole = text.startsWith("{") ? parseObject(text) : undefined;
  if (whole !== undefined && hasKey(whole)) return whole;
  const begin = /\{\s*"/g;
  for (let candidate = 0; candidate < maxCandidates; candidate++) {
    const match = begin.exec(text);
    if (match === null) return undefined;
    const end = objectEnd(text, match.index);
    if (end === undefined) continue;
    const object = parseObject(text.slice(match.index, end));
    if (object !== undefined && hasKey(object)) return object;
    if (object !== undefined) begin.lastIndex = end;
  }
  return undefined;
}

/** The JSON object whose brace stands at `start`, whatever follows it. */
export function jsonObjectAt(text: string, start: number): JsonObject | undefined {
  const end = objectEnd(text, start);
  return end === undefined ? undefined : parseObject(text.slice(start, end));
}

/** Where the object that begins at `start` ends: behind the brace that closes it, strings left aside. */
function objectEnd(text: string, start: number): number | undefined {
  const mark = /["{}]/g;
  mark.lastIndex = start;
  let depth = 0;
  for (let match = mark.exec(text); match !== null; match = mark.exec(text)) {
    if (match[0] === '"') {
      const end = stringEnd(text, match.index + 1);
      if (end === undefined) return undefined;
      mark.lastIndex = end;
    } else {
      depth += match[0] === "{" ? 1 : -1;
      if (depth === 0) return match.index + 1;
    }
  }
  return undefined;
}

/** Behind the quote that ends the string whose text begins at `start`. */
function stringEnd(text: string, start: number): number | undefined {
  for (let quote = text.indexOf('"', start); quote !== -1; quote = text.indexOf('"', quote + 1)) {
    let escapes = 0;
    while (text.charCodeAt(quote - 1 - escapes) === 0x5c) escapes++;
    if (escapes % 2 === 0) return quote + 1;
  }
  return undefined;
}
