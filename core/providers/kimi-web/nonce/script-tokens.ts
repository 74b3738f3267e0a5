/**
 * JavaScript's tokens, as far as it takes to tell code from strings, comments, templates and regular expressions.
 * Code that is no JavaScript gives some tokens or other, in time that grows with its length alone.
 */

export interface Token {
  /**
   * "string" also for templates without `${…}`; "operand" for what else ends an operand: a regular expression or a
   * template; "cut" for a string that the code ends in.
   */
  readonly kind: "word" | "string" | "operand" | "operator" | "punctuator" | "cut";
  /** As written, without a string's quotes. */
  readonly text: string;
}

const blanks = /\s+/y;
/** Names, keywords and numbers. */
const word = /[\p{ID_Continue}$]+/uy;
/** Signs in a row, and whatever else is no part of JavaScript. */
const operator = /[^\s\p{ID_Continue}$"'`{}()[\],;:./]+/uy;
const punctuators = new Map<string, Token>(
  [..."{}()[],;:."].map((text) => [text, { kind: "punctuator", text }]),
);
const lineEnd = /[\n\r\u2028\u2029]/g;
/** After these words a slash begins a regular expression; after others it divides. */
const wordBeforeOperand =
  /^(?:return|typeof|case|in|of|delete|void|throw|new|else|do|instanceof|yield|await)$/;
/** Behind the parentheses after these words stands a statement, and so a slash begins a regular expression too. */
const wordBeforeCondition = /^(?:if|while|for|with)$/;
/** Real code stays far below; only nonsense comes near. */
const deepestNesting = 1000;

/** A function that gives the next token each time it is called, then undefined. */
export function tokenReader(code: string): () => Token | undefined {
  let at = 0;
  let previous: Token | undefined;
  /** For each open brace whether it is the one of `${` in a template. */
  const braces: boolean[] = [];
  /** For each open parenthesis whether it is the one of `if (`, `while (` and the like. */
  const parentheses: boolean[] = [];
  let isBehindCondition = false;

  const match = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    return pattern.exec(code)?.[0];
  };
  const find = (pattern: RegExp): number => {
    pattern.lastIndex = at;
    return pattern.exec(code)?.index ?? code.length;
  };

  const skipBlanksAndComments = (): void => {
    while (at < code.length) {
      const character = code.charAt(at);
      if (character <= " " || character > "~") {
        const blank = match(blanks);
        if (blank === undefined) return;
        at += blank.length;
      } else if (code.startsWith("/*", at)) {
        const end = code.indexOf("*/", at + 2);
        at = end === -1 ? code.length : end + 2;
      } else if (code.startsWith("//", at) || code.startsWith("<!--", at)) {
        at = find(lineEnd);
      } else {
        return;
      }
    }
  };

  const quoted = (quote: string): Token => {
    const start = at + 1;
    for (at = start; at < code.length; at += 1) {
      const character = code.charAt(at);
      if (character === "\\") at += 1;
      else if (character === quote) return { kind: "string", text: code.slice(start, at++) };
      else if (character === "\n" || character === "\r") return { kind: "operand", text: "" };
    }
    return { kind: "cut", text: "" };
  };

  /** Reads a template from its beginning, or on from behind a `${…}`. */
  const template = (isBeginning: boolean): Token => {
    const start = at + 1;
    for (at = start; at < code.length; at += 1) {
      const character = code.charAt(at);
      if (character === "\\") at += 1;
      else if (character === "`") {
        return { kind: isBeginning ? "string" : "operand", text: code.slice(start, at++) };
      } else if (character === "$" && code.charAt(at + 1) === "{") {
        at += "${".length;
        braces.push(true);
        return { kind: "operator", text: "${" };
      }
    }
    return { kind: "cut", text: "" };
  };

  const regularExpression = (): Token => {
    let isInClass = false;
    for (at += 1; at < code.length; at += 1) {
      const character = code.charAt(at);
      if (character === "\\") at += 1;
      else if (character === "[") isInClass = true;
      else if (character === "]") isInClass = false;
      else if (character === "\n" || character === "\r") break;
      else if (character === "/" && !isInClass) {
        at += 1;
        break;
      }
    }
    return { kind: "operand", text: "" };
  };

  const isOperandNext = (): boolean => {
    if (previous?.kind === "word") return wordBeforeOperand.test(previous.text);
    if (previous?.kind === "punctuator") {
      return previous.text === ")" ? isBehindCondition : previous.text !== "]";
    }
    return previous === undefined || previous.kind === "operator";
  };

  const read = (): Token | undefined => {
    skipBlanksAndComments();
    if (at >= code.length || Math.max(braces.length, parentheses.length) > deepestNesting) return undefined;
    const character = code.charAt(at);
    if (character === '"' || character === "'") return quoted(character);
    if (character === "`") return template(true);
    if (character === "/" && isOperandNext()) return regularExpression();
    if (character === "{") braces.push(false);
    if (character === "(")
      parentheses.push(previous?.kind === "word" && wordBeforeCondition.test(previous.text));
    if (character === ")") isBehindCondition = parentheses.pop() === true;
    if (character === "}" && braces.pop()) return template(false);
    const punctuator = punctuators.get(character);
    if (punctuator !== undefined) {
      at += 1;
      return punctuator;
    }
    const name = match(word);
    const text = name ?? match(operator) ?? character;
    at += text.length;
    return { kind: name === undefined ? "operator" : "word", text };
  };

  return () => {
    previous = read();
    return previous;
  };
}

const escapes: Readonly<Record<string, string>> = {
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  0: "\0",
};

/** What a string token says. */
export function decodeString(text: string): string {
  if (!text.includes("\\")) return text;
  return text.replace(
    /\\(?:u\{([0-9a-f]{1,6})\}|u([0-9a-f]{4})|x([0-9a-f]{2})|\r\n|([\s\S]))/gi,
    (_, long, short, byte, character = "") => {
      const hex = long ?? short ?? byte;
      if (hex === undefined) return escapes[character] ?? character.replace(/[\n\r\u2028\u2029]/, "");
      const codePoint = Number.parseInt(hex, 16);
      return codePoint > 0x10ffff ? "" : String.fromCodePoint(codePoint);
    },
  );
}
