import { expect, test } from "bun:test";
import fc from "fast-check";
import { createChecker } from "../../../../core/providers/wordpress-chat/tools/check.ts";
import { readJsonReply } from "../../../../core/providers/wordpress-chat/tools/json-reply.ts";
import { readReply } from "../../../../core/providers/wordpress-chat/tools/read.ts";
import { formTexts, toolTexts } from "../../../../core/providers/wordpress-chat/tools/tell.ts";
import type { JsonSchema, ToolDefinition } from "../../../../core/types.ts";
import { tools } from "./sloppy-replies.ts";

const name = fc.stringMatching(/^[a-zA-Z_][a-zA-Z0-9_-]{0,20}$/);
const prose = fc
  .array(fc.constantFrom("Sure.", "Let me look {that} up", "a < b, 'c'", "世界 👨‍👩‍👧", "[1]", '"', ""), {
    maxLength: 5,
  })
  .map((lines) => lines.join("\n"));

/** A schema, and a value that it allows. */
interface Case {
  readonly schema: JsonSchema;
  readonly value: unknown;
}
const text = fc.oneof(
  fc.string({ unit: "grapheme", maxLength: 30 }),
  fc.constantFrom("}", '"', "\\", "```", "@@x {", "</tool_call>", "\n@@", "1", "true"),
);
const leaf: fc.Arbitrary<Case> = fc.oneof(
  text.map((value) => ({ schema: { type: "string" }, value })),
  fc.integer().map((value) => ({ schema: { type: "integer" }, value })),
  fc
    .double({ noNaN: true, noDefaultInfinity: true })
    .map((value) => ({ schema: { type: "number" }, value: value + 0 })),
  fc.boolean().map((value) => ({ schema: { type: "boolean" }, value })),
  fc
    .uniqueArray(text, { minLength: 1, maxLength: 5 })
    .map((values) => ({ schema: { enum: values }, value: values[0] })),
  fc.constant({ schema: { type: ["string", "null"] }, value: null }),
);
const { anything } = fc.letrec<{ anything: Case; object: Case }>((tie) => ({
  anything: fc.oneof(
    { depthSize: "small" },
    leaf,
    tie("object"),
    tie("anything").map(({ schema, value }) => ({
      schema: { type: "array", items: schema },
      value: [value, value],
    })),
  ),
  object: fc
    .array(fc.tuple(name, tie("anything"), fc.boolean()), { maxLength: 4 })
    .map((list) => [
      ...new Map(list.map((entry) => [entry[0].toLowerCase().replace(/[-_]/g, ""), entry])).values(),
    ])
    .map((entries) => ({
      schema: {
        type: "object",
        properties: Object.fromEntries(entries.map(([key, { schema }]) => [key, schema])),
        required: entries.filter(([, , isRequired]) => isRequired).map(([key]) => key),
        additionalProperties: false,
      },
      value: Object.fromEntries(entries.map(([key, { value }]) => [key, value])),
    })),
}));
const objects = anything.filter(
  ({ value }) => typeof value === "object" && value !== null && !Array.isArray(value),
);
const calls = fc
  .array(fc.tuple(name, objects), { minLength: 1, maxLength: 4 })
  .map((list) => [
    ...new Map(list.map((entry) => [entry[0].toLowerCase().replace(/[-_]/g, ""), entry])).values(),
  ]);
const toolsOf = (list: readonly (readonly [string, Case])[]): ToolDefinition[] =>
  list.map(([toolName, { schema }]) => ({ name: toolName, parameters: schema }));

test("whatever is called with whatever arguments comes out as it was meant, after any prose and before any", () => {
  fc.assert(
    fc.property(calls, prose, prose, fc.constantFrom(undefined, 2), (list, before, after, indent) => {
      const lines = list.map(
        ([toolName, { value }]) => `@@${toolName} ${JSON.stringify(value, null, indent)}`,
      );
      const reply = [before, ...lines, after].join("\n");
      const read = readReply(reply, { tools: toolsOf(list), several: true, isCut: false });
      expect(read.text).toBe(before.trim());
      expect(read.calls.map((call) => [call.name, JSON.parse(call.arguments)])).toEqual(
        list.map(([toolName, { value }]) => [toolName, JSON.parse(JSON.stringify(value))]),
      );
    }),
    { numRuns: 300 },
  );
});

test("whatever JSON a schema allows is taken out of any prose as it was", () => {
  fc.assert(
    fc.property(objects, prose, prose, fc.boolean(), ({ schema, value }, before, after, isFenced) => {
      const json = JSON.stringify(value, null, 2);
      const reply = [before.replaceAll('"', ""), isFenced ? `\`\`\`json\n${json}\n\`\`\`` : json, after].join(
        "\n",
      );
      const read = readJsonReply(
        reply,
        createChecker({ ...(schema as object), minProperties: Object.keys(value as object).length }),
      );
      expect(read).toEqual({ json: JSON.stringify(value) });
    }),
    { numRuns: 300 },
  );
});

test("no reply makes a reader fail, and a call is never one that is not on offer", () => {
  const bits = fc.constantFrom(
    "@@",
    "get_weather",
    "get-time",
    " ",
    "\n",
    "{",
    "}",
    '"city"',
    ":",
    '"Paris"',
    "(",
    ")",
    "```",
    "<tool_call>",
    "</tool_call>",
    "<function=get_weather>",
    "<parameter=city>",
    "</parameter>",
    "functions.",
    ",",
    "'",
    "“",
    "\\",
    "[",
    "]",
  );
  const reply = fc.oneof(
    fc.array(bits, { maxLength: 40 }).map((list) => list.join("")),
    fc.string({ unit: "binary" }),
  );
  fc.assert(
    fc.property(reply, fc.boolean(), fc.boolean(), (said, several, isCut) => {
      const read = readReply(said, { tools, several, isCut });
      if (read.calls.length === 0) expect(read.text).toBe(said);
      if (!several) expect(read.calls.length).toBeLessThanOrEqual(1);
      for (const call of read.calls) {
        const tool = tools.find((each) => each.name === call.name);
        expect(tool).toBeDefined();
        expect(createChecker(tool?.parameters ?? true).check(call.arguments)).toEqual({
          json: call.arguments,
        });
      }
    }),
    { numRuns: 2_000 },
  );
});

test("any schema can be told and checked", () => {
  const key = fc.constantFrom(
    "type",
    "properties",
    "items",
    "anyOf",
    "oneOf",
    "allOf",
    "enum",
    "const",
    "$ref",
    "$defs",
    "required",
    "additionalProperties",
    "prefixItems",
    "nullable",
    "format",
    "minimum",
    "not",
    "description",
    "a",
  );
  const { schema } = fc.letrec<{ schema: unknown }>((tie) => ({
    schema: fc.oneof(
      { depthSize: "small" },
      fc.constantFrom("string", "object", "array", "#", "#/$defs/a", "#/properties/a", 1, true, false, null),
      fc.array(tie("schema"), { maxLength: 3 }),
      fc.dictionary(key, tie("schema"), { maxKeys: 4 }),
    ),
  }));
  const records = fc.dictionary(key, schema, { maxKeys: 5 });
  fc.assert(
    fc.property(records, fc.jsonValue({ maxDepth: 3 }), (parameters, value) => {
      const told = { tools: [{ name: "f", parameters }], mustCall: false, several: true, newestText: "" };
      const sizes = toolTexts(told).map((each) => each.length);
      expect(sizes.length).toBe(7);
      expect(formTexts({ schema: parameters }).every((each) => each.startsWith("Answer with"))).toBe(true);
      const checked = createChecker(parameters).checkValue(value);
      expect("json" in checked || checked.fault !== "").toBe(true);
    }),
    { numRuns: 2_000 },
  );
});
