import { describe, expect, test } from "bun:test";
import type { ChatMessage, StreamPart } from "../../../../core/types.ts";
import { readAnswer } from "../../../support/chat-request.ts";
import { clock, tools, weather } from "../tools/sloppy-replies.ts";
import { type Asking, chatWithSite, message } from "./site-chat.ts";

const { site, chat, seen, expectTraffic } = await chatWithSite();

/** Lets the site's model say these texts, one after the other. */
const script = (...replies: readonly string[]) =>
  site.queue({ ajax: replies.map((reply) => `text=${reply}`) });
/** What the model was sent, call by call. */
const prompts = async () => (await seen()).ajax.map((row) => row.seen ?? "");

const callsIn = (parts: readonly StreamPart[]) =>
  parts.flatMap((part) => (part.type === "tool-call-delta" ? [part] : []));

async function answerOf(
  asking: Asking,
  messages: string | readonly ChatMessage[] = "Weather in Paris?",
  options = {},
) {
  const { parts, error, answer } = await readAnswer(
    chat(options).answer(messages, { tools, toolChoice: "auto", ...asking }),
  );
  if (error !== undefined) throw error;
  const text = parts.map((part) => (part.type === "text-delta" ? part.delta : "")).join("");
  const reasons = parts.flatMap((part) => (part.type === "finish" ? [part.reason] : []));
  const calls = callsIn(parts).map(({ name, delta }) => [name, JSON.parse(delta)]);
  return { text, reasons, calls, parts, sent: answer?.calls };
}
const line = '@@get_weather {"city": "Paris"}';
const parisCall = ["get_weather", { city: "Paris" }];

describe("tools on offer", () => {
  test("are told before the messages, and a call becomes one", async () => {
    await script(`Let me look.\n${line}\nTool: 22 C`);
    const { text, reasons, calls, parts } = await answerOf({});
    expect({ text, reasons, calls }).toEqual({
      text: "Let me look.",
      reasons: ["tool_calls"],
      calls: [parisCall],
    });
    expect(callsIn(parts)[0]).toMatchObject({
      index: 0,
      id: expect.stringMatching(/^call_[0-9a-f]{24}$/),
      name: "get_weather",
    });
    const [prompt = ""] = await prompts();
    expect(prompt).toStartWith("My program has these tools:\nget_weather(city: string");
    expect(prompt).toEndWith("\n\nWeather in Paris?");
    await expectTraffic({ messages: 1, fetches: 1 });
  });

  test("need not be used", async () => {
    await script("It is warm.");
    expect(await answerOf({})).toMatchObject({ text: "It is warm.", reasons: ["stop"], calls: [], sent: 1 });
  });

  test("are not told, nor read, where none is to be called", async () => {
    await script(line);
    expect(await answerOf({ toolChoice: "none" })).toMatchObject({
      text: line,
      reasons: ["stop"],
      calls: [],
    });
    expect(await prompts()).toEqual(["Weather in Paris?"]);
  });

  test("are not told, nor read, where TOOLS_BY_PROMPT is off", async () => {
    await script(line);
    const answer = await answerOf({}, undefined, { toolsByPrompt: false });
    expect(answer).toMatchObject({ text: line, reasons: ["stop"], calls: [] });
    expect(await prompts()).toEqual(["Weather in Paris?"]);
  });

  test("are told without what WordPress would delete", async () => {
    await script("No.");
    await answerOf({ tools: [{ name: "render", description: "Makes <b>HTML</b> of %20" }] });
    const [row] = (await seen()).ajax;
    expect(row?.seen).toBe(row?.message ?? "");
    expect(row?.seen).toContain("Makes ＜b>HTML＜/b> of ％20");
  });

  test("are called one at a time where the client wants that", async () => {
    await script(`${line}\n@@get-time`);
    expect((await answerOf({ parallelToolCalls: false })).calls).toEqual([parisCall]);
    expect((await prompts())[0]).toContain("one line like this");
  });

  test("are one call each, with an id and an index of its own", async () => {
    await script(`${line}\n@@get-time`);
    const calls = callsIn((await answerOf({})).parts);
    expect(calls.map(({ index }) => index)).toEqual([0, 1]);
    expect(new Set(calls.map(({ id }) => id)).size).toBe(2);
  });

  test("are counted in the usage, prompt and call alike", async () => {
    await script(line);
    const { parts } = await answerOf({ usage: true });
    const usage = parts.find((part) => part.type === "usage")?.usage;
    expect(usage?.promptTokens).toBeGreaterThan(60);
    expect(usage?.completionTokens).toBeGreaterThan(5);
    expect(usage?.totalTokens).toBe((usage?.promptTokens ?? 0) + (usage?.completionTokens ?? 0));
  });

  test("are not called by a call that max_tokens or a stop text cuts", async () => {
    await script(line, line);
    expect(await answerOf({ maxTokens: 6 })).toMatchObject({ calls: [], reasons: ["length"] });
    expect(await answerOf({ stop: ["Par"] })).toMatchObject({
      calls: [],
      reasons: ["stop"],
      text: '@@get_weather {"city": "',
    });
  });

  test("of other kinds are refused, as they can't be told", async () => {
    const native = { tools: [{ type: "function" }, { type: "custom", custom: { name: "x" } }] };
    const error = await chat().failure("Hello", { tools, toolChoice: "auto", native });
    expect(error).toMatchObject({ code: "unsupported_parameter", status: 400, param: "tools" });
    expect(error.message).toContain("tools[1]");
    await expectTraffic({ messages: 0, fetches: 0 });
  });
});

describe("tools that don't fit", () => {
  const many = (count: number) =>
    Array.from({ length: count }, (_, index) => ({
      ...weather,
      name: `get_weather_of_kind_${index}`,
      description: `Current weather of the kind ${index}, as it is at many a place in the world just now`,
    }));

  test("are told in fewer words, all of them, in half of the limit at most", async () => {
    await script("No.");
    await answerOf({ tools: many(9) });
    const [prompt = ""] = await prompts();
    for (const { name } of many(9)) expect(prompt).toContain(name);
    expect(prompt.indexOf("\n\nWeather in Paris?")).toBeLessThanOrEqual(500);
    expect(prompt).not.toContain("world");
  });

  test("are told in fewer words yet where the newest message needs the room", async () => {
    await script("No.", "No.");
    await answerOf({ tools: many(1) }, "Short");
    await answerOf({ tools: many(1) }, "x".repeat(700));
    const [short = "", long = ""] = await prompts();
    expect(short).toContain("world");
    expect(long).toContain("get_weather_of_kind_0(");
    expect(long).toEndWith(`\n\n${"x".repeat(700)}`);
  });

  test("are told as they are where the newest message is shortened anyway", async () => {
    await script("No.");
    const longInput = { mode: "shorten", maxCalls: 8, ttlMs: 60_000 } as const;
    await answerOf({ tools: many(1) }, `Begin ${"x".repeat(5_000)} end`, { longInput });
    const [prompt = ""] = await prompts();
    expect([...prompt].length).toBeLessThanOrEqual(1000);
    expect(prompt).toContain("just now");
    expect(prompt).toMatch(/\n\nBegin x+ \[… \d+ characters left out …\] x+ end$/);
  });

  test("are told beside the newest message and a system text that is too long for both", async () => {
    await script("No.");
    const card = `You are Ada. ${"x".repeat(3_000)} Stay Ada.`;
    await answerOf({ tools: many(1) }, [message("system", card), message("user", "Weather in Paris?")]);
    const [prompt = ""] = await prompts();
    expect([...prompt].length).toBeLessThanOrEqual(1000);
    expect(prompt).toContain("get_weather_of_kind_0(city");
    expect(prompt).toContain("System: You are Ada.");
    expect(prompt).toEndWith("User: Weather in Paris?");
  });

  test("leave a message that is too long to be refused with all sizes", async () => {
    const error = await chat().failure("x".repeat(950), { tools, toolChoice: "auto" });
    expect(error).toMatchObject({ code: "context_length_exceeded", status: 400, param: "messages" });
    expect(error.message).toMatch(
      /has 950 characters; the chat site takes \d+ at most beside the \d+ that tell of tools/,
    );
    await expectTraffic({ messages: 0, fetches: 0 });
  });

  test("are refused with the sizes before any call", async () => {
    const error = await chat().failure("Hello", { tools: many(40), toolChoice: "auto" });
    expect(error).toMatchObject({ code: "context_length_exceeded", status: 400, param: "tools" });
    expect(error.message).toMatch(
      /The tools take \d{4} characters at the shortest; .* 500 beside the messages, half of its 1000\./,
    );
    await expectTraffic({ messages: 0, fetches: 0 });
  });
});

describe("past calls and results", () => {
  const called: ChatMessage = {
    ...message("assistant", ""),
    toolCalls: [{ id: "call_1", name: "get_weather", arguments: '{"city":"Paris"}' }],
    native: { role: "assistant", content: null, tool_calls: [] },
  };
  const result = (text: string): ChatMessage => ({ ...message("tool", text), toolCallId: "call_1" });

  test("are told in the same syntax", async () => {
    await script("It is 22 C.");
    expect(await answerOf({}, [message("user", "Weather?"), called, result("22 C")])).toMatchObject({
      text: "It is 22 C.",
    });
    expect((await prompts())[0]).toEndWith(
      'User: Weather?\nAssistant: @@get_weather {"city":"Paris"}\nTool: get_weather: 22 C',
    );
  });

  test("of many steps fit, with the question", async () => {
    await script("Done.");
    const steps = Array.from({ length: 12 }, () => [called, result("22 C, and sunny ".repeat(40))]).flat();
    expect(await answerOf({}, [message("user", "Weather?"), ...steps])).toMatchObject({ text: "Done." });
    const [prompt = ""] = await prompts();
    expect([...prompt].length).toBeLessThanOrEqual(1000);
    expect(prompt).toContain("User: Weather?");
    expect(prompt).toMatch(/Tool: get_weather: 22 C, and sunny (?:22 C, and sunny ){4}.*$/);
  });

  test("leave room for the question where a result is long", async () => {
    await script("It is 22 C.");
    await answerOf({}, [message("user", "Weather?"), called, result(`{"days":[${"1,".repeat(5_000)}2]}`)]);
    const [prompt = ""] = await prompts();
    expect([...prompt].length).toBeLessThanOrEqual(1000);
    expect([...prompt].length).toBeGreaterThan(930);
    expect(prompt).toContain("User: Weather?");
    expect(prompt).toContain('@@get_weather {"city":"Paris"}\nTool: get_weather: {"days":[1,1');
    expect(prompt).toMatch(/\[… \d+ characters left out …\].*2\]\}$/);
  });
});

describe("a demanded tool", () => {
  test.each<[string, Asking]>([
    ["by name", { toolChoice: { tool: "get_weather" } }],
    ["as the only one", { toolChoice: "required", tools: [weather] }],
  ])("%s is asked for its arguments, and called", async (_, asking) => {
    await script('Here:\n```json\n{"city": "Paris", "days": "2"}\n```');
    expect(await answerOf(asking)).toMatchObject({
      text: "",
      reasons: ["tool_calls"],
      calls: [["get_weather", { city: "Paris", days: 2 }]],
      sent: 1,
    });
    const [prompt = ""] = await prompts();
    expect(prompt).toStartWith(
      "Answer with JSON only of this form, no code fence (the arguments of get_weather – Current weather):\n{city: string",
    );
    expect(prompt).not.toContain("@@");
  });

  test("is called by a line of the other syntax too", async () => {
    await script(line);
    expect((await answerOf({ toolChoice: { tool: "get_weather" } })).calls).toEqual([parisCall]);
  });

  test("is asked for once more with the fault", async () => {
    await script("I can't do that.", '{"city": "Paris"}');
    expect(await answerOf({ toolChoice: { tool: "get_weather" } })).toMatchObject({
      calls: [parisCall],
      sent: 2,
    });
    expect((await prompts())[1]).toContain(
      "(Your last answer was of no use to my program. There is no JSON in it.)\n\nWeather in Paris?",
    );
  });

  test("that does not come is an upstream's fault", async () => {
    await script("I can't do that.", '{"town": "Paris"}');
    const error = await chat().failure("Weather?", { tools, toolChoice: { tool: "get_weather" } });
    expect(error).toMatchObject({ code: "upstream_invalid_response", status: 502 });
    expect(error.message).toContain('required property "city"');
    await expectTraffic({ messages: 2, fetches: 1 });
  });

  test("is a text where max_tokens cuts it", async () => {
    await script('{"city": "Paris"}');
    expect(await answerOf({ toolChoice: { tool: "get_weather" }, maxTokens: 3 })).toMatchObject({
      calls: [],
      reasons: ["length"],
      sent: 1,
    });
  });

  test.each<[string, Asking]>([
    ["among none", { toolChoice: "required", tools: [] }],
    ["that is not among the tools", { toolChoice: { tool: "fly" } }],
  ])("%s is refused", async (_, asking) => {
    const error = await chat().failure("Hello", { tools, ...asking });
    expect(error).toMatchObject({ code: "invalid_request", status: 400, param: "tool_choice" });
    await expectTraffic({ messages: 0, fetches: 0 });
  });
});

describe("a call of any of several tools that is demanded", () => {
  const required: Asking = { toolChoice: "required", tools: [weather, clock] };

  test("comes at once", async () => {
    await script("@@get-time");
    expect(await answerOf(required)).toMatchObject({ calls: [["get-time", {}]], sent: 1 });
  });

  test("comes after a reminder, and both calls are counted", async () => {
    await script("@@get-time", "It is warm.", line);
    const usageOf = ({ parts }: { parts: readonly StreamPart[] }) =>
      parts.find((part) => part.type === "usage")?.usage.totalTokens ?? 0;
    const once = usageOf(await answerOf({ ...required, usage: true }));
    const answer = await answerOf({ ...required, usage: true });
    expect(answer).toMatchObject({ calls: [parisCall], text: "", sent: 2 });
    expect(usageOf(answer)).toBeGreaterThan(2 * once);
    expect((await prompts())[2]).toContain("There was no line that calls one of the tools.");
  });

  test("that does not come is an upstream's fault", async () => {
    await script("It is warm.", "It is very warm.");
    const error = await chat().failure("Weather?", required);
    expect(error).toMatchObject({ code: "upstream_invalid_response", status: 502 });
    await expectTraffic({ messages: 2, fetches: 1 });
  });

  test("is not asked for again where there is no room to", async () => {
    await script("It is warm.");
    const error = await chat().failure("x".repeat(770), required);
    expect(error).toMatchObject({ code: "upstream_invalid_response", status: 502 });
    await expectTraffic({ messages: 1, fetches: 1 });
  });
});

describe("JSON on demand", () => {
  const schema = {
    type: "object",
    properties: { city: { type: "string" }, days: { type: "integer" } },
    required: ["city", "days"],
    additionalProperties: false,
  };
  const asJson: Asking = { tools: [], responseFormat: { name: "trip", schema } };

  test("is told as a shape, and comes minified, streaming or not", async () => {
    for (const stream of [true, false]) {
      await script('Sure:\n```json\n{\n  "city": "Paris",\n  "days": "3", "x": 1\n}\n```');
      const answer = await answerOf({ ...asJson, stream });
      expect(answer).toMatchObject({
        text: '{"city":"Paris","days":3}',
        reasons: ["stop"],
        calls: [],
        sent: 1,
      });
    }
    expect((await prompts())[0]).toBe(
      "Answer with JSON only of this form, no code fence (trip):\n{city: string, days: integer}\n\nWeather in Paris?",
    );
  });

  test("without a schema is an object", async () => {
    await script("The list is [1, 2], or {'a': [1, 2]}");
    expect((await answerOf({ tools: [], responseFormat: "json_object" })).text).toBe('{"a":[1,2]}');
  });

  test("is asked for once more with the first fault", async () => {
    await script('{"city": "Paris"}', '{"city": "Paris", "days": 3}');
    expect(await answerOf(asJson)).toMatchObject({ text: '{"city":"Paris","days":3}', sent: 2 });
    expect((await prompts())[1]).toContain(
      'no use to my program. Instance does not have required property "days".)',
    );
  });

  test("that does not come is an upstream's fault", async () => {
    await script("Paris, three days.", "I said: Paris.");
    const error = await chat().failure("Where to?", asJson);
    expect(error).toMatchObject({ code: "upstream_invalid_response", status: 502 });
    await expectTraffic({ messages: 2, fetches: 1 });
  });

  test("that max_tokens cuts ends with that reason", async () => {
    await script('{"city": "Paris", "days": 3}');
    expect(await answerOf({ ...asJson, maxTokens: 4 })).toMatchObject({ reasons: ["length"], sent: 1 });
  });

  test("is refused with the sizes where its schema is too long", async () => {
    const names = Array.from({ length: 80 }, (_, index) => `property_${index}`);
    const long = {
      type: "object",
      properties: Object.fromEntries(names.map((name) => [name, true])),
      required: names,
    };
    const error = await chat().failure("Hello", { responseFormat: { schema: long } });
    expect(error).toMatchObject({ code: "context_length_exceeded", status: 400, param: "response_format" });
    await expectTraffic({ messages: 0, fetches: 0 });
  });

  test("may be had beside tools: a call, or else JSON", async () => {
    const both: Asking = { tools: [weather], responseFormat: { schema } };
    await script(line, 'So: {"city": "Paris", "days": 3}');
    expect(await answerOf(both)).toMatchObject({ calls: [parisCall], reasons: ["tool_calls"] });
    expect(await answerOf(both)).toMatchObject({ text: '{"city":"Paris","days":3}', reasons: ["stop"] });
  });
});

describe("a stream", () => {
  test("has the same text and calls however it is cut, and nothing of the marks", async () => {
    const reply = `I look that up 👨‍👩‍👧, in two places.\n\n${line}\n@@get-time\nTool: noon`;
    for (let chunkChars = 1; chunkChars <= reply.length; chunkChars += site.isWordpress ? 17 : 1) {
      await script(reply);
      const { text, calls, reasons, parts } = await answerOf({}, undefined, { chunkChars });
      expect(text).toBe("I look that up 👨‍👩‍👧, in two places.");
      expect(calls).toEqual([parisCall, ["get-time", {}]]);
      expect(reasons).toEqual(["tool_calls"]);
      expect(parts.some((part) => part.type === "text-delta" && part.delta.includes("@"))).toBe(false);
    }
  });
});
