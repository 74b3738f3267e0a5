/** Takes the JSON out of a reply that was to be nothing else. */
import type { Checked, Checker } from "./check.ts";
import { readJson, spanOfJson, withoutTagsAtEnd } from "./json-text.ts";

/** Values in the prose around the JSON that are tried. */
const maxCandidates = 20;
/** Of these, the ones that do not end: each takes a look at the whole reply. */
const maxOpen = 4;

const noJson: Checked = { fault: "There is no JSON in it." };

/** The minified JSON of a reply, or what is wrong with it. */
export function readJsonReply(reply: string, checker: Checker): Checked {
  let fault: Checked | undefined;
  // What is strictly JSON comes first: much else can be repaired into some.
  const candidates = [...jsonTexts(reply)];
  const strict = candidates.filter(isStrict);
  for (const text of [...strict, ...candidates]) {
    const checked = checker.check(text);
    if ("json" in checked) return checked;
    fault ??= checked;
  }
  return fault ?? noJson;
}

const isStrict = (text: string): boolean => {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
};

/** The objects and lists of a text, the outermost ones in their order. */
function jsonTexts(reply: string): string[] {
  const found: string[] = [];
  const bracket = /[{[]/g;
  let unclosed = 0;
  for (let tries = 0; tries < maxCandidates && unclosed < maxOpen; tries += 1) {
    const match = bracket.exec(reply);
    if (match === null) break;
    const { end, open } = spanOfJson(reply, match.index);
    // One that ends within a string is cut off. After a bracket that was no JSON another one may be.
    const span = reply.slice(match.index, end);
    const text = open === "nothing" ? span : withoutTagsAtEnd(span);
    if (open === "nothing" || (open === "brackets" && readJson(text) !== undefined)) found.push(text);
    if (open === "nothing") bracket.lastIndex = end;
    else unclosed += 1;
  }
  return found;
}
