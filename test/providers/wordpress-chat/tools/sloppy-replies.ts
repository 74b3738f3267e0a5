/** Replies as models write them that were asked for `@@name {…}` lines, and what must become of each. */
import type { ToolDefinition } from "../../../../core/types.ts";

export const weather: ToolDefinition = {
  name: "get_weather",
  description: "Current weather",
  parameters: {
    type: "object",
    properties: {
      city: { type: "string" },
      days: { type: "integer" },
      unit: { enum: ["c", "f"] },
      hourly: { type: "boolean" },
      tags: { type: "array", items: { type: "string" } },
    },
    required: ["city"],
    additionalProperties: false,
  },
};
export const clock: ToolDefinition = { name: "get-time", parameters: { type: "object", properties: {} } };
export const writer: ToolDefinition = {
  name: "write_file",
  parameters: {
    type: "object",
    properties: { path: { type: "string" }, content: { type: "string" } },
    required: ["path", "content"],
  },
};
export const tools = [weather, clock, writer];

export interface SloppyReply {
  readonly what: string;
  readonly reply: string;
  /** Name and arguments of each call; empty for a text. */
  readonly calls: readonly (readonly [name: string, input: unknown])[];
  /** The reply itself by default where there are no calls, "" where there are. */
  readonly text?: string;
}

const paris = ["get_weather", { city: "Paris" }] as const;

/** Calls that any reader sees. */
export const callReplies: readonly SloppyReply[] = [
  { what: "the line that was asked for", reply: '@@get_weather {"city": "Paris"}', calls: [paris] },
  {
    what: "text first",
    reply: 'Let me look.\n\n@@get_weather {"city":"Paris"}',
    calls: [paris],
    text: "Let me look.",
  },
  { what: "the history's label", reply: 'Assistant: @@get_weather {"city":"Paris"}', calls: [paris] },
  { what: "a label of its own", reply: '**Tool call:** @@get_weather {"city":"Paris"}', calls: [paris] },
  {
    what: "two calls",
    reply: '@@get_weather {"city":"Paris"}\n@@get-time {}',
    calls: [paris, ["get-time", {}]],
  },
  {
    what: "text between calls",
    reply: '@@get_weather {"city":"Paris"}\nand the time\n@@get-time {}',
    calls: [paris, ["get-time", {}]],
  },
  {
    what: "the same call twice",
    reply: '@@get_weather {"city":"Paris"}\n@@get_weather {"city": "Paris"}',
    calls: [paris],
  },
  {
    what: "a made-up result",
    reply: '@@get_weather {"city":"Paris"}\nTool: get_weather: 22 C\nIt is warm.',
    calls: [paris],
  },
  {
    what: "a call after a made-up result",
    reply: '@@get_weather {"city":"Paris"}\nTool: 22 C\n@@get-time {}',
    calls: [paris],
  },
  { what: "a tool that needs nothing", reply: "@@get-time", calls: [["get-time", {}]] },
  { what: "empty parentheses", reply: "@@get-time()", calls: [["get-time", {}]] },
  { what: "a blank after the mark", reply: '@@ get_weather {"city":"Paris"}', calls: [paris] },
  { what: "no blank", reply: '@@get_weather{"city":"Paris"}', calls: [paris] },
  { what: "a colon", reply: '@@get_weather: {"city":"Paris"}', calls: [paris] },
  { what: "one @ only", reply: '@get_weather {"city":"Paris"}', calls: [paris] },
  { what: "full-width marks", reply: '＠＠get_weather {"city":"Paris"}', calls: [paris] },
  { what: "JSON on the next line", reply: '@@get_weather\n{\n  "city": "Paris"\n}', calls: [paris] },
  { what: "JSON in a fence", reply: '@@get_weather\n```json\n{"city":"Paris"}\n```', calls: [paris] },
  { what: "parentheses around the JSON", reply: '@@get_weather({"city":"Paris"})', calls: [paris] },
  {
    what: "named parameters",
    reply: '@@get_weather(city="Paris", days=3)',
    calls: [["get_weather", { city: "Paris", days: 3 }]],
  },
  {
    what: "named parameters with colons",
    reply: "@@get_weather(city: 'Paris', hourly: true)",
    calls: [["get_weather", { city: "Paris", hourly: true }]],
  },
  { what: "a list item", reply: '- @@get_weather {"city":"Paris"}', calls: [paris] },
  { what: "backticks", reply: '`@@get_weather {"city":"Paris"}`', calls: [paris] },
  { what: "bold", reply: '**@@get_weather** {"city":"Paris"}', calls: [paris] },
  { what: "nothing but a fence", reply: '```\n@@get_weather {"city":"Paris"}\n```', calls: [paris] },
  {
    what: "another case and another dash",
    reply: '@@Get-Weather {"city":"Paris"}\n@@get_time {}',
    calls: [paris, ["get-time", {}]],
  },
  { what: "the prefix functions.", reply: '@@functions.get_weather {"city":"Paris"}', calls: [paris] },
  { what: "Kimi's own name", reply: 'functions.get_weather:0 {"city":"Paris"}', calls: [paris] },
  {
    what: "Kimi's own marks",
    reply:
      '<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>{"city":"Paris"}<|tool_call_end|><|tool_call_begin|>functions.get-time:1<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>',
    calls: [paris, ["get-time", {}]],
  },
  {
    what: "Hermes' tags",
    reply: '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>',
    calls: [paris],
  },
  {
    what: "Hermes' tags twice in a line",
    reply:
      '<tool_call>{"name":"get_weather","arguments":{"city":"Paris"}}</tool_call><tool_call>{"name":"get-time","arguments":{}}</tool_call>',
    calls: [paris, ["get-time", {}]],
  },
  {
    what: "an open tag",
    reply: 'Sure.\n<tool_call>{"name":"get_weather","arguments":{"city":"Paris"}}',
    calls: [paris],
    text: "Sure.",
  },
  {
    what: "<tool>",
    reply: '<tool>{"name":"get_weather","arguments":{"city":"Paris"}}</tool>',
    calls: [paris],
  },
  {
    what: "look-alike tags",
    reply: '＜tool_call＞{"name":"get_weather","arguments":{"city":"Paris"}}＜/tool_call＞',
    calls: [paris],
  },
  { what: "Llama's tag", reply: '<function=get_weather>{"city":"Paris"}</function>', calls: [paris] },
  {
    what: "Qwen's tags",
    reply:
      "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>",
    calls: [["get_weather", { city: "Paris", days: 3 }]],
  },
  {
    what: "invoke",
    reply:
      '<function_calls><invoke name="get_weather"><parameter name="city">Paris</parameter></invoke></function_calls>',
    calls: [paris],
  },
  {
    what: "DeepSeek's tags",
    reply:
      '<｜DSML｜tool_calls><｜DSML｜invoke name="get_weather"><｜DSML｜parameter name="city" string="true">Paris</｜DSML｜parameter></｜DSML｜invoke></｜DSML｜tool_calls>',
    calls: [paris],
  },
  {
    what: "DeepSeek's older marks",
    reply:
      '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n{"city":"Paris"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
    calls: [paris],
  },
  {
    what: "nothing but JSON",
    reply: '{"name": "get_weather", "arguments": {"city": "Paris"}}',
    calls: [paris],
  },
  {
    what: "nothing but fenced JSON",
    reply: '```json\n{"tool": "get_weather", "parameters": {"city": "Paris"}}\n```',
    calls: [paris],
  },
  {
    what: "a list of JSON",
    reply: '[{"name":"get_weather","arguments":{"city":"Paris"}},{"name":"get-time","arguments":{}}]',
    calls: [paris, ["get-time", {}]],
  },
  {
    what: "Chat Completions' own form",
    reply:
      '{"tool_calls":[{"id":"x","type":"function","function":{"name":"get_weather","arguments":"{\\"city\\":\\"Paris\\"}"}}]}',
    calls: [paris],
  },
  { what: "the line without its mark", reply: 'get_weather {"city": "Paris"}', calls: [paris] },
  { what: "a program's call", reply: 'get_weather(city="Paris")', calls: [paris] },
  { what: "single quotes", reply: "@@get_weather {'city': 'Paris'}", calls: [paris] },
  {
    what: "an apostrophe in single quotes",
    reply: "@@get_weather {'city': 'L'Aquila'}",
    calls: [["get_weather", { city: "L'Aquila" }]],
  },
  { what: "smart quotes", reply: "@@get_weather {“city”: “Paris”}", calls: [paris] },
  { what: "no quotes around keys", reply: '@@get_weather {city: "Paris"}', calls: [paris] },
  {
    what: "Python's words",
    reply: '@@get_weather {"city": "Paris", "hourly": True, "days": None}',
    calls: [["get_weather", { city: "Paris", hourly: true }]],
  },
  { what: "a trailing comma", reply: '@@get_weather {"city": "Paris",}', calls: [paris] },
  { what: "a comment", reply: '@@get_weather {"city": "Paris" /* France */}', calls: [paris] },
  { what: "keys with blanks", reply: '@@get_weather {" city ": "Paris"}', calls: [paris] },
  { what: "keys in another case", reply: '@@get_weather {"City": "Paris"}', calls: [paris] },
  { what: "a missing brace at the end", reply: '@@get_weather {"city": "Paris"', calls: [paris] },
  {
    what: "a missing brace before a tag's end",
    reply: '<tool_call>{"name":"get_weather","arguments":{"city":"Paris"}</tool_call>',
    calls: [paris],
  },
  {
    what: "missing braces before a fence's end",
    reply: '@@get_weather\n```json\n{"city":"Paris","tags":["rain"\n```',
    calls: [["get_weather", { city: "Paris", tags: ["rain"] }]],
  },
  { what: "an argument too many", reply: '@@get_weather {"city": "Paris", "country": "FR"}', calls: [paris] },
  {
    what: "numbers and booleans as texts",
    reply: '@@get_weather {"city": "Paris", "days": "5", "hourly": "true"}',
    calls: [["get_weather", { city: "Paris", days: 5, hourly: true }]],
  },
  {
    what: "a text for a list",
    reply: '@@get_weather {"city": "Paris", "tags": "rain"}',
    calls: [["get_weather", { city: "Paris", tags: ["rain"] }]],
  },
  {
    what: "an enum in another case",
    reply: '@@get_weather {"city": "Paris", "unit": "C"}',
    calls: [["get_weather", { city: "Paris", unit: "c" }]],
  },
  {
    what: "null for what is left out",
    reply: '@@get_weather {"city": "Paris", "unit": null}',
    calls: [paris],
  },
  {
    what: "raw line breaks in a text",
    reply: '@@write_file {"path": "a.txt", "content": "one\ntwo"}',
    calls: [["write_file", { path: "a.txt", content: "one\ntwo" }]],
  },
  {
    what: "braces and tags in a text",
    reply: '@@write_file {"path": "a", "content": "} </tool_call> {\\" @@get-time"} done',
    calls: [["write_file", { path: "a", content: '} </tool_call> {" @@get-time' }]],
  },
  {
    what: "a tag's end in a text",
    reply: '<tool_call>{"name":"write_file","arguments":{"path":"a","content":"</tool_call>"}}</tool_call>',
    calls: [["write_file", { path: "a", content: "</tool_call>" }]],
  },
  {
    what: "a fence in a text",
    reply: '@@write_file {"path": "a.md", "content": "```js\\n1\\n```"}',
    calls: [["write_file", { path: "a.md", content: "```js\n1\n```" }]],
  },
  {
    what: "quotes in a text",
    reply: '@@write_file {"path": "a", "content": "He said "hi" to me"}',
    calls: [["write_file", { path: "a", content: 'He said "hi" to me' }]],
  },
];

/** What must stay a text. */
export const textReplies: readonly SloppyReply[] = [
  { what: "an answer", reply: "It is 22 C in Paris." },
  { what: "an excuse", reply: "I don't have access to tools." },
  { what: "a story of a call", reply: "I called get_weather for Paris, and it is sunny." },
  {
    what: "an example in a fence",
    reply: 'You would write\n```\n@@get_weather {"city":"Paris"}\n```\nto call it.',
  },
  { what: "a mark in the middle of a line", reply: 'Write @@get_weather {"city":"Paris"} to call it.' },
  { what: "JSON in prose", reply: 'Use this: {"name":"get_weather","arguments":{"city":"Paris"}} and see.' },
  {
    what: "JSON on its own line in prose",
    reply: 'Use this:\n{"name":"get_weather","arguments":{"city":"Paris"}}',
  },
  { what: "JSON that is an answer", reply: '{"name": "Paris", "temperature": 22}' },
  { what: "a tool that is not on offer", reply: '@@delete_all {"city":"Paris"}' },
  { what: "a name that is close", reply: '@@get_wether {"city":"Paris"}' },
  { what: "a diff", reply: "```diff\n@@ -1,2 +1,2 @@\n-a\n+b\n```\n@@ -1,2 +1,2 @@ get-time()" },
  { what: "nothing but a fence of code", reply: "```js\nget_time;\n```" },
  { what: "a placeholder", reply: "Write it like this:\n@@get-time {...}\n@@get-time { … }" },
  { what: "an example with a word before it", reply: 'Example: @@get_weather {"city":"Paris"}' },
  { what: "a mention", reply: "@get-time is the one to ask." },
  { what: "arguments that are missing", reply: "@@get_weather {}" },
  { what: "arguments of the wrong type", reply: '@@get_weather {"city": ["Paris", "Rome"]}' },
  { what: "arguments that are no JSON", reply: "@@get_weather Paris please" },
  { what: "a text that is cut off", reply: '@@write_file {"path": "a", "content": "Once upon a ti' },
  { what: "a decorator", reply: '@property\ndef get_weather(self):\n    return "x"' },
].map((each) => ({ ...each, calls: [] }));
