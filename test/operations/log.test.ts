import { expect, test } from "bun:test";
import { createLogger, prettyLine } from "../../core/operations/log.ts";
import { fakeClock } from "../fakes/fake-clock.ts";

const lineOf = (fields: Record<string, string | number | undefined>): string => {
  const lines: string[] = [];
  createLogger({ level: "info", write: (line) => lines.push(line), clock: fakeClock() }).info(
    "request.finished",
    fields,
  );
  expect(lines).toHaveLength(1);
  return lines[0] ?? "";
};

const model = "up/a\r\nb\u2028 \u001b[2J\u009b31m\0";

test("one event is one line, whatever its fields hold", () => {
  const line = lineOf({ model, status: 200 });
  expect(line).not.toMatch(/[\r\n]/);
  expect(JSON.parse(line)).toMatchObject({ level: "info", event: "request.finished", model, status: 200 });
});

test("its short form has nothing that a terminal obeys", () => {
  expect(prettyLine(lineOf({ model, status: 200 }))).not.toMatch(/\p{Cc}/u);
});

test("a plain value on a terminal has no quotes, and one that is not there no name", () => {
  expect(prettyLine(lineOf({ model: "kimi", note: "two words", key: undefined }))).toBe(
    '00:00:00.000 info  request.finished model=kimi note="two words"',
  );
});
