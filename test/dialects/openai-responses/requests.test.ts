/** What a model is asked: input items, tools and formats of Responses as Chat Completions. */
import { describe, expect, test } from "bun:test";
import { type Json, responsesHandler } from "../../support/responses.ts";

const { create, failure, asked } = responsesHandler();

const told = async (input: unknown, more: object = {}): Promise<Json[]> => {
  await create({ input, store: false, ...more });
  return asked().messages;
};

const call = (call_id: string, name = "f", json = "{}") => ({
  type: "function_call",
  call_id,
  name,
  arguments: json,
});
const result = (call_id: string, output: unknown) => ({ type: "function_call_output", call_id, output });
const toolCall = (id: string, name = "f", json = "{}") => ({
  id,
  type: "function",
  function: { name, arguments: json },
});

describe("input", () => {
  test("is a text, after the instructions", async () => {
    expect(await told("Hi", { instructions: "Be brief." })).toEqual([
      { role: "system", content: "Be brief." },
      { role: "user", content: "Hi" },
    ]);
  });

  test("is messages, with and without type, id and status, of all roles", async () => {
    expect(
      await told([
        { role: "developer", content: [{ type: "input_text", text: "Rules" }], id: "msg_of_nobody" },
        { type: "message", role: "user", content: [{ type: "input_text", text: "Hi" }] },
        { type: "message", role: "assistant", content: [{ type: "output_text", text: "Hello" }] },
        { role: "system", content: "Later rules" },
        { role: "user", content: "And?" },
      ]),
    ).toEqual([
      { role: "system", content: "Rules" },
      { role: "user", content: "Hi" },
      { role: "assistant", content: "Hello" },
      { role: "system", content: "Later rules" },
      { role: "user", content: "And?" },
    ]);
  });

  test("has images, files and sound as Chat Completions has them", async () => {
    const input_audio = { data: "AAAA", format: "wav" };
    const [{ content }] = await told([
      {
        role: "user",
        content: [
          { type: "input_text", text: "What is this?" },
          { type: "input_image", image_url: "data:image/png;base64,AA", detail: "low" },
          { type: "input_file", filename: "a.pdf", file_data: "data:application/pdf;base64,AA" },
          { type: "input_audio", input_audio },
          { type: "from_next_year", text: "?" },
        ],
      },
    ]);
    expect(content).toEqual([
      { type: "text", text: "What is this?" },
      { type: "image_url", image_url: { url: "data:image/png;base64,AA", detail: "low" } },
      { type: "file", file: { filename: "a.pdf", file_data: "data:application/pdf;base64,AA" } },
      { type: "input_audio", input_audio },
    ]);
  });

  test("of unknown kinds is left out", async () => {
    const unknown = ["web_search_call", "compaction", "mcp_list_tools", "from_next_year", "constructor"];
    expect(await told([{ role: "user", content: "Hi" }, ...unknown.map((type) => ({ type }))])).toEqual([
      { role: "user", content: "Hi" },
    ]);
  });

  test("has instructions that are a list of messages too", async () => {
    const instructions = [
      { role: "developer", content: [{ type: "input_text", text: "Be brief." }] },
      { role: "developer", content: "Be kind." },
    ];
    expect(await told("Hi", { instructions })).toEqual([
      { role: "system", content: "Be brief.\n\nBe kind." },
      { role: "user", content: "Hi" },
    ]);
  });

  test("that is empty still asks something, as in Codex's probe", async () => {
    expect(await told([], { max_output_tokens: 1 })).toEqual([{ role: "user", content: "" }]);
  });
});

describe("calls and their results", () => {
  test("are one message for each reply, and the results at once after it", async () => {
    expect(
      await told([
        { role: "user", content: "Go" },
        { role: "assistant", content: [{ type: "output_text", text: "I look." }] },
        call("a"),
        call("b", "g", '{"x":1}'),
        result("b", "second"),
        result("a", [{ type: "input_text", text: "first" }]),
        call("c"),
        result("c", "third"),
        { role: "user", content: "Thanks" },
      ]),
    ).toEqual([
      { role: "user", content: "Go" },
      { role: "assistant", content: "I look.", tool_calls: [toolCall("a"), toolCall("b", "g", '{"x":1}')] },
      { role: "tool", tool_call_id: "a", content: "first" },
      { role: "tool", tool_call_id: "b", content: "second" },
      { role: "assistant", content: null, tool_calls: [toolCall("c")] },
      { role: "tool", tool_call_id: "c", content: "third" },
      { role: "user", content: "Thanks" },
    ]);
  });

  test("let a developer's message between them stand before the calls", async () => {
    expect(
      await told([
        { role: "user", content: "Go" },
        call("a"),
        { role: "developer", content: "Hurry." },
        result("a", "done"),
      ]),
    ).toEqual([
      { role: "user", content: "Go" },
      { role: "system", content: "Hurry." },
      { role: "assistant", content: null, tool_calls: [toolCall("a")] },
      { role: "tool", tool_call_id: "a", content: "done" },
    ]);
  });

  test("without each other are mended: a call was aborted, a result is what the user says", async () => {
    expect(
      await told([
        { role: "user", content: "Go" },
        call("a"),
        { role: "user", content: "Stop" },
        result("x", "lost"),
      ]),
    ).toEqual([
      { role: "user", content: "Go" },
      { role: "assistant", content: null, tool_calls: [toolCall("a")] },
      { role: "tool", tool_call_id: "a", content: "aborted" },
      { role: "user", content: "Stop" },
      { role: "user", content: "Result of a tool: lost" },
    ]);
  });

  test("have images of a result in a user's message after all results", async () => {
    const image = { type: "input_image", image_url: "https://example.com/a.png" };
    expect(
      await told([
        { role: "user", content: "Go" },
        call("a"),
        call("b"),
        result("a", [image, { type: "input_text", text: "a picture" }]),
        result("b", "no picture"),
      ]),
    ).toEqual([
      { role: "user", content: "Go" },
      { role: "assistant", content: null, tool_calls: [toolCall("a"), toolCall("b")] },
      { role: "tool", tool_call_id: "a", content: "a picture" },
      { role: "tool", tool_call_id: "b", content: "no picture" },
      { role: "user", content: [{ type: "image_url", image_url: { url: "https://example.com/a.png" } }] },
    ]);
  });

  test("of shells and patches that the client runs itself are told as they are", async () => {
    const action = { type: "exec", command: ["ls"] };
    const messages = await told([
      { role: "user", content: "Go" },
      { type: "local_shell_call", call_id: "a", action },
      { type: "local_shell_call_output", call_id: "a", output: "file.txt" },
      { type: "shell_call", call_id: "b", action: { commands: ["ls"] } },
      { type: "shell_call_output", call_id: "b", output: [{ stdout: "file.txt" }] },
    ]);
    expect(messages.slice(1)).toEqual([
      {
        role: "assistant",
        content: null,
        tool_calls: [toolCall("a", "local_shell", JSON.stringify(action))],
      },
      { role: "tool", tool_call_id: "a", content: "file.txt" },
      { role: "assistant", content: null, tool_calls: [toolCall("b", "shell", '{"commands":["ls"]}')] },
      { role: "tool", tool_call_id: "b", content: '[{"stdout":"file.txt"}]' },
    ]);
  });
});

test("reasoning goes back to the model while it waits for its tools, and not after", async () => {
  const turn = (id: string) => [
    { role: "user", content: "Go" },
    { type: "reasoning", id: `rs_${id}`, summary: [{ type: "summary_text", text: `Thought ${id}` }] },
    call(id),
    result(id, "done"),
  ];
  const foreign = { type: "reasoning", summary: [], encrypted_content: "of another server" };
  const messages = await told([...turn("a"), foreign, ...turn("b")]);
  expect(messages.filter(({ role }) => role === "assistant")).toEqual([
    { role: "assistant", content: null, tool_calls: [toolCall("a")] },
    { role: "assistant", content: null, reasoning_content: "Thought b", tool_calls: [toolCall("b")] },
  ]);
});

const weather = {
  type: "function",
  name: "weather",
  description: "The weather",
  parameters: { type: "object", properties: { city: { type: "string" } } },
  strict: true,
};
const patch = {
  type: "custom",
  name: "apply_patch",
  description: "Patches files.",
  format: { type: "grammar", syntax: "lark", definition: "start: /.+/" },
};
const files = {
  type: "namespace",
  name: "mcp__files",
  description: "Files",
  tools: [{ ...weather, name: "read" }],
};

describe("tools", () => {
  const offered = async (tools: object[], more: object = {}) => {
    await create({ input: "Hi", store: false, tools, ...more });
    return asked();
  };

  test("are functions, whatever they were; those of OpenAI's own servers are left out", async () => {
    const { body } = await offered([
      weather,
      { type: "function", name: "plain", parameters: null },
      patch,
      files,
      { type: "web_search" },
      { type: "tool_search" },
      { type: "mcp", server_label: "x" },
      { type: "local_shell" },
    ]);
    const { type: _, ...weatherFunction } = weather;
    expect(body.tools).toEqual([
      { type: "function", function: weatherFunction },
      { type: "function", function: { name: "plain", parameters: { type: "object", properties: {} } } },
      {
        type: "function",
        function: {
          name: "apply_patch",
          description: "Patches files.\n\nThe input must follow this lark grammar:\nstart: /.+/",
          parameters: {
            type: "object",
            properties: { input: { type: "string", description: "The whole input of the tool." } },
            required: ["input"],
            additionalProperties: false,
          },
        },
      },
      { type: "function", function: { ...weatherFunction, name: "mcp__files__read" } },
    ]);
    expect(body.tool_choice).toBe("auto");
  });

  test("of an input item are on offer too, and known in the history", async () => {
    const input = [
      { type: "additional_tools", role: "developer", tools: [files, patch] },
      { role: "user", content: "Go" },
      { type: "function_call", call_id: "a", name: "read", namespace: "mcp__files", arguments: "{}" },
      { type: "custom_tool_call", call_id: "b", name: "apply_patch", input: "*** Begin Patch" },
      { type: "function_call_output", call_id: "a", output: "1" },
      { type: "custom_tool_call_output", call_id: "b", output: "2" },
    ];
    await create({ input, store: false });
    const { body, messages } = asked();
    expect(body.tools.map((tool: Json) => tool.function.name)).toEqual(["mcp__files__read", "apply_patch"]);
    expect(messages[1].tool_calls).toEqual([
      toolCall("a", "mcp__files__read"),
      toolCall("b", "apply_patch", '{"input":"*** Begin Patch"}'),
    ]);
  });

  test("have names that Chat Completions takes, each its own", async () => {
    const long = "n".repeat(70);
    const names = ["a.b", "a/b", `${long}1`, `${long}2`].map((name) => ({ ...weather, name }));
    const { body } = await offered([{ type: "namespace", name: "s", tools: names }]);
    const flat: string[] = body.tools.map((tool: Json) => tool.function.name);
    expect(new Set(flat).size).toBe(4);
    for (const name of flat) expect(name).toMatch(/^[\w-]{1,64}$/);
  });

  test("that are none ask for no choice", async () => {
    const { body } = await offered([{ type: "web_search" }], {
      tool_choice: { type: "web_search" },
      parallel_tool_calls: false,
    });
    expect(body).not.toHaveProperty("tools");
    expect(body).not.toHaveProperty("tool_choice");
    expect(body).not.toHaveProperty("parallel_tool_calls");
  });

  const named = (name: string) => ({ type: "function", function: { name } });
  test.each([
    ["none", "none", 3],
    ["auto", "auto", 3],
    ["required", "required", 3],
    [{ type: "function", name: "weather" }, named("weather"), 3],
    [{ type: "custom", name: "apply_patch" }, named("apply_patch"), 3],
    [{ type: "function", name: "read", namespace: "mcp__files" }, named("mcp__files__read"), 3],
    [{ type: "file_search" }, "auto", 3],
    [
      { type: "allowed_tools", mode: "required", tools: [{ type: "function", name: "weather" }] },
      "required",
      1,
    ],
    [{ type: "allowed_tools", mode: "auto", tools: [{ type: "custom", name: "apply_patch" }] }, "auto", 1],
  ])("are chosen from by %j", async (choice, sent, count) => {
    const { body } = await offered([weather, patch, files], {
      tool_choice: choice,
      parallel_tool_calls: false,
    });
    expect(body.tool_choice).toEqual(sent);
    expect(body.tools).toHaveLength(count);
    expect(body.parallel_tool_calls).toBe(false);
  });
});

test.each([
  [{ type: "text" }, undefined],
  [{ type: "json_object" }, { type: "json_object" }],
  [{ type: "json_schema", name: "a" }, { type: "json_object" }],
  [
    { type: "json_schema", name: "a", schema: { type: "object" }, strict: true, description: "b" },
    {
      type: "json_schema",
      json_schema: { name: "a", schema: { type: "object" }, strict: true, description: "b" },
    },
  ],
])("the format %j is asked for as Chat Completions has it", async (format, sent) => {
  await create({ input: "Hi", store: false, text: { format, verbosity: "low" } });
  expect(asked().body.response_format).toEqual(sent);
  expect(asked().body.verbosity).toBe("low");
});

test("sampling is passed on, and null is nothing", async () => {
  const nothing = { tools: null, tool_choice: null, text: null, include: null, metadata: null, user: null };
  await create({
    input: "Hi",
    max_output_tokens: 7,
    temperature: 0.5,
    top_p: null,
    reasoning: { effort: "high", summary: "auto" },
    ...nothing,
  });
  const { messages: _, ...body } = asked().body;
  expect(body).toEqual({
    stream: false,
    max_completion_tokens: 7,
    temperature: 0.5,
    reasoning_effort: "high",
  });
  expect(asked().prompt.maxTokens).toBe(7);
});

test.each([
  [{}, "input", "invalid_request"],
  [{ input: 5 }, "input", "invalid_request"],
  [{ input: [5] }, "input[0]", "invalid_request"],
  [{ input: "Hi", temperature: 3 }, "temperature", "invalid_request"],
  [{ input: "Hi", conversation: "conv_1" }, "conversation", "unsupported_parameter"],
  [{ input: "Hi", background: true }, "background", "unsupported_parameter"],
  [{ input: "Hi", prompt: { id: "p" } }, "prompt", "unsupported_parameter"],
  [{ input: "Hi", tool_choice: "required" }, "tool_choice", "invalid_request"],
  [{ input: "Hi", tool_choice: { type: "function", name: "x" } }, "tool_choice", "invalid_request"],
  [
    { input: [{ role: "user", content: [{ type: "input_image", file_id: "file_1" }] }] },
    "input",
    "unsupported_content",
  ],
  [
    { input: [{ role: "user", content: [{ type: "input_file", file_url: "https://a.b" }] }] },
    "input",
    "unsupported_content",
  ],
])("%j is refused", async (body, param, code) => {
  expect(await failure(body)).toMatchObject({ status: 400, param, code, type: "invalid_request_error" });
});
