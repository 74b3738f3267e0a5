/** JSON Schemas as clients write them: references followed, and a copy that is safe to check replies against. */
import type { JsonObject, JsonSchema } from "../../../types.ts";
import { isRecord } from "../../../util/json.ts";

/** The schema at a `$ref` such as "#/$defs/City"; undefined where there is none. */
export function schemaAt(ref: string, root: JsonSchema): JsonSchema | undefined {
  if (!/^#(?:\/|$)/.test(ref)) return undefined;
  let found: unknown = root;
  for (const step of ref.split("/").slice(1)) {
    const key = decoded(step).replaceAll("~1", "/").replaceAll("~0", "~");
    if (Array.isArray(found)) found = found[Number(key)];
    else found = isRecord(found) && Object.hasOwn(found, key) ? found[key] : undefined;
  }
  return isSchema(found) ? found : undefined;
}

const decoded = (step: string): string => {
  try {
    return decodeURIComponent(step);
  } catch {
    return step;
  }
};

export const isSchema = (value: unknown): value is JsonSchema =>
  typeof value === "boolean" || isRecord(value);

/** The types that a schema names; empty where it names none. */
export const typesOf = ({ type }: JsonObject): readonly unknown[] =>
  type === undefined ? [] : Array.isArray(type) ? type : [type];

/** The schemas of a list, such as `anyOf`. */
export const schemasIn = (list: unknown): readonly JsonSchema[] =>
  Array.isArray(list) ? list.filter(isSchema) : [];

/** Keywords whose values are schemas by names of the client's own. */
const namedSchemas = new Set(["properties", "$defs", "definitions", "dependentSchemas"]);
/** Keywords whose values are data. */
const data = new Set(["enum", "const", "default", "examples", "required"]);
/**
 * Not checked: a regular expression of a client's may run for ever, and an address makes references relative to it.
 * What `patternProperties` allows, `additionalProperties` would refuse.
 */
const unchecked = new Set([
  "pattern",
  "patternProperties",
  "propertyNames",
  "$id",
  "id",
  "$schema",
  "$anchor",
]);

/** A copy to check values against: the checker writes into the schemas that it gets. */
export function checkable(schema: JsonSchema): JsonSchema {
  return copySchema(schema, schema) as JsonSchema;
}

function copySchema(schema: unknown, root: JsonSchema): unknown {
  if (Array.isArray(schema)) return schema.map((entry) => copySchema(entry, root));
  if (!isRecord(schema)) return schema;
  const copy: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(schema)) {
    if (unchecked.has(key) || key === "__proto__") continue;
    if (key === "additionalProperties" && isRecord(schema.patternProperties)) continue;
    if (key === "$ref" && (typeof value !== "string" || schemaAt(value, root) === undefined)) continue;
    if (data.has(key)) copy[key] = structuredClone(value);
    else if (namedSchemas.has(key) && isRecord(value)) {
      copy[key] = Object.fromEntries(
        Object.entries(value).map(([name, entry]) => [name, copySchema(entry, root)]),
      );
    } else copy[key] = copySchema(value, root);
  }
  // OpenAPI's way to allow null.
  if (schema.nullable === true && copy.type !== undefined) copy.type = [...typesOf(copy), "null"];
  return copy;
}
