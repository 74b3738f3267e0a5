/** Holds a value that a model wrote against the schema that it was to follow. */
import { dereference, type Schema, validate } from "@cfworker/json-schema";
import type { JsonObject, JsonSchema } from "../../../types.ts";
import { isRecord, tryParseJson } from "../../../util/json.ts";
import { readJson, withoutBlanks } from "./json-text.ts";
import { checkable, schemaAt, schemasIn, typesOf } from "./schema.ts";

export type Checked =
  | { readonly json: string }
  /** What is wrong, in words that mend it. */
  | { readonly fault: string };

export interface Checker {
  /** The minified JSON of a text that means an object or a list; it may be mended where the schema leaves no doubt. */
  check(text: string): Checked;
  /** The same for a value. */
  checkValue(value: unknown, text?: string): Checked;
}

/** Steps of a check. Schemas can be made so that a short value takes for ever. */
const maxSteps = 50_000;
const maxStepDepth = 500;

/** Names that differ only by case, `-`, `_`, `.` and blanks are the same one. */
export const looseName = (name: string): string => name.toLowerCase().replace(/[-_.\s]/g, "");

export function createChecker(schema: JsonSchema): Checker {
  const root = checkable(schema);
  const lookup = dereference(root as Schema);

  const faultOf = (value: unknown, part: JsonSchema): string | undefined => {
    if (part === true) return undefined;
    try {
      const { valid, errors } = validate(value, part as Schema, "2020-12", lookup, true);
      if (valid) return undefined;
      // The outermost comes first, and says the least.
      const deepest = errors.reduce((found, error) =>
        error.instanceLocation.length > found.instanceLocation.length ? error : found,
      );
      const place = deepest.instanceLocation.replace(/^#\/?/, "");
      return `${place === "" ? "" : `${place}: `}${deepest.error}`.slice(0, 160);
    } catch {
      // A schema that can't be checked, such as one with a keyword of the wrong type, is not the reply's fault.
      return undefined;
    }
  };
  const fits = (value: unknown, part: JsonSchema): boolean => faultOf(value, part) === undefined;

  /** Writes a value as the schema wants it, where there is but one way to. */
  const mend = (value: unknown, part: JsonSchema, depth: number): unknown => {
    if (typeof part === "boolean" || depth > maxStepDepth) return value;
    let mended = value;
    if (typeof part.$ref === "string") mended = mend(mended, schemaAt(part.$ref, root) ?? true, depth + 1);
    for (const each of schemasIn(part.allOf)) mended = mend(mended, each, depth + 1);
    const alternatives = schemasIn(part.anyOf ?? part.oneOf);
    if (alternatives.length > 0 && !alternatives.some((each) => fits(mended, each))) {
      for (const each of alternatives) {
        const attempt = mend(mended, each, depth + 1);
        if (!fits(attempt, each)) continue;
        mended = attempt;
        break;
      }
    }
    mended = mendScalar(mended, part);
    if (isRecord(mended)) return mendObject(mended, part, depth);
    if (!Array.isArray(mended)) return mended;
    const places = schemasIn(part.prefixItems);
    const others = isRecord(part.items) ? part.items : true;
    return mended.map((entry, index) => mend(entry, places[index] ?? others, depth + 1));
  };

  const mendObject = (value: JsonObject, part: JsonObject, depth: number): JsonObject => {
    const properties: JsonObject = isRecord(part.properties) ? part.properties : {};
    const required = Array.isArray(part.required) ? part.required : [];
    const others = part.additionalProperties;
    const similar = similarNames(Object.keys(properties).filter((name) => !Object.hasOwn(value, name)));
    const entries = Object.entries(value).flatMap(([key, entry]): [string, unknown][] => {
      const name = Object.hasOwn(properties, key) ? key : (similar.get(looseName(key)) ?? key);
      if (!Object.hasOwn(properties, name)) {
        if (others === false) return [];
        return [[key, isRecord(others) ? mend(entry, others, depth + 1) : entry]];
      }
      const schema = properties[name] as JsonSchema;
      // Models write null for what they leave out.
      if (entry === null && !required.includes(name) && !fits(null, schema)) return [];
      return [[name, mend(entry, schema, depth + 1)]];
    });
    return Object.fromEntries(entries);
  };

  const checkValue = (value: unknown, text?: string): Checked => {
    if (!isCheap(value, root)) return { fault: "It takes too many steps to check against its schema." };
    const mended = mend(value, root, 0);
    const fault = faultOf(mended, root);
    if (fault !== undefined) return { fault };
    const json = JSON.stringify(mended);
    // Long numbers, such as ids, stay as they were written.
    const isAsWritten = text !== undefined && json === JSON.stringify(tryParseJson(text));
    return { json: isAsWritten ? withoutBlanks(text) : json };
  };

  return {
    checkValue,
    check(text) {
      const value = readJson(text);
      return value === undefined ? { fault: "It is not valid JSON." } : checkValue(value, text);
    },
  };
}

/** The names by what they have in common with misspelt ones; none that two have in common. */
function similarNames(names: readonly string[]): ReadonlyMap<string, string | undefined> {
  const similar = new Map<string, string | undefined>();
  for (const name of names) {
    const loose = looseName(name);
    similar.set(loose, similar.has(loose) ? undefined : name);
  }
  return similar;
}

function mendScalar(value: unknown, schema: JsonObject): unknown {
  if (Array.isArray(schema.enum) && !schema.enum.includes(value)) {
    const plain = (entry: unknown) => String(entry).trim().toLowerCase();
    const same = schema.enum.filter((entry) => typeof entry !== "object" && plain(entry) === plain(value));
    return same.length === 1 && typeof value !== "object" ? same[0] : value;
  }
  const types = typesOf(schema);
  if (types.length === 0 || types.some((type) => isOfType(value, type))) return value;
  for (const type of types) {
    const converted = convert(value, type);
    if (converted !== undefined) return converted;
  }
  return value;
}

function isOfType(value: unknown, type: unknown): boolean {
  if (type === "null") return value === null;
  if (type === "array") return Array.isArray(value);
  if (type === "object") return isRecord(value);
  if (type === "integer") return Number.isInteger(value);
  return typeof value === type;
}

/** A value as another type; undefined where that would be a guess. */
function convert(value: unknown, type: unknown): unknown {
  if (type === "string") {
    return typeof value === "number" || typeof value === "boolean" ? String(value) : undefined;
  }
  if (type === "array" && value !== null && typeof value !== "string") return [value];
  if (typeof value !== "string") return undefined;
  const text = value.trim();
  switch (type) {
    case "number":
    case "integer": {
      const number = /^[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?$/i.test(text) ? Number(text) : undefined;
      return type === "integer" && !Number.isInteger(number) ? undefined : number;
    }
    case "boolean":
      return /^(?:true|false)$/i.test(text) ? text.toLowerCase() === "true" : undefined;
    case "null":
      return /^(?:null|none)$/i.test(text) ? null : undefined;
    case "array":
      return text.startsWith("[") ? (tryParseJson(text) ?? [value]) : [value];
    case "object":
      return text.startsWith("{") ? tryParseJson(text) : undefined;
    default:
      return undefined;
  }
}

/** Whether a check ends soon: counts the schemas that a value meets, each as often as it does. */
function isCheap(value: unknown, root: JsonSchema): boolean {
  let steps = 0;
  const meets = (entry: unknown, schema: unknown, depth: number): boolean => {
    if (!isRecord(schema)) return true;
    steps += 1;
    if (steps > maxSteps || depth > maxStepDepth) return false;
    const here: unknown[] = [schema.not, schema.if, schema.then, schema.else];
    if (typeof schema.$ref === "string") here.push(schemaAt(schema.$ref, root));
    for (const key of ["anyOf", "oneOf", "allOf"]) here.push(...schemasIn(schema[key]));
    if (isRecord(schema.dependentSchemas)) here.push(...Object.values(schema.dependentSchemas));
    if (!here.every((each) => meets(entry, each, depth + 1))) return false;
    if (Array.isArray(entry)) {
      const places = schemasIn(schema.prefixItems);
      return entry.every(
        (item, index) =>
          meets(item, places[index] ?? schema.items, depth + 1) && meets(item, schema.contains, depth + 1),
      );
    }
    if (!isRecord(entry)) return true;
    const properties = isRecord(schema.properties) ? schema.properties : {};
    return Object.entries(entry).every(([key, item]) =>
      meets(item, Object.hasOwn(properties, key) ? properties[key] : schema.additionalProperties, depth + 1),
    );
  };
  return meets(value, root, 0);
}
