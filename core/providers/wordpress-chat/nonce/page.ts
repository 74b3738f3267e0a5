/**
 * Finds the nonce that the chat page hands to its own script, such as
 * `<script>var kimi_ajax = {"ajax_url":"…","nonce":"f3749c0f5f"};</script>`.
 *
 * WordPress prints the object as JSON. Optimisers delay that line, or move it into a `data:` URI, an attribute or a
 * file of its own, but leave the line itself as it is. So the line is looked for wherever it may stand. Other plug-ins
 * have the nonce in a JSON island, in an attribute, or in a literal of their script.
 */
import { tryParseJson } from "../../../util/json.ts";
import { type Place, placeOf, valueAt } from "../protocol/paths.ts";
import { jsonObjectAt } from "../reply/find-json.ts";

/** The nonce, or in a few words why there is none. */
export type PageScan = { readonly nonce: string } | { readonly problem: string };

/** Looks for the nonce in the HTML of the chat page, or in a script of it. */
export type PageScanner = (page: string) => PageScan;

export interface NoncePlace {
  /** A variable's name, the `#id` of a JSON island, or an `[attribute]`. */
  readonly in: string;
  /** Where it is in what is found there. */
  readonly path: string;
}

const scriptUri = /data:(?:text|application)\/javascript([^"'\s>,]{0,100}),([^"'\s>]+)/g;

/** WordPress's own nonces are ten hex digits. */
export const isUsableNonce = (nonce: string): boolean => /^[\w-]{1,64}$/.test(nonce);

/** A page has one or two declarations of some hundred characters; these bounds are for hostile ones. */
const maxDeclarations = 20;
const maxObjectChars = 100_000;

const usable = (value: unknown): string | undefined =>
  typeof value === "string" && isUsableNonce(value) ? value : undefined;

export function pageScanner({ in: where, path }: NoncePlace): PageScanner {
  const attribute = /^\[([^\]\s=]+)\]$/.exec(where)?.[1];
  if (attribute !== undefined) return attributeScanner(attribute, path);
  return where.startsWith("#") ? islandScanner(where.slice(1), path) : variableScanner(where, path);
}

const escaped = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");

/** What stands in a variable: an object, or the nonce itself. */
function variableScanner(name: string, path: string): PageScanner {
  const place = placeOf(path);
  const variable = `(?<![\\w$])${escaped(name)}`;
  const declaration = new RegExp(`${variable}\\s*=\\s*(?=\\{)`, "g");
  /** A text in place of an object, and what a script has as a part of something else: `security: 'f3749c0f5f'`. */
  const literal = new RegExp(`${variable}["']?\\]?\\s*[:=]\\s*(?:["']([\\w-]{1,64})["']|(?=\\{))`, "g");

  return (page) => {
    const text = page.replace(scriptUri, decodeScriptUri);
    // In an attribute, quotes are written as entities.
    for (const pattern of [declaration, literal]) {
      for (const view of [text, text.replaceAll("&quot;", '"')]) {
        const nonce = lastNonce(view, pattern, place);
        if (nonce !== undefined) return { nonce };
      }
    }
    const isDeclared = text.search(declaration) >= 0;
    return { problem: isDeclared ? `${name} has no usable ${path}` : `no ${name} in the page` };
  };
}

/** The usable nonce that is declared last, as a later declaration replaces an earlier one. */
function lastNonce(text: string, pattern: RegExp, place: Place): string | undefined {
  const declarations = [...text.matchAll(pattern)].slice(-maxDeclarations);
  for (const { 0: name, 1: value, index } of declarations.reverse()) {
    if (value !== undefined) return value;
    const start = index + name.length;
    const nonce = nonceIn(text.slice(start, start + maxObjectChars), place);
    if (nonce !== undefined) return nonce;
  }
  return undefined;
}

/** The nonce in an object at the beginning of a text: JSON, or a literal whose keys have no quotes or single ones. */
function nonceIn(text: string, place: Place): string | undefined {
  const nonce = usable(valueAt(jsonObjectAt(text, 0), place));
  if (nonce !== undefined || !/^\{\s*['\w$]/.test(text)) return nonce;
  const key = escaped(place.steps.at(-1) ?? "");
  const end = text.indexOf("}");
  return new RegExp(`[{,]\\s*'?${key}'?\\s*:\\s*["']([\\w-]{1,64})["']\\s*[,}]`).exec(
    text.slice(0, end < 0 ? undefined : end + 1),
  )?.[1];
}

/** What stands in `<script id="…" type="application/json">`. */
function islandScanner(id: string, path: string): PageScanner {
  const place = placeOf(path);
  const island = new RegExp(
    `\\sid\\s*=\\s*(?:"${escaped(id)}"|'${escaped(id)}'|${escaped(id)}(?=[\\s>]))[^<>]*>`,
    "g",
  );
  return (page) => {
    const islands = [...page.matchAll(island)].slice(-maxDeclarations);
    for (const { 0: tag, index } of islands.reverse()) {
      const start = index + tag.length;
      const end = page.indexOf("<", start);
      const text = page.slice(start, end < 0 ? undefined : end).trim();
      const nonce =
        usable(valueAt(tryParseJson(text) ?? tryParseJson(decodeEntities(text)), place)) ?? usable(text);
      if (nonce !== undefined) return { nonce };
    }
    return {
      problem:
        islands.length > 0 ? `#${id} has no usable ${path}` : `no element with the id ${id} in the page`,
    };
  };
}

/** What stands in an attribute: JSON, or the nonce itself. */
function attributeScanner(name: string, path: string): PageScanner {
  const place = placeOf(path);
  const attribute = new RegExp(`\\s${escaped(name)}\\s*=\\s*(?:"([^"]*)"|'([^']*)'|([^\\s"'>]+))`, "gi");
  return (page) => {
    const found = [...page.matchAll(attribute)].slice(-maxDeclarations);
    for (const [, double, single, bare] of found.reverse()) {
      const value = decodeEntities(double ?? single ?? bare ?? "").trim();
      const nonce = usable(valueAt(tryParseJson(value), place)) ?? usable(value);
      if (nonce !== undefined) return { nonce };
    }
    return {
      problem: found.length > 0 ? `${name} has no usable ${path}` : `no attribute ${name} in the page`,
    };
  };
}

const entities: Readonly<Record<string, string>> = { quot: '"', apos: "'", amp: "&", lt: "<", gt: ">" };

const decodeEntities = (text: string): string =>
  text.replace(/&(?:#(\d{1,6})|#x([0-9a-f]{1,5})|(quot|apos|amp|lt|gt));/gi, (_, decimal, hex, name) =>
    name === undefined
      ? String.fromCodePoint(decimal === undefined ? Number.parseInt(hex, 16) : Number(decimal))
      : (entities[name.toLowerCase()] as string),
  );

/** The JavaScript in a `data:` URI. Bytes beyond ASCII stay bytes, since the nonce has none. */
function decodeScriptUri(uri: string, parameters: string, content: string): string {
  try {
    return parameters.endsWith(";base64") ? atob(content) : decodeURIComponent(content);
  } catch {
    return uri;
  }
}

/** Names of variables of a page that hold what could be a nonce, as `in` and `path` would name them; for people. */
export function nonceCandidates(page: string): string[] {
  const text = page.replace(scriptUri, decodeScriptUri);
  const candidates: string[] = [];
  for (const { 0: whole, 1: name = "", index } of [
    ...text.matchAll(/(?<![\w$.])([A-Za-z_$][\w$]{0,60})\s*=\s*(?=\{)/g),
  ].slice(0, 100)) {
    const start = index + whole.length;
    const value = jsonObjectAt(text.slice(start, start + maxObjectChars), 0);
    for (const path of noncePaths(value, "", 0)) {
      candidates.push(`${name} at ${path}`);
      if (candidates.length >= 5) return candidates;
    }
  }
  return candidates;
}

function noncePaths(value: unknown, path: string, depth: number): string[] {
  if (typeof value === "string") {
    return /^[0-9a-f]{10}$/.test(value) && /nonce|security|token|csrf/i.test(path) ? [path] : [];
  }
  if (typeof value !== "object" || value === null || depth > 3) return [];
  return Object.entries(value).flatMap(([key, inner]) =>
    /^[\w-]{1,40}$/.test(key) ? noncePaths(inner, path === "" ? key : `${path}.${key}`, depth + 1) : [],
  );
}
