import { describe, expect, test } from "bun:test";
import { createChecker } from "../../../../core/providers/wordpress-chat/tools/check.ts";
import type { JsonSchema } from "../../../../core/types.ts";
import { cpuTimer } from "../../../support/cpu-timer.ts";

const check = (text: string, schema: JsonSchema) => createChecker(schema).check(text);
const object = (properties: Record<string, JsonSchema>, more: Record<string, unknown> = {}): JsonSchema => ({
  type: "object",
  properties,
  ...more,
});

describe("a value is written as its schema wants it", () => {
  const tree = {
    $ref: "#/$defs/Node",
    $defs: {
      Node: object({ v: { type: "integer" }, kids: { type: "array", items: { $ref: "#/$defs/Node" } } }),
    },
  };
  test.each<[string, string, JsonSchema, string]>([
    ["a number", '{"a":"5"}', object({ a: { type: "number" } }), '{"a":5}'],
    ["a number with an exponent", '{"a":" -1.5e3 "}', object({ a: { type: "number" } }), '{"a":-1500}'],
    ["a boolean", '{"a":"False"}', object({ a: { type: "boolean" } }), '{"a":false}'],
    [
      "a text",
      '{"a":5,"b":true}',
      object({ a: { type: "string" }, b: { type: "string" } }),
      '{"a":"5","b":"true"}',
    ],
    ["one of two types", '{"a":"5"}', object({ a: { type: ["integer", "null"] } }), '{"a":5}'],
    ["null in quotes", '{"a":"null"}', object({ a: { type: ["integer", "null"] } }), '{"a":null}'],
    [
      "a list of one",
      '{"a":{"b":"1"}}',
      object({ a: { type: "array", items: object({ b: { type: "integer" } }) } }),
      '{"a":[{"b":1}]}',
    ],
    ["a list in quotes", '{"a":"[1,2]"}', object({ a: { type: "array" } }), '{"a":[1,2]}'],
    ["an object in quotes", '{"a":"{\\"b\\":1}"}', object({ a: { type: "object" } }), '{"a":{"b":1}}'],
    ["an enum's number", '{"a":"2"}', object({ a: { enum: [1, 2] } }), '{"a":2}'],
    ["deep inside", '{"v":"1","kids":[{"v":"2"}]}', tree, '{"v":1,"kids":[{"v":2}]}'],
    [
      "the alternative that fits",
      '{"a":"5"}',
      object({ a: { anyOf: [{ type: "integer" }, { type: "null" }] } }),
      '{"a":5}',
    ],
    [
      "all of several",
      '{"a":"5","b":"6"}',
      { allOf: [object({ a: { type: "integer" } }), object({ b: { type: "integer" } })] },
      '{"a":5,"b":6}',
    ],
    [
      "a tuple",
      '["1","2"]',
      { type: "array", prefixItems: [{ type: "integer" }, { type: "string" }] },
      '[1,"2"]',
    ],
    [
      "values of free names",
      '{"x":"1"}',
      { type: "object", additionalProperties: { type: "integer" } },
      '{"x":1}',
    ],
    ["no keys but its own", '{"a":1,"b":2}', object({ a: true }, { additionalProperties: false }), '{"a":1}'],
    ["no keys at all", '{"b":2}', object({}, { additionalProperties: false }), "{}"],
    ["further keys that it allows", '{"a":1,"b":2}', object({ a: true }), '{"a":1,"b":2}'],
    [
      "keys by their own names",
      '{"max-results ":"3"}',
      object({ max_results: { type: "integer" } }),
      '{"max_results":3}',
    ],
    ["without null for what may be left out", '{"a":null}', object({ a: { type: "string" } }), "{}"],
    [
      "with null where it is a value",
      '{"a":null}',
      object({ a: { type: ["string", "null"] } }),
      '{"a":null}',
    ],
    [
      "OpenAPI's null",
      '{"a":null}',
      object({ a: { type: "string", nullable: true } }, { required: ["a"] }),
      '{"a":null}',
    ],
    [
      "minified, blanks in texts kept",
      '{ "a" : "b  c" ,\n "d" : [ 1 , 2.0 ] }',
      true,
      '{"a":"b  c","d":[1,2.0]}',
    ],
  ])("%s", (_, text, schema, json) => {
    expect(check(text, schema)).toEqual({ json });
  });
});

describe("what does not fit is refused with the first fault", () => {
  test.each<[string, JsonSchema, string]>([
    [
      '{"a":"five"}',
      object({ a: { type: "number" } }),
      'a: Instance type "string" is invalid. Expected "number".',
    ],
    ["{}", object({ a: true }, { required: ["a"] }), 'Instance does not have required property "a".'],
    ['{"a":"x"}', object({ a: { enum: ["b", "c"] } }), 'a: Instance does not match any of ["b","c"].'],
    [
      '{"a":[{"b":"x"}]}',
      object({ a: { type: "array", items: object({ b: { type: "integer" } }) } }),
      "a/0/b: ",
    ],
    ['{"a":1.5}', object({ a: { type: "integer" } }), "a: "],
    ['{"a":[1,2,3]}', object({ a: { type: "array", maxItems: 2 } }), "a: "],
    ['{"a":11}', object({ a: { type: "integer", maximum: 10 } }), "a: "],
    [
      '{"a":true,"b":1}',
      {
        anyOf: [
          object({ a: { type: "integer" } }, { required: ["a"] }),
          object({ b: { type: "boolean" } }, { required: ["b"] }),
        ],
      },
      "",
    ],
    ["[1]", object({}), 'Instance type "array" is invalid. Expected "object".'],
    ["not JSON", object({}), "It is not valid JSON."],
    ["{}", false, "False boolean schema."],
  ])("%s", (text, schema, fault) => {
    const checked = check(text, schema);
    expect(checked).toHaveProperty("fault");
    if ("fault" in checked) expect(checked.fault).toStartWith(fault);
  });
});

describe("schemas that can't be trusted", () => {
  test.each<[string, JsonSchema]>([
    ["a regular expression that never ends", object({ a: { type: "string", pattern: "^(a+)+$" } })],
    [
      "names by such an expression",
      { type: "object", patternProperties: { "^(a+)+$": false }, additionalProperties: false },
    ],
    ["a reference to nowhere", object({ a: { $ref: "#/$defs/None" } })],
    ["a reference to another server", object({ a: { $ref: "https://example.com/schema.json" } })],
    ["a reference to itself", { $ref: "#" }],
    [
      "references in a circle",
      { $ref: "#/$defs/A", $defs: { A: { $ref: "#/$defs/B" }, B: { $ref: "#/$defs/A" } } },
    ],
    ["an id that is no address", { $id: "http://[", type: "object" }],
    [
      "keywords of the wrong type",
      { type: "object", required: 5, properties: [], anyOf: {}, items: 7, allOf: [1] },
    ],
    ["a property called pattern", object({ pattern: { type: "string" }, $ref: { type: "string" } })],
  ])("are survived: %s", (_, schema) => {
    const spentMs = cpuTimer();
    const checked = check(`{"a":"${"a".repeat(40)}!"}`, schema);
    expect("json" in checked || checked.fault).toBeTruthy();
    expect(spentMs()).toBeLessThan(1_000);
  });

  test("a check that would take for ever is given up", () => {
    const doubling = Object.fromEntries(
      Array.from({ length: 40 }, (_, index) => [
        `D${index}`,
        { anyOf: [{ $ref: `#/$defs/D${index + 1}` }, { $ref: `#/$defs/D${index + 1}` }] },
      ]),
    );
    const schema = { $ref: "#/$defs/D0", $defs: { ...doubling, D40: { type: "string" } } };
    const spentMs = cpuTimer();
    expect(check('{"a":1}', schema)).toEqual({
      fault: "It takes too many steps to check against its schema.",
    });
    expect(spentMs()).toBeLessThan(2_000);
  });

  test("a property may have a keyword's name", () => {
    const schema = object(
      { pattern: { type: "integer" }, $ref: { type: "integer" } },
      { required: ["pattern"] },
    );
    expect(check('{"pattern":"1","$ref":"2"}', schema)).toEqual({ json: '{"pattern":1,"$ref":2}' });
    expect(check('{"pattern":"x"}', schema)).toHaveProperty("fault");
  });

  test("the client's own schema is not written into", () => {
    const schema = Object.freeze(object({ a: Object.freeze({ type: "integer" }) }));
    const before = JSON.stringify(schema);
    check('{"a":"1"}', schema);
    expect(JSON.stringify(schema)).toBe(before);
  });
});
