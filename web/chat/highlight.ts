/** Colours for code. The library's own output has style attributes, which the page's policy forbids: its tokens get classes. */
import { type ParseOptions, parse } from "sugar-high/core";
import * as c from "sugar-high/lang/c";
import * as css from "sugar-high/lang/css";
import * as go from "sugar-high/lang/go";
import * as html from "sugar-high/lang/html";
import * as java from "sugar-high/lang/java";
import * as javascript from "sugar-high/lang/javascript";
import * as json from "sugar-high/lang/json";
import * as php from "sugar-high/lang/php";
import * as python from "sugar-high/lang/python";
import * as rust from "sugar-high/lang/rust";
import * as shell from "sugar-high/lang/shell";
import * as sql from "sugar-high/lang/sql";
import * as typescript from "sugar-high/lang/typescript";
import * as yaml from "sugar-high/lang/yaml";
import { h } from "../shared/dom.ts";

/** By the names that fences use. */
const languages: Readonly<Record<string, unknown>> = {
  c,
  cpp: c,
  "c++": c,
  css,
  go,
  golang: go,
  html,
  xml: html,
  java,
  kotlin: java,
  js: javascript,
  javascript,
  jsx: javascript,
  json,
  php,
  py: python,
  python,
  rs: rust,
  rust,
  sh: shell,
  bash: shell,
  shell,
  zsh: shell,
  sql,
  ts: typescript,
  tsx: typescript,
  typescript,
  yaml,
  yml: yaml,
};

/** Longer code stays plain: it would be looked through anew with each piece that arrives. */
const longest = 30_000;

/** Shows `code` in an element, coloured where the language is known. */
export function showCode(element: HTMLElement, code: string, language: string): void {
  const options = languages[language.toLowerCase()];
  if (options === undefined || code.length > longest) {
    element.textContent = code;
    return;
  }
  const nodes: (Node | string)[] = [];
  for (const [index, line] of parse(code, options as ParseOptions).lines.entries()) {
    if (index > 0) nodes.push("\n");
    for (const { type, value } of line.tokens) {
      if (type === "space" || type === "break" || type === "identifier") nodes.push(value);
      else nodes.push(h("span", { className: `t-${type}` }, value));
    }
  }
  element.replaceChildren(...nodes);
}
