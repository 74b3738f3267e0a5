/** JSON Schemas in the fewest characters that a model reads well: `{city: string, unit?: "c"|"f"}`. */
import type { JsonObject, JsonSchema } from "../../../types.ts";
import { isRecord } from "../../../util/json.ts";
import { isSchema, schemaAt, schemasIn, typesOf } from "./schema.ts";

export interface ShapeDetail {
  /** Whether properties have their descriptions, formats and bounds behind them. */
  readonly notes: boolean;
  /** Whether objects within the outermost are told property by property, or as `object`. */
  readonly nested: boolean;
  /** The most values of an enum. */
  readonly maxEnum: number;
  /** Whether properties that may be left out are told. */
  readonly optional: boolean;
}

/** Schemas can refer to each other so that written out they have no end; past these many it is `any`. */
const maxSchemas = 500;

/** The shape of a schema, in TypeScript's manner. */
export function shapeOf(schema: JsonSchema, detail: ShapeDetail): string {
  return new Writer(schema, detail).shape(schema);
}

/** The properties of an object's schema as a function's parameters, without the parentheses. */
export function parametersOf(schema: JsonSchema, detail: ShapeDetail): string {
  const writer = new Writer(schema, detail);
  const target = writer.follow(schema);
  if (typeof target === "boolean") return "";
  // No plain list of properties: alternatives, or names that are the model's choice.
  const isPlain = isRecord(target.properties) && !["anyOf", "oneOf", "allOf"].some((key) => key in target);
  if (isPlain) return writer.parameters(target);
  const shape = writer.shape(schema);
  return /^(?:object|any|\{\})$/.test(shape) ? "" : `args: ${shape}`;
}

/** What is no schema allows anything. */
const schemaOr = (value: unknown): JsonSchema => (isSchema(value) ? value : true);

const isName = (key: string): boolean => /^[\p{L}_$][\p{L}\p{N}_$]*$/u.test(key);

class Writer {
  readonly #root: JsonSchema;
  readonly #detail: ShapeDetail;
  /** The references that are being written out; true for those that are met again within. */
  readonly #open = new Map<string, boolean>();
  #depth = 0;
  #left = maxSchemas;

  constructor(root: JsonSchema, detail: ShapeDetail) {
    this.#root = root;
    this.#detail = detail;
  }

  shape(schema: JsonSchema): string {
    this.#left -= 1;
    if (this.#left < 0) return "any";
    if (typeof schema === "boolean") return schema ? "any" : "never";
    if (typeof schema.$ref === "string") return this.#reference(schema.$ref);
    const nullable = schema.nullable === true && !typesOf(schema).includes("null") ? "|null" : "";
    return this.#own(schema) + nullable;
  }

  /** What a reference, or a chain of them, leads to. */
  follow(schema: JsonSchema): JsonSchema {
    let target = schema;
    for (let steps = 0; steps < 10; steps += 1) {
      if (typeof target === "boolean" || typeof target.$ref !== "string") break;
      target = schemaAt(target.$ref, this.#root) ?? true;
    }
    return target;
  }

  /** An object's properties; objects among them are nested. */
  parameters(schema: JsonObject): string {
    this.#depth += 1;
    const told = this.#properties(schema);
    this.#depth -= 1;
    return told;
  }

  #properties(schema: JsonObject): string {
    const { optional, notes } = this.#detail;
    const required = Array.isArray(schema.required) ? schema.required : [];
    const parts: string[] = [];
    for (const [key, property] of Object.entries(isRecord(schema.properties) ? schema.properties : {})) {
      const isRequired = required.includes(key);
      if (!isRequired && !optional) continue;
      const name = isName(key) ? key : JSON.stringify(key);
      const shape = this.shape(schemaOr(property));
      const note = notes && isRecord(property) ? noteOf(property) : "";
      parts.push(`${name}${isRequired ? "" : "?"}: ${shape}${note && ` /* ${note} */`}`);
    }
    return parts.join(", ");
  }

  /** A schema that refers to itself is told with its name, and within by its name alone. */
  #reference(ref: string): string {
    const name = ref === "#" ? "Root" : ref.slice(ref.lastIndexOf("/") + 1);
    if (this.#open.has(ref)) {
      this.#open.set(ref, true);
      return name;
    }
    const target = schemaAt(ref, this.#root);
    if (target === undefined) return "any";
    this.#open.set(ref, false);
    const shape = this.shape(target);
    const isRecursive = this.#open.get(ref) === true;
    this.#open.delete(ref);
    return isRecursive ? `(${name} = ${shape})` : shape;
  }

  #own(schema: JsonObject): string {
    if ("const" in schema) return JSON.stringify(schema.const);
    if (Array.isArray(schema.enum)) return this.#values(schema.enum);
    const alternatives = schemasIn(schema.anyOf ?? schema.oneOf);
    if (alternatives.length > 0) return unique(alternatives.map((entry) => this.shape(entry))).join("|");
    const all = schemasIn(schema.allOf);
    if (all.length > 0) {
      const { allOf: _, ...rest } = schema;
      const shapes = [rest, ...all].map((entry) => this.shape(entry)).filter((shape) => shape !== "any");
      return unique(shapes).join(" & ") || "any";
    }
    const types = typesOf(schema);
    if (types.length === 0) {
      if (isRecord(schema.properties)) return this.#object(schema);
      return "items" in schema || "prefixItems" in schema ? this.#array(schema) : "any";
    }
    return types.map((type) => this.#type(type, schema)).join("|");
  }

  #type(type: unknown, schema: JsonObject): string {
    if (type === "object") return this.#object(schema);
    if (type === "array") return this.#array(schema);
    return typeof type === "string" ? type : "any";
  }

  #values(values: readonly unknown[]): string {
    const { maxEnum } = this.#detail;
    const told = values.slice(0, maxEnum).map((value) => JSON.stringify(value));
    return [...told, ...(values.length > maxEnum ? ["…"] : [])].join("|");
  }

  #object(schema: JsonObject): string {
    const { properties, additionalProperties: others } = schema;
    const names = isRecord(properties) ? Object.keys(properties) : [];
    if (names.length === 0 && isRecord(others)) return `{[key: string]: ${this.shape(others)}}`;
    if (names.length === 0 || (this.#depth > 0 && !this.#detail.nested)) return "object";
    return `{${this.parameters(schema)}}`;
  }

  #array(schema: JsonObject): string {
    const tuple = schemasIn(schema.prefixItems ?? schema.items);
    if (tuple.length > 0) return `[${tuple.map((entry) => this.shape(entry)).join(", ")}]`;
    const schemaOfItems = schemaOr(schema.items);
    this.#depth += 1;
    const items = this.shape(schemaOfItems);
    this.#depth -= 1;
    return isUnion(this.follow(schemaOfItems)) ? `(${items})[]` : `${items}[]`;
  }
}

/** Whether the shape of a schema is several with signs between them. */
function isUnion(schema: JsonSchema): boolean {
  if (typeof schema === "boolean" || "const" in schema) return false;
  const lists = [schema.enum, schema.anyOf ?? schema.oneOf, schema.type];
  const isNullable = schema.nullable === true || Array.isArray(schema.allOf);
  return isNullable || lists.some((list) => Array.isArray(list) && list.length > 1);
}

const unique = (shapes: readonly string[]): string[] => [...new Set(shapes)];

const boundKeys = [
  ["minimum", "≥"],
  ["exclusiveMinimum", ">"],
  ["maximum", "≤"],
  ["exclusiveMaximum", "under "],
  ["minLength", "min length "],
  ["maxLength", "max length "],
  ["minItems", "min items "],
  ["maxItems", "max items "],
  ["pattern", "pattern "],
] as const;

function noteOf(schema: JsonObject): string {
  const { description, format } = schema;
  const bounds = boundKeys.flatMap(([key, sign]) => {
    const bound = schema[key];
    return typeof bound === "number" || typeof bound === "string" ? [`${sign}${bound}`] : [];
  });
  return [oneLine(description), oneLine(format), ...bounds].filter((part) => part !== "").join("; ");
}

/** A text in one line; "" for what is none. */
export const oneLine = (text: unknown): string =>
  typeof text === "string" ? text.replace(/\s+/g, " ").trim() : "";
