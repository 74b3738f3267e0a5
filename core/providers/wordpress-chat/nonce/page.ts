/**
 * Finds the nonce that the chat page hands to its own script:
 * `<script>var kimi_ajax = {"ajax_url":"…","nonce":"f3749c0f5f"};</script>`.
 *
 * WordPress prints the object as JSON. Optimisers delay that line, or move it into a `data:` URI, an attribute or a
 * file of its own, but leave the line itself as it is. So the line is looked for wherever it may stand.
 */
import { jsonObjectAt } from "../reply/find-json.ts";

/** The nonce, or in a few words why there is none. */
export type PageScan = { readonly nonce: string } | { readonly problem: string };

const declaration = /(?<![\w$])kimi_ajax\s*=\s*(?=\{)/g;
const scriptUri = /data:(?:text|application)\/javascript([^"'\s>,]{0,100}),([^"'\s>]+)/g;

/** WordPress's own nonces are ten hex digits. */
export const isUsableNonce = (nonce: string): boolean => /^[\w-]{1,64}$/.test(nonce);

/** A page has one or two declarations of some hundred characters; these bounds are for hostile ones. */
const maxDeclarations = 20;
const maxObjectChars = 100_000;

/** Looks for the nonce in the HTML of the chat page, or in a script of it. */
export function scanPage(page: string): PageScan {
  const text = page.replace(scriptUri, decodeScriptUri);
  const nonce = lastNonce(text) ?? lastNonce(text.replaceAll("&quot;", '"'));
  if (nonce !== undefined) return { nonce };
  const isDeclared = text.search(declaration) >= 0;
  return { problem: isDeclared ? "kimi_ajax has no usable nonce" : "no kimi_ajax in the page" };
}

/** The usable nonce that is declared last, as a later declaration replaces an earlier one. */
function lastNonce(text: string): string | undefined {
  const declarations = [...text.matchAll(declaration)].slice(-maxDeclarations);
  for (const { 0: name, index } of declarations.reverse()) {
    const start = index + name.length;
    const nonce = jsonObjectAt(text.slice(start, start + maxObjectChars), 0)?.nonce;
    if (typeof nonce === "string" && isUsableNonce(nonce)) return nonce;
  }
  return undefined;
}

/** The JavaScript in a `data:` URI. Bytes beyond ASCII stay bytes, since the nonce has none. */
function decodeScriptUri(uri: string, parameters: string, content: string): string {
  try {
    return parameters.endsWith(";base64") ? atob(content) : decodeURIComponent(content);
  } catch {
    return uri;
  }
}
