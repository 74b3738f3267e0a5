/** JSON as models write it: where it ends in a text, and what it means in spite of its faults. */
import { jsonrepair } from "jsonrepair";
import { isDeeperThan, tryParseJson } from "../../../util/json.ts";

export interface JsonSpan {
  /** Behind its last character. */
  readonly end: number;
  /** What is still open where the text ends; "nothing" for a value that is all there. */
  readonly open: "nothing" | "brackets" | "string";
}

/** Deeper values are taken for faults: to walk them would overflow the stack. */
const maxDepth = 100;

/** What ends a string, by what begins it. */
const quoteEnds: Readonly<Record<string, string>> = { '"': '"', "“": '”“"', "”": '”"', "'": "'", "‘": "’" };

/**
 * Where the value ends whose bracket is at `start`: by its brackets, strings left aside, whatever tags or fences are in
 * them. `onString` gets the place of each string, quotes included.
 */
export function spanOfJson(
  text: string,
  start: number,
  onString: (start: number, end: number) => void = () => {},
): JsonSpan {
  let depth = 0;
  let before = "";
  for (let at = start; at < text.length; at += 1) {
    const character = text[at] as string;
    const closers = quoteEnds[character];
    if (closers !== undefined && (character === '"' || /[{[(,:=]/.test(before))) {
      const end = endOfString(text, at + 1, closers);
      if (end === undefined) return { end: text.length, open: "string" };
      onString(at, end);
      at = end - 1;
    } else if (/[{[(]/.test(character)) depth += 1;
    else if (/[}\])]/.test(character)) {
      depth -= 1;
      if (depth === 0) return { end: at + 1, open: "nothing" };
    }
    if (!/\s/.test(character)) before = character;
  }
  return { end: text.length, open: "brackets" };
}

/** Behind the quote that ends a string; an apostrophe only does where a string may end. */
function endOfString(text: string, start: number, closers: string): number | undefined {
  for (let at = start; at < text.length; at += 1) {
    const character = text[at] as string;
    if (character === "\\") at += 1;
    else if (closers.includes(character)) {
      if (!"'’".includes(character) || /^\s*[,:}\])=]|^\s*$/.test(text.slice(at + 1, at + 30))) return at + 1;
    }
  }
  return undefined;
}

/** `{...}` in an explanation, which a repair would take for an object without anything. */
const placeholder = /^[{[]\s*(?:\.{2,}|…)\s*[}\]]$/;

/** The object or list that a text means; undefined where it means none. */
export function readJson(text: string): unknown {
  if (isDeeperThan(maxDepth, text) || placeholder.test(text)) return undefined;
  const value = tryParseJson(text) ?? tryParseJson(repaired(withDoubleQuotes(text)));
  return typeof value === "object" && value !== null ? value : undefined;
}

/** Strings in single quotes may have apostrophes, which the repair takes for their ends. */
function withDoubleQuotes(text: string): string {
  let written = "";
  let last = 0;
  spanOfJson(text, 0, (start, end) => {
    if (!"'‘".includes(text[start] as string)) return;
    const inner = text.slice(start + 1, end - 1).replace(/\\(['’])/g, "$1");
    written += `${text.slice(last, start)}"${inner.replace(/(\\.)|"/gs, (_, escaped?: string) => escaped ?? '\\"')}"`;
    last = end;
  });
  return written + text.slice(last);
}

function repaired(text: string): string {
  try {
    return jsonrepair(text);
  } catch {
    return "";
  }
}

/** Strict JSON without the blanks between its tokens; its numbers stay as they are written. */
export const withoutBlanks = (json: string): string =>
  json.replace(/("(?:[^"\\]|\\.)*")|\s+/g, (_, string: string | undefined) => string ?? "");

/** An open value's text without the tags and fences that end the reply. */
export function withoutTagsAtEnd(text: string): string {
  let rest = text.trimEnd();
  for (;;) {
    const [tag] = /(?:[<＜][/|｜][^<>\n]{1,60}[>＞]|`{1,3})$/.exec(rest.slice(-70)) ?? [];
    if (tag === undefined) return rest;
    rest = rest.slice(0, -tag.length).trimEnd();
  }
}
