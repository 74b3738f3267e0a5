/** Places in JSON, written as `data.message` or `choices.0.text`; "." is the whole value. */
import { isRecord } from "../../../util/json.ts";

export interface Place {
  /** As it was written. */
  readonly name: string;
  readonly steps: readonly string[];
}

export const placeOf = (name: string): Place => ({
  name,
  steps: name === "." ? [] : name.split(".").filter((step) => step !== ""),
});

/** What is there; undefined where nothing is. */
export function valueAt(value: unknown, { steps }: Place): unknown {
  let found = value;
  for (const step of steps) {
    if (Array.isArray(found)) found = found[Number(step)];
    else if (isRecord(found) && Object.hasOwn(found, step)) found = found[step];
    else return undefined;
  }
  return found;
}

/** A text that says something, and where it was found. */
export interface FoundText {
  readonly text: string;
  readonly place: Place;
}

/** The first of the places with a text. */
export function textAt(value: unknown, places: readonly Place[]): FoundText | undefined {
  for (const place of places) {
    const text = valueAt(value, place);
    if (typeof text === "string" && text !== "") return { text, place };
  }
  return undefined;
}

const maxShown = 5;
const maxDepth = 4;

/** Where a value has texts, as places that a setting could name. Shows keys alone, and none that may be more than a name. */
export function placesOfTexts(value: unknown): string[] {
  const places: string[] = [];
  const look = (entry: unknown, path: string, depth: number): void => {
    if (places.length >= maxShown) return;
    if (typeof entry === "string" && entry !== "") places.push(path || ".");
    if (depth >= maxDepth || typeof entry !== "object" || entry === null) return;
    for (const [key, inner] of Object.entries(entry)) {
      if (/^[\w-]{1,40}$/.test(key)) look(inner, path === "" ? key : `${path}.${key}`, depth + 1);
    }
  };
  look(value, "", 0);
  return places;
}
