import { expect, test } from "bun:test";
import { createLogger } from "../../core/log.ts";
import { fakeClock } from "../support/fake-clock.ts";

const linesOf = (fields: Record<string, string | number>, pretty: boolean): string[] => {
  const lines: string[] = [];
  createLogger({ level: "info", write: (line) => lines.push(line), pretty, clock: fakeClock() }).info(
    "request",
    fields,
  );
  return lines;
};

test.each([true, false])("one event is one line, whatever its fields hold (pretty: %p)", (pretty) => {
  const model = "up/a\r\nb\u2028 \u001b[2J\u009b31m\0";
  const lines = linesOf({ model, status: 200 }, pretty);
  expect(lines).toHaveLength(1);
  expect(lines[0]).not.toMatch(/[\r\n]/);
  if (pretty) expect(lines[0]).not.toMatch(/\p{Cc}/u);
  else
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({ level: "info", event: "request", model, status: 200 });
});

test("a plain value on a terminal has no quotes", () => {
  expect(linesOf({ model: "kimi", note: "two words" }, true)).toEqual([
    '00:00:00.000 info  request model=kimi note="two words"',
  ]);
});
