import { describe, expect, test } from "bun:test";
import { formTexts, toolTexts } from "../../../../core/providers/wordpress-chat/tools/tell.ts";
import type { JsonSchema, ToolDefinition } from "../../../../core/types.ts";

const search: ToolDefinition = {
  name: "search_flights",
  description:
    "Finds flights between two airports on a day.\n  Sorted by price, the cheapest first, with all taxes and fees.",
  parameters: {
    type: "object",
    properties: {
      from: { type: "string", description: "IATA code" },
      to: { type: "string", description: "IATA code" },
      day: { type: "string", format: "date" },
      cabin: { enum: ["economy", "premium", "business", "first"] },
      passengers: {
        type: "object",
        properties: { adults: { type: "integer", minimum: 1 }, children: { type: "integer" } },
        required: ["adults"],
      },
    },
    required: ["from", "to", "day", "passengers"],
  },
};
const time: ToolDefinition = { name: "get_time", description: "Time of day" };

const steps = (tools: readonly ToolDefinition[], newestText = "Find me flights") =>
  toolTexts({ tools, mustCall: false, several: true, newestText });

const lines = (tools: readonly ToolDefinition[], newestText?: string) =>
  steps(tools, newestText).map((text) => text.split("\n").slice(1, 1 + tools.length));

describe("tools are told", () => {
  test("as signatures, in steps that shrink", () => {
    expect(lines([search]).flat()).toEqual([
      'search_flights(from: string /* IATA code */, to: string /* IATA code */, day: string /* date */, cabin?: "economy"|"premium"|"business"|"first", passengers: {adults: integer /* ≥1 */, children?: integer}) – Finds flights between two airports on a day. Sorted by price, the cheapest first, with all taxes and fees.',
      'search_flights(from: string, to: string, day: string, cabin?: "economy"|"premium"|"business"|"first", passengers: {adults: integer, children?: integer}) – Finds flights between two airports on a day. Sorted by price, the cheapest first, with all taxes and fees.',
      'search_flights(from: string, to: string, day: string, cabin?: "economy"|"premium"|"business"|"first", passengers: {adults: integer, children?: integer}) – Finds flights between two airports on a day. Sorted by…',
      'search_flights(from: string, to: string, day: string, cabin?: "economy"|"premium"|"business"|"first", passengers: {adults: integer, children?: integer})',
      'search_flights(from: string, to: string, day: string, cabin?: "economy"|"premium"|"business"|…, passengers: object)',
      "search_flights(from: string, to: string, day: string, passengers: object)",
      "search_flights(…)",
    ]);
  });

  test("by their names alone at last, but for those that the newest turn names", () => {
    expect(lines([search, time], "Use search_flights please").at(-1)).toEqual([
      "search_flights(from: string, to: string, day: string, passengers: object)",
      "get_time(…)",
    ]);
  });

  test("all of them in each step, and never longer than in the one before", () => {
    const tools = [search, time, { name: "noop", parameters: false }, { name: "any", parameters: true }];
    const texts = steps(tools);
    for (const text of texts) for (const { name } of tools) expect(text).toContain(`\n${name}(`);
    const sizes = texts.map((text) => text.length);
    expect(sizes).toEqual(sizes.toSorted((a, b) => b - a));
  });

  test("with what to do, in words that fit the choice", () => {
    const told = { tools: [time], newestText: "" };
    const [auto = ""] = toolTexts({ ...told, mustCall: false, several: true });
    expect(auto).toContain('@@name {"argument": "value"}');
    expect(auto).toContain("for each call");
    expect(auto).toEndWith("If none is needed, just answer.");
    const [required = ""] = toolTexts({ ...told, mustCall: true, several: false });
    expect(required).toContain("one line like this");
    expect(required).toEndWith("Please use at least one now.");
  });
});

describe("a schema is told as a shape", () => {
  const shape = (schema: JsonSchema) => formTexts({ schema })[1]?.split("\n").at(1);
  const inObject = (a: JsonSchema) =>
    shape({ type: "object", properties: { a }, required: ["a"] })?.slice("{a: ".length, -1);

  test.each<[string, JsonSchema]>([
    ["string", { type: "string" }],
    ["string|null", { type: ["string", "null"] }],
    ["string|null", { anyOf: [{ type: "string" }, { type: "null" }] }],
    ["string|null", { type: "string", nullable: true }],
    ['"a"|1|null', { enum: ["a", 1, null] }],
    ['"a"', { const: "a" }],
    ["string[]", { type: "array", items: { type: "string" } }],
    ["(string|null)[]", { type: "array", items: { type: ["string", "null"] } }],
    ['("a"|"b")[]', { type: "array", items: { enum: ["a", "b"] } }],
    [
      "{b: integer}[]",
      { type: "array", items: { type: "object", properties: { b: { type: "integer" } }, required: ["b"] } },
    ],
    [
      "{b: string|null}[]",
      { type: "array", items: { properties: { b: { type: ["string", "null"] } }, required: ["b"] } },
    ],
    ["any[]", { type: "array" }],
    ["[string, number]", { type: "array", prefixItems: [{ type: "string" }, { type: "number" }] }],
    ["{[key: string]: number}", { type: "object", additionalProperties: { type: "number" } }],
    ['{b?: any, "c-d"?: any}', { type: "object", properties: { b: true, "c-d": {} } }],
    [
      "{b?: integer} & {c?: integer}",
      { allOf: [{ properties: { b: { type: "integer" } } }, { properties: { c: { type: "integer" } } }] },
    ],
    ["never", false],
    ["any", {}],
    ["object", { type: "object" }],
  ])("%s", (told, schema) => {
    expect(inObject(schema)).toBe(told);
  });

  test("that follows references, and names those that have no end", () => {
    const node = {
      type: "object",
      properties: { value: { type: "integer" }, next: { $ref: "#/$defs/Node" } },
      required: ["value"],
    };
    const schema = {
      type: "object",
      properties: { list: { $ref: "#/$defs/Node" }, count: { $ref: "#/$defs/Count" } },
      $defs: { Node: node, Count: { type: "integer" } },
    };
    expect(shape(schema)).toBe("{list?: (Node = {value: integer, next?: Node}), count?: integer}");
  });

  test("that has an end although its references double without one", () => {
    const $defs = Object.fromEntries(
      Array.from({ length: 60 }, (_, index) => [
        `D${index}`,
        { properties: { a: { $ref: `#/$defs/D${index + 1}` }, b: { $ref: `#/$defs/D${index + 1}` } } },
      ]),
    );
    expect(shape({ $ref: "#/$defs/D0", $defs })?.length).toBeLessThan(20_000);
  });

  test("or not at all where it says no more than that it is an object", () => {
    expect(formTexts({ schema: { type: "object" } })[0]).toBe(
      "Answer with a JSON object only, no code fence.",
    );
  });
});

/** What docs/tools.md says of the costs. */
describe("a tool's characters", () => {
  test("beside its own signature and description are the same for one tool as for many", () => {
    const none = steps([])[0] ?? "";
    const [one = ""] = steps([time]);
    const signature = "\nget_time() – Time of day";
    expect(one.length - none.length).toBe(signature.length);
    expect(none.length).toBeLessThanOrEqual(190);
  });
});
