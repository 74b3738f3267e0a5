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

test("a request's short form begins with what came of it, in the colour of its status", () => {
  const line = (level: "info" | "warn" | "error", status: number) =>
    JSON.stringify({
      time: "2026-01-01T00:00:00.000Z",
      level,
      event: "request.finished",
      requestId: "abc",
      method: "POST",
      route: "/chat/completions",
      status,
      ms: 12,
    });
  expect(prettyLine(line("info", 200))).toBe("00:00:00.000 200 POST /chat/completions 12 ms requestId=abc");
  const colors = [line("info", 200), line("info", 404), line("error", 502)].map((each) =>
    /\[(3\d)m(\d+)/.exec(prettyLine(each, { isColored: true }))?.slice(1),
  );
  expect(colors).toEqual([
    ["32", "200"],
    ["33", "404"],
    ["31", "502"],
  ]);
});

test("a plain value on a terminal has no quotes, and one that is not there no name", () => {
  expect(prettyLine(lineOf({ model: "kimi", note: "two words", key: undefined }))).toBe(
    '00:00:00.000 info  request.finished model=kimi note="two words"',
  );
});
