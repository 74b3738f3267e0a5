import { describe, expect, test } from "bun:test";
import { type ReadOptions, readReply } from "../../../../core/providers/wordpress-chat/tools/read.ts";
import { cpuTimer } from "../../../support/cpu-timer.ts";
import { callReplies, type SloppyReply, textReplies, tools, weather } from "./sloppy-replies.ts";

const read = (reply: string, options: Partial<ReadOptions> = {}) => {
  const { text, calls, fault } = readReply(reply, { tools, several: true, isCut: false, ...options });
  return { text, calls: calls.map((call) => [call.name, JSON.parse(call.arguments)]), fault };
};

const named = (replies: readonly SloppyReply[]) => replies.map((each) => [each.what, each] as const);

describe("calls are found in a reply", () => {
  test.each(named(callReplies))("with %s", (_, { reply, calls, text = "" }) => {
    const found = read(reply);
    expect(found).toMatchObject({ calls: calls as never, text });
  });

  test.each(named(callReplies))("between Windows' line breaks and blank lines, with %s", (_, each) => {
    const { calls } = read(`\r\n${each.reply.replaceAll("\n", "\r\n")}\r\n\r\n`);
    const lines = JSON.stringify(calls).replaceAll("\\r\\n", "\\n");
    expect(JSON.parse(lines)).toEqual(each.calls);
  });

  test("the first one only where one is wanted", () => {
    const reply = '@@get_weather {"city":"Paris"}\n@@get_weather {"city":"Rome"}';
    expect(read(reply, { several: false }).calls).toEqual([["get_weather", { city: "Paris" }]]);
    expect(read(reply).calls).toHaveLength(2);
  });

  test("with numbers that are longer than a program's own", () => {
    const id = { name: "look_up", parameters: { type: "object", properties: { id: { type: "integer" } } } };
    const { calls } = readReply('@@look_up { "id": 12345678901234567890 }', {
      tools: [id],
      several: true,
      isCut: false,
    });
    expect(calls).toEqual([{ name: "look_up", arguments: '{"id":12345678901234567890}' }]);
  });

  test("with any arguments where the tool says nothing of them", () => {
    const anything = [{ name: "free" }, { name: "open", parameters: true }];
    const reply = '@@free {"a": [1, {"b": null}]}\n@@open';
    expect(read(reply, { tools: anything }).calls).toEqual([
      ["free", { a: [1, { b: null }] }],
      ["open", {}],
    ]);
  });

  test("by the exact name before a similar one", () => {
    const similar = [{ name: "get_a" }, { name: "getA" }];
    expect(read("@@getA\n@@get_a", { tools: similar }).calls).toEqual([
      ["getA", {}],
      ["get_a", {}],
    ]);
    expect(read("@@GETA", { tools: similar }).calls).toEqual([]);
  });
});

describe("a text stays a text", () => {
  test.each(named(textReplies))("with %s", (_, { reply }) => {
    expect(read(reply)).toMatchObject({ calls: [], text: reply });
  });

  test.each([
    ["There is no tool of that name.", '@@fly {"to":"Rome"}'],
    ['get_weather: Instance does not have required property "city".', "@@get_weather {}"],
    ["The call is cut off.", '@@get_weather {"city": "Par'],
  ])("and it is known why: %s", (fault, reply) => {
    expect(read(reply).fault).toBe(fault);
  });
});

describe("a reply that was cut off", () => {
  const line = '@@get_weather {"city": "Paris", "tags": ["a", "b"]}';

  test("is a text at every place within its only call", () => {
    for (let end = 0; end < line.length; end += 1) {
      const part = `Let me look.\n${line.slice(0, end)}`;
      expect(read(part, { isCut: true })).toMatchObject({ calls: [], text: part });
    }
    expect(read(`Let me look.\n${line}`, { isCut: true }).calls).toHaveLength(1);
  });

  test("never has half a name for a tool that needs nothing", () => {
    const both = [{ name: "get" }, { name: "get_all" }];
    expect(read("@@get", { tools: both, isCut: true }).calls).toEqual([]);
    expect(read("@@get\n", { tools: both, isCut: true }).calls).toEqual([]);
    expect(read("@@get\nThen", { tools: both, isCut: true }).calls).toEqual([["get", {}]]);
  });

  test("keeps the calls that are all there", () => {
    for (let end = 0; end < line.length; end += 1) {
      const { calls, text } = read(`@@get-time {}\n${line.slice(0, end)}`, { isCut: true });
      expect(calls).toEqual([["get-time", {}]]);
      expect(text).toBe("");
    }
  });

  test("without a word of it never makes a call out of half a text", () => {
    for (let end = line.indexOf("{") + 1; end < line.length; end += 1) {
      const { calls } = read(line.slice(0, end));
      if (calls.length > 0) expect(calls[0]?.[1]).toMatchObject({ city: "Paris" });
    }
  });
});

describe("hostile replies", () => {
  test.each([
    ["brackets without an end", "@@get_weather {".repeat(5_000)],
    ["lines of marks without an end", "@@get_weather {\n".repeat(5_000)],
    ["deep nesting", `@@get_weather {"city":${"[".repeat(100_000)}`],
    ["deep nesting that ends", `@@get_weather {"city":${"[".repeat(5_000)}${"]".repeat(5_000)}}`],
    ["quotes", `@@get_weather {${"'".repeat(50_000)}`],
    ["tags", "<tool_call><function=get_weather><parameter=city>".repeat(2_000)],
    ["blanks", `@@get_weather${" ".repeat(100_000)}x`],
    ["line breaks", `Well,${"\n".repeat(300_000)}x`],
    ["blanks in a fence", `\`\`\`\n${" ".repeat(200_000)}x\n\`\`\``],
    ["keys", `@@get_weather {${Array.from({ length: 50_000 }, (_, index) => `"k${index}":1`).join()}}`],
    ["fences", "```\n".repeat(20_000)],
  ])("are read in no time: %s", (_, reply) => {
    const spentMs = cpuTimer();
    expect(readReply(reply, { tools, several: true, isCut: false }).calls).toEqual([]);
    expect(spentMs()).toBeLessThan(2_000);
  });

  test("change no object's prototype", () => {
    const free = [{ name: "free" }];
    const [call] = readReply('@@free {"__proto__": {"polluted": true}}', {
      tools: free,
      several: true,
      isCut: false,
    }).calls;
    expect(call?.arguments).toBe('{"__proto__":{"polluted":true}}');
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });

  test("name no tool that every object has", () => {
    expect(read("@@constructor {}", { tools: [weather] }).calls).toEqual([]);
  });
});
