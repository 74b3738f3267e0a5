import { describe, expect, test } from "bun:test";
import { scriptedProvider } from "../fakes/scripted-provider.ts";
import { schemaErrors } from "../support/openai-schema.ts";
import { hello, testHandler } from "../support/test-handler.ts";

describe("a request's body", () => {
  test.each([
    ["", "invalid_json"],
    ["{", "invalid_json"],
    ["[1", "invalid_json"],
    ["null", "invalid_request"],
    ["[]", "invalid_request"],
    ['"text"', "invalid_request"],
    ["[ without end", "invalid_request"],
  ])("%p is %s", async (text, code) => {
    const { chat } = testHandler();
    const response = await chat(text === "[ without end" ? "[".repeat(100_000) : text);
    expect(response.status).toBe(400);
    const answer = await response.json();
    expect(schemaErrors("ErrorResponse", answer)).toEqual([]);
    expect(answer.error.code).toBe(code);
  });

  test("that is not UTF-8 is invalid_json", async () => {
    const { send } = testHandler();
    const response = await send("/v1/chat/completions", {
      method: "POST",
      body: new Uint8Array([0x7b, 0xff, 0x7d]),
    });
    expect((await response.json()).error.code).toBe("invalid_json");
  });

  test("may begin with a byte order mark", async () => {
    const { chat } = testHandler();
    expect((await chat(`\ufeff${JSON.stringify(hello)}`)).status).toBe(200);
  });

  test("that is too large is refused without reading the rest, with and without a declared length", async () => {
    const { chat, send } = testHandler({ MAX_BODY_BYTES: "2000" });
    const declared = await chat("x".repeat(2001), { headers: { "content-length": "2001" } });
    expect(declared.status).toBe(413);
    expect((await declared.json()).error.code).toBe("request_too_large");
    let pulled = 0;
    const endless = new ReadableStream({
      pull(controller) {
        pulled++;
        controller.enqueue(new Uint8Array(1000));
      },
    });
    const undeclared = await send("/v1/chat/completions", { method: "POST", body: endless });
    expect(undeclared.status).toBe(413);
    expect(pulled).toBeLessThan(10);
  });

  test.each([
    [{ messages: undefined }, "messages"],
    [{ messages: [] }, "messages"],
    [{ messages: "hi" }, "messages"],
    [
      {
        messages: [
          { role: "user", content: "x" },
          { role: "user", content: 5 },
        ],
      },
      "messages[1].content",
    ],
    [{ model: 5 }, "model"],
    [{ stream: "yes" }, "stream"],
    [{ messages: [{ role: 5, content: "x" }] }, "messages[0].role"],
    [{ messages: [{ role: "", content: "x" }] }, "messages[0].role"],
    [{ messages: [{ content: "x" }] }, "messages[0].role"],
    [{ messages: [{ role: "user", content: [5] }] }, "messages[0].content[0]"],
    [{ messages: [{ role: "user", content: [{ type: 5 }] }] }, "messages[0].content[0].type"],
    [{ tool_choice: true }, "tool_choice"],
    [{ tools: ["x"] }, "tools[0]"],
    [{ n: 0 }, "n"],
    [{ n: 1.5 }, "n"],
    [{ n: 129 }, "n"],
    [{ max_tokens: "10" }, "max_tokens"],
    [{ stop: [1] }, "stop[0]"],
    [{ user: 7 }, "user"],
    [{ stream_options: { include_usage: "yes" } }, "stream_options.include_usage"],
    [{ tools: "x" }, "tools"],
  ])("with %j is invalid_request and names %s", async (fields, param) => {
    const { chat } = testHandler();
    const response = await chat({ ...hello, ...fields });
    expect(response.status).toBe(400);
    const { error } = await response.json();
    expect(error).toMatchObject({ type: "invalid_request_error", param });
    expect(error.message).toContain(param);
  });

  test("is not quoted in the error", async () => {
    const { chat, log } = testHandler();
    const response = await chat({ messages: "my secret" });
    expect(await response.text()).not.toContain("secret");
    expect(JSON.stringify(log.lines)).not.toContain("secret");
  });

  test.each([
    [
      {
        stream: null,
        model: null,
        user: null,
        stop: null,
        n: null,
        max_tokens: null,
        tools: null,
        stream_options: null,
      },
    ],
    [{ model: "" }],
    [{ unknown: { nested: [1] }, metadata: {}, store: true, parallel_tool_calls: false }],
    [{ temperature: 0, top_p: 1, seed: -7, presence_penalty: 0.5, logit_bias: { "50256": -100 } }],
    [
      {
        messages: [
          { role: "developer", content: "d" },
          { role: "system", content: [{ type: "text", text: "s" }] },
          { role: "tool", content: "t", tool_call_id: "1" },
        ],
      },
    ],
    [
      {
        messages: [
          { role: "assistant", content: null, tool_calls: [] },
          { role: "function", name: "f", content: "x" },
        ],
      },
    ],
    [{ messages: [{ role: "assistant" }, { role: "user", content: "x", name: "n", extra: 1 }] }],
  ])("with %j is accepted", async (fields) => {
    const { chat } = testHandler();
    expect((await chat({ ...hello, ...fields })).status).toBe(200);
  });

  test("may have parts without a type, which are known by what they hold", async () => {
    const { chat, provider } = testHandler();
    const content = [{ text: "a" }, "b", { type: null, text: "c" }, { image_url: { url: "data:" } }];
    await chat({ ...hello, messages: [{ role: "user", content }] });
    const [message] = provider.requests[0]?.request.messages ?? [];
    expect(message).toMatchObject({
      text: "abc",
      attachments: [{ type: "image_url" }],
      native: { role: "user", content },
    });
  });

  test("may have messages of roles that only some models know, in a conversation too", async () => {
    const { chat, provider } = testHandler();
    const headers = { "x-session-id": "roles" };
    const control = { role: "control", content: "thinking" };
    await chat({ ...hello, messages: [control, ...hello.messages] }, { headers });
    await chat(hello, { headers });
    const native = provider.requests[1]?.request.messages.map((message) => message.native);
    expect(native?.[0]).toEqual(control);
    expect(native?.map(({ role }) => role)).toEqual(["control", "user", "assistant", "user"]);
  });

  test("reaches the provider as it was understood", async () => {
    const { chat, provider } = testHandler();
    await chat({
      ...hello,
      messages: [
        {
          role: "user",
          content: [
            { type: "text", text: "a" },
            { type: "image_url", image_url: { url: "data:" } },
            { type: "text", text: "b" },
          ],
        },
      ],
      stop: "END",
      max_tokens: 5,
      max_completion_tokens: 9,
      n: 2,
      tools: [{ type: "function", function: { name: "f" } }],
      tool_choice: { type: "function", function: { name: "f" } },
      response_format: { type: "json_object" },
      temperature: 0.5,
    });
    const request = provider.requests[0]?.request;
    expect(request).toMatchObject({
      model: "test-model",
      stop: ["END"],
      maxTokens: 9,
      choices: 2,
      tools: [{ name: "f" }],
      toolChoice: { tool: "f" },
      responseFormat: "json_object",
      stream: false,
      usage: true,
    });
    expect(request?.messages[0]).toMatchObject({
      role: "user",
      text: "ab",
      attachments: [{ type: "image_url" }],
    });
    expect(request?.native.temperature).toBe(0.5);
  });

  const tools = ["weather", "time"].map((name) => ({
    type: "function",
    function: { name, description: `Tells the ${name}.`, parameters: { type: "object" }, strict: true },
  }));
  const timeTool = {
    name: "time",
    description: "Tells the time.",
    parameters: { type: "object" },
    strict: true,
  };

  test.each(["auto", "required"] as const)("a choice among allowed tools in the mode %s", async (mode) => {
    const { chat, provider } = testHandler();
    const allowed_tools = { mode, tools: tools.slice(1) };
    await chat({ ...hello, tools, tool_choice: { type: "allowed_tools", allowed_tools } });
    expect(provider.requests[0]?.request).toMatchObject({ tools: [timeTool], toolChoice: mode });
  });

  test.each([
    ["none", "none"],
    ["any", "required"],
    ["required", "required"],
    [{ type: "auto" }, "auto"],
    [{ type: "none" }, "none"],
    [{ type: "any" }, "required"],
    [{ type: "tool", name: "time" }, { tool: "time" }],
    [{ type: "function", name: "time" }, { tool: "time" }],
    ["validated", "required"],
    [{ type: "function", function: { name: "time" } }, { tool: "time" }],
    [{ type: "custom", custom: { name: "sql" } }, "required"],
    [undefined, "auto"],
  ] as const)("a tool choice of %j reaches the provider", async (choice, expected) => {
    const { chat, provider } = testHandler();
    await chat({ ...hello, tools, tool_choice: choice, parallel_tool_calls: false });
    expect(provider.requests[0]?.request).toMatchObject({
      tools: [{ name: "weather" }, timeTool],
      toolChoice: expected,
      parallelToolCalls: false,
    });
  });

  test("a response format reaches the provider with its schema", async () => {
    const { chat, provider } = testHandler();
    const schema = { type: "object", properties: { city: { type: "string" } } };
    const json_schema = { name: "place", description: "A place", schema, strict: true };
    await chat({ ...hello, response_format: { type: "json_schema", json_schema } });
    await chat({ ...hello, response_format: { type: "json_object" } });
    await chat(hello);
    expect(provider.requests.map(({ request }) => request.responseFormat)).toEqual([
      { name: "place", description: "A place", schema },
      "json_object",
      "text",
    ]);
  });

  test("starts a conversation of its own each time", async () => {
    const { chat, provider } = testHandler();
    await chat(hello);
    await chat(hello);
    const [first, second] = provider.requests.map(({ request }) => request.conversation);
    expect(first?.id).toMatch(/^[a-z0-9]{9}$/);
    expect(first?.id).not.toBe(second?.id);
  });
});

describe("a request's model", () => {
  test("that is unknown is model_not_found", async () => {
    const { chat } = testHandler();
    const response = await chat({ ...hello, model: "gpt-5" });
    expect(response.status).toBe(404);
    expect((await response.json()).error).toMatchObject({ code: "model_not_found", param: "model" });
  });

  test("may have another name, which the answer keeps", async () => {
    const provider = scriptedProvider({ models: [{ id: "test-model", aliases: ["kimi"], createdAt: 1 }] });
    const { chat } = testHandler({}, { providers: [provider] });
    const answer = await (await chat({ ...hello, model: "kimi" })).json();
    expect(answer.model).toBe("kimi");
    expect(provider.requests[0]?.request.model).toBe("test-model");
  });
});
