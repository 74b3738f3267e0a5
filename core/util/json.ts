/** JSON that others have written. */

/** Whether a value is an object with fields: no list, and not null. */
export const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The value of a JSON text; undefined where it is no JSON. */
export function tryParseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** A text that is in JSON as it is: no quote, no backslash, no control character, no half of a surrogate pair. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: JSON has none in its strings
const plainText = /^[^"\\\u0000-\u001f\ud800-\udfff]*$/;

/** A text as JSON, between what stands before and after it. Most texts are the same in JSON, and then none is made. */
export const aroundText = (before: string, text: string, after: string): string =>
  plainText.test(text) ? `${before}"${text}"${after}` : `${before}${JSON.stringify(text)}${after}`;

/**
 * Whether JSON is nested more than `levels` deep. Counts brackets outside of strings, before the value is built: walking
 * a very deep one overflows the stack.
 */
export function isDeeperThan(levels: number, json: string): boolean {
  let depth = 0;
  for (let at = 0; at < json.length; at++) {
    switch (json.charCodeAt(at)) {
      case 0x22: // "
        do {
          at = json.indexOf('"', at + 1);
          if (at < 0) return false;
        } while (isEscaped(json, at));
        break;
      case 0x5b: // [
      case 0x7b: // {
        if (++depth > levels) return true;
        break;
      case 0x5d: // ]
      case 0x7d: // }
        depth--;
    }
  }
  return false;
}

/** Whether an odd number of backslashes stands before it. */
function isEscaped(json: string, at: number): boolean {
  let before = at;
  while (json.charCodeAt(before - 1) === 0x5c) before--;
  return (at - before) % 2 === 1;
}
