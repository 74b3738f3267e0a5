/**
 * Finds the nonce that the chat page hands to its own script:
 * `<script>var kimi_ajax = {"ajax_url":"…","nonce":"f3749c0f5f"};</script>`.
 *
 * Optimisers of WordPress sites rewrite that line in many ways, so the page is read as a browser reads it (tags and
 * comments, then JavaScript's tokens) instead of being matched against a pattern. Each character is looked at a
 * fixed number of times, whatever the page says. A JavaScript parser from npm would be larger than this gateway.
 */

import { pageScripts, scriptEnd } from "./page-scripts.ts";
import { decodeString, type Token, tokenReader } from "./script-tokens.ts";

/** The nonce, or in a few words why there is none. */
export type PageScan = { readonly nonce: string } | { readonly problem: string };

/** What the scripts of a page have said so far. */
interface Findings {
  isDeclared: boolean;
  /** The last usable one: later assignments win, but none makes a nonce unknown again. */
  nonce: string | undefined;
}

/** WordPress's own nonces are ten hex digits. */
const usableNonce = /^[\w-]{1,64}$/;
const longestBrokenScript = 65_536;

/** Looks for the nonce in the HTML of the chat page. */
export function scanPage(html: string): PageScan {
  const findings: Findings = { isDeclared: false, nonce: undefined };
  let secondLooks = 8;
  for (const { source, start, end } of pageScripts(html)) {
    let isCut = scanScript(source.slice(start, end), findings);
    // "</script>" ends a script even within a string, and so breaks it; the nonce beside that string is still good.
    for (let later = end; isCut && later - start < longestBrokenScript && secondLooks > 0; secondLooks -= 1) {
      later = scriptEnd(source, later + 1);
      isCut = scanScript(source.slice(start, later), findings);
    }
  }
  if (findings.nonce !== undefined) return { nonce: findings.nonce };
  return { problem: findings.isDeclared ? "kimi_ajax has no usable nonce" : "no kimi_ajax in the page" };
}

/** The object that is assigned to the variable, while it is read. */
interface Literal {
  /** The first tokens since its last comma. */
  property: Token[];
  nonce: string | undefined;
}

const globalObject = /^(?:window|self|globalThis|top)\./;
const merge = /^(?:Object\.assign|(?:jQuery|\$|_)\.extend)$/;
const assignment = /^(?:\|\||\?\?)?=$/;

/** Reads a script's assignments; true if it ends within a string of what may be the variable's value. */
function scanScript(code: string, findings: Findings): boolean {
  if (!code.includes("kimi_ajax")) return false;
  const nextToken = tokenReader(code);
  /** For each open brace the literal that it opened, if it is the variable's. */
  const literals: (Literal | undefined)[] = [];
  /** The member expression just read, such as `window.kimi_ajax`, and the one before the last `(` or `[`. */
  let path = "";
  let pathBefore = "";
  let subscript: string | undefined;
  /** What is assigned to, while only such tokens have come since as may precede the value. */
  let target: "variable" | "nonce" | undefined;
  /** Open braces where the arguments stand whose properties are merged into the variable's value. */
  let mergeDepth: number | undefined;
  let previous: Token | undefined;

  const setNonce = (nonce: string | undefined): void => {
    if (nonce !== undefined && usableNonce.test(nonce)) findings.nonce = nonce;
  };

  for (let token = nextToken(); token !== undefined; previous = token, token = nextToken()) {
    const { kind, text } = token;
    const literal = literals.at(-1);
    if (literal !== undefined) readProperty(literal, token);

    if (kind === "word") {
      if (previous?.text !== ".") path = text;
      else path = path.length < 100 ? `${path}.${text}` : "";
      if (previous?.kind === "word") target = undefined;
    } else if (kind === "string") {
      subscript = previous?.text === "[" ? decodeString(text) : undefined;
      if (target === "nonce" && previous?.kind === "operator") setNonce(decodeString(text));
      if (target === "variable" && previous?.text === "(" && pathBefore === "JSON.parse") {
        scanScript(`kimi_ajax=${decodeString(text)}`, findings);
      }
      target = undefined;
    } else if (kind === "operator") {
      if (assignment.test(text)) {
        const name = path.replace(globalObject, "");
        if (name === "kimi_ajax") target = "variable";
        if (name === "kimi_ajax.nonce") target = "nonce";
        if (target !== undefined) findings.isDeclared = true;
      } else if (text !== "||" && text !== "??") {
        target = undefined;
      }
      path = "";
    } else if (text === "{") {
      literals.push(target === "variable" ? { property: [], nonce: undefined } : undefined);
      target = undefined;
      path = "";
    } else if (text === "(") {
      mergeDepth = target === "variable" && merge.test(path) ? literals.length : undefined;
      pathBefore = path;
      path = "";
    } else if (text === "[") {
      pathBefore = path;
      target = undefined;
    } else if (text === "]") {
      path = previous?.kind === "string" && subscript !== undefined ? `${pathBefore}.${subscript}` : "";
      target = undefined;
    } else if (text !== ".") {
      if (text === "}") setNonce(literals.pop()?.nonce);
      if (kind === "cut") return target !== undefined || literals.some((open) => open !== undefined);
      if (text === ")") mergeDepth = undefined;
      path = "";
      target = text === "," && mergeDepth === literals.length ? "variable" : undefined;
    }
  }
  return false;
}

/** Takes in one token of a literal's own level; those of an object within it are not, but for its braces. */
function readProperty(literal: Literal, token: Token): void {
  if (token.text !== "," && token.text !== "}") {
    if (literal.property.length < 4) literal.property.push(token);
    return;
  }
  const [key, colon, value, more] = literal.property;
  if (key !== undefined && decodeString(key.text) === "nonce" && colon?.text === ":" && more === undefined) {
    if (value?.kind === "string") literal.nonce = decodeString(value.text);
  }
  literal.property = [];
}
