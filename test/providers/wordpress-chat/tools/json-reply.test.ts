import { describe, expect, test } from "bun:test";
import { createChecker } from "../../../../core/providers/wordpress-chat/tools/check.ts";
import { readJsonReply } from "../../../../core/providers/wordpress-chat/tools/json-reply.ts";
import type { JsonSchema } from "../../../../core/types.ts";
import { cpuTimer } from "../../../support/cpu-timer.ts";

const place: JsonSchema = {
  type: "object",
  properties: { city: { type: "string" }, inhabitants: { type: "integer" } },
  required: ["city", "inhabitants"],
  additionalProperties: false,
};
const read = (reply: string, schema: JsonSchema = place) => readJsonReply(reply, createChecker(schema));
const paris = { json: '{"city":"Paris","inhabitants":2}' };

describe("the JSON of a reply is found and minified", () => {
  test.each([
    ["alone", '{"city": "Paris", "inhabitants": 2}'],
    ["with blanks and line breaks", '\n{\n  "city": "Paris",\n  "inhabitants": 2\n}\n'],
    ["in a fence", '```json\n{"city":"Paris","inhabitants":2}\n```'],
    ["in a fence with prose", 'Here you are:\n```\n{"city":"Paris","inhabitants":2}\n```\nAnything else?'],
    ["in a fence that does not end", '```json\n{"city":"Paris","inhabitants":2}'],
    ["in prose", 'Sure! {"city":"Paris","inhabitants":2} is what you want.'],
    ["after brackets in prose", 'As [asked] (see {below}): {"city":"Paris","inhabitants":2}'],
    ["after an example that does not fit", '{"city": "..."}\nSo: {"city":"Paris","inhabitants":2}'],
    ["after braces that never end", 'I use { for it: {"city":"Paris","inhabitants":2}'],
    ["before a second one", '{"city":"Paris","inhabitants":2}\n{"city":"Rome","inhabitants":3}'],
    ["with a text for a number", '{"city":"Paris","inhabitants":"2"}'],
    ["with a key too many", '{"city":"Paris","inhabitants":2,"note":"!"}'],
    ["with single quotes", "{'city': 'Paris', 'inhabitants': 2}"],
    ["with trailing commas", '{"city":"Paris","inhabitants":2,}'],
    ["with comments", '{"city":"Paris", // capital\n"inhabitants":2}'],
    ["without its last brace", '{"city":"Paris","inhabitants":2'],
    ["without its last brace in a fence", '```json\n{"city":"Paris","inhabitants":2\n```'],
    ["without quotes around keys", "{city: 'Paris', inhabitants: 2}"],
  ])("%s", (_, reply) => {
    expect(read(reply)).toEqual(paris);
  });

  test("be it a list", () => {
    const list = { type: "array", items: { type: "integer" } };
    expect(read("The numbers: [1, 2, 3].", list)).toEqual({ json: "[1,2,3]" });
    expect(read("[]", list)).toEqual({ json: "[]" });
  });

  test("with all that texts may hold", () => {
    const free = { type: "object" };
    const value = { a: '}{"][ ``` \\ " \n\t', b: "世界 👨‍👩‍👧 \u2028", "c d": [null, true, -0.5] };
    for (const json of [JSON.stringify(value), JSON.stringify(value, null, 2)])
      expect(read(`So:\n${json}\nDone`, free)).toEqual({ json: JSON.stringify(value) });
  });
});

describe("a reply without fitting JSON is refused with its first fault", () => {
  test.each([
    ["Paris has two inhabitants.", "There is no JSON in it."],
    ["", "There is no JSON in it."],
    ['{"city":"Paris"}', 'Instance does not have required property "inhabitants".'],
    [
      '{"city":"Paris","inhabitants":"many"}',
      'inhabitants: Instance type "string" is invalid. Expected "integer".',
    ],
    ['[{"city":"Paris","inhabitants":2}]', 'Instance type "array" is invalid. Expected "object".'],
    ['{"city":"Par', "There is no JSON in it."],
  ])("%s", (reply, fault) => {
    expect(read(reply)).toEqual({ fault });
  });

  test.each([
    ["brackets", "[".repeat(200_000)],
    ["braces in lines", "{\n".repeat(100_000)],
    ["blanks", `{${" ".repeat(500_000)}`],
    ["keys", `{${Array.from({ length: 50_000 }, (_, index) => `"k${index}":1`).join()}}`],
    ["empty objects", "{} ".repeat(50_000)],
    ["quotes", `{"a":${'"'.repeat(100_001)}`],
  ])("in no time, hostile ones too: %s", (_, reply) => {
    const spentMs = cpuTimer();
    expect(read(reply)).toHaveProperty("fault");
    expect(spentMs()).toBeLessThan(2_000);
  });
});
