import { describe, expect, test } from "bun:test";
import { shortenResults, writeCalls } from "../../../../core/providers/wordpress-chat/tools/history.ts";
import { chatRequest, type MessageBody } from "../../../support/chat-request.ts";

const call = (id: string, name: string, json: string) => ({
  id,
  type: "function",
  function: { name, arguments: json },
});
const messages = (list: readonly MessageBody[]) => chatRequest({ messages: list }).messages;
const texts = (list: readonly MessageBody[]) => writeCalls(messages(list)).map(({ text }) => text);

const question: MessageBody = { role: "user", content: "Weather in Paris and Rome?" };
const calls: MessageBody = {
  role: "assistant",
  content: "Let me look.",
  tool_calls: [call("a", "get_weather", '{ "city": "Paris" }'), call("b", "get_weather", '{"city":"Rome"}')],
};
const result = (id: string, content: string): MessageBody => ({ role: "tool", tool_call_id: id, content });

describe("past calls and results", () => {
  test("are written in the syntax of calls", () => {
    const written = writeCalls(messages([question, calls, result("a", "22 C"), result("b", "")]));
    expect(written.map(({ text }) => text)).toEqual([
      "Weather in Paris and Rome?",
      'Let me look.\n@@get_weather {"city":"Paris"}\n@@get_weather {"city":"Rome"}',
      "get_weather: 22 C",
      "get_weather: (nothing)",
    ]);
    expect(written.every(({ native }) => native.tool_calls === undefined)).toBe(true);
  });

  test("have no name where the history has lost the call", () => {
    expect(texts([result("gone", "22 C")])).toEqual(["22 C"]);
    expect(texts([{ role: "function", name: "old", content: "1" }])).toEqual(["old: 1"]);
  });

  test("may have arguments that are empty or no JSON", () => {
    const odd = [call("a", "now", ""), call("b", "say", "not  JSON")];
    expect(texts([{ role: "assistant", content: null, tool_calls: odd }])).toEqual([
      "@@now {}\n@@say not  JSON",
    ]);
  });
});

describe("long results of the newest turn", () => {
  const long = (mark: string) => `${mark}start ${"x".repeat(3_000)} end${mark}`;
  const shortened = (list: readonly MessageBody[], room: number) =>
    shortenResults(writeCalls(messages(list)), room);
  const size = (list: readonly { readonly text: string }[]) =>
    list.reduce((sum, { text }) => sum + text.length + 14, 0);

  test("are shortened in the middle until question and calls fit beside them, the newest kept longest", () => {
    const list = shortened([question, calls, result("a", long("a")), result("b", long("b"))], 700);
    expect(size(list)).toBeLessThanOrEqual(700);
    const [, , first = { text: "" }, second = { text: "" }] = list;
    expect(first.text).toMatch(/^get_weather: astart x+ \[… \d+ characters left out …\] x+ enda$/);
    expect(second.text.length).toBeGreaterThan(first.text.length);
    expect(list[0]?.text).toBe("Weather in Paris and Rome?");
  });

  test("give what short ones leave to the others", () => {
    const list = shortened([question, calls, result("a", long("a")), result("b", "5 C")], 700);
    expect(list[3]?.text).toBe("get_weather: 5 C");
    expect(size(list)).toBeGreaterThan(680);
  });

  test("stay as they are where all fits, and in older turns", () => {
    const all = [question, calls, result("a", "22 C"), result("b", "5 C")];
    expect(shortened(all, 1_000)).toEqual(writeCalls(messages(all)));
    const older = [
      question,
      calls,
      result("a", long("a")),
      result("b", "5 C"),
      { role: "user", content: "Thanks" } as const,
    ];
    expect(shortened(older, 700)[2]?.text).toBe(`get_weather: ${long("a")}`);
  });

  test("keep a line even where there is no room", () => {
    const list = shortened([{ role: "user", content: "q".repeat(690) }, calls, result("a", long("a"))], 700);
    expect(list[2]?.text.length).toBeLessThanOrEqual(60);
    expect(list[2]?.text).toContain("characters left out");
  });
});
