/** English and Chinese: which one is shown, and elements whose words follow it. */

/** English, then Chinese; `{name}` stands for a value. */
export type Words = readonly [english: string, chinese: string];
export type Language = "en" | "zh";

const storageKey = "language";

const stored = (): string | null => {
  try {
    return localStorage.getItem(storageKey);
  } catch {
    return null;
  }
};

const asked =
  new URLSearchParams(location.search).get("lang") ?? stored() ?? navigator.languages.join() ?? "en";

let current: Language = /^zh/i.test(asked) ? "zh" : "en";

export const language = (): Language => current;

export type Values = Readonly<Record<string, string | number>>;

/** The words in the language of now. */
export const say = (words: Words, values: Values = {}): string =>
  words[current === "zh" ? 1 : 0].replace(/\{(\w+)\}/g, (_, name: string) => String(values[name] ?? ""));

/** What writes an element's words anew; elements that have left the page are forgotten with their nodes. */
const writers = new WeakMap<Element, (() => void)[]>();

const keepWritten = <Kind extends Element>(element: Kind, write: () => void): Kind => {
  write();
  const before = writers.get(element);
  if (before) before.push(write);
  else writers.set(element, [write]);
  element.classList.add("worded");
  return element;
};

/** Gives an element its text, in whichever language is shown. */
export const worded = <Kind extends Element>(element: Kind, words: Words, values?: Values): Kind =>
  keepWritten(element, () => {
    element.textContent = say(words, values);
  });

/** Gives an element an attribute of words, such as its label. */
export const labelled = <Kind extends Element>(
  element: Kind,
  words: Words,
  attribute: "aria-label" | "placeholder" | "title" | "label" = "aria-label",
): Kind => keepWritten(element, () => element.setAttribute(attribute, say(words)));

/** Calls `write` now and whenever the language changes, for as long as `element` is on the page. */
export const onLanguage = (element: Element, write: () => void): void => {
  keepWritten(element, write);
};

const apply = (): void => {
  document.documentElement.lang = current === "zh" ? "zh-CN" : "en";
  for (const element of document.querySelectorAll(".worded")) {
    for (const write of writers.get(element) ?? []) write();
  }
};

export function setLanguage(next: Language): void {
  current = next;
  try {
    localStorage.setItem(storageKey, next);
  } catch {}
  apply();
}

apply();
