import { describe, expect, test } from "bun:test";
import { findJson } from "../../../../core/providers/wordpress-chat/reply/find-json.ts";
import { cpuTimer } from "../../../support/cpu-timer.ts";

const answer = { success: true, data: { message: 'a } " \\" { {"success":false} \\' } };
const json = JSON.stringify(answer);

describe("finds the answer", () => {
  const surroundings: Record<string, [before: string, after: string]> = {
    "that stands alone": ["", ""],
    "before WordPress's 0": ["", "0"],
    "before a comment": ["", '\n<!-- cached {"at": 1} -->'],
    "behind blank lines": ["\n\r\n \t", "\n"],
    "behind a PHP warning": ["<br />\n<b>Warning</b>: Undefined array key {$x} in <b>/a.php</b><br />\n", ""],
    "behind other JSON": ['{"debug":{"a":[1,2]}}\n', ""],
    "behind JSON that breaks off": ['{"debug":{"a": <b>Warning</b>\n', ""],
    "behind an empty object": ["{} { }", ""],
    "behind a byte order mark": ["\ufeff", ""],
  };
  for (const [name, [before, after]] of Object.entries(surroundings)) {
    test(name, () => expect(findJson(before + json + after, ["success"])).toEqual(answer));
  }
});

test("findJson finds nothing where nothing is", () => {
  for (const text of [
    "",
    "0",
    "null",
    "-1",
    "[]",
    '"success"',
    "{",
    '{"',
    json.slice(0, -1),
    json.slice(0, 40),
  ]) {
    expect(findJson(text, ["success"])).toBeUndefined();
  }
  expect(findJson('{"data":{"success":true}}', ["success"])).toBeUndefined();
  expect(findJson("<script>var a = {};</script>", ["success"])).toBeUndefined();
});

test("findJson looks for the key among the object's own", () => {
  expect(findJson('{"a":1}', ["constructor"])).toBeUndefined();
});

test("findJson takes time in proportion to the text's length, whatever it says", () => {
  const size = 500_000;
  const texts = ['{"', '{"a":', "{", '{"\\', "\\", '{ "a":"\\"', "{\n".repeat(3), '{"a":{"a":"'];
  for (const piece of texts) {
    const text = piece.repeat(size / piece.length);
    const spentMs = cpuTimer();
    findJson(text, ["success"]);
    expect(spentMs()).toBeLessThan(2_000);
  }
});
