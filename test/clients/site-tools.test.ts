/**
 * Clients' own libraries with tools and schemas on the chat site, stand-in or real WordPress, whose model is scripted:
 * it keeps to the form, or half, or not at all.
 */
import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { ChatOpenAI } from "@langchain/openai";
import { generateObject, generateText, isStepCount, jsonSchema, streamText, tool } from "ai";
import { createAgent, tool as langchainTool } from "langchain";
import OpenAI from "openai";
import { siteUnderTest } from "../fakes/site-under-test.ts";
import { startServer } from "../support/start-server.ts";
import { sseData } from "../support/test-handler.ts";

const apiKey = "sk-client";
const site = await siteUnderTest();
const server = await startServer({
  env: {
    CHAT_PAGE_URL: site.pageUrl,
    UPSTREAM_URL: site.ajaxUrl,
    API_MASTER_KEY: apiKey,
    STREAM_COMMIT_MS: "100",
    STREAM_KEEPALIVE_MS: "100",
    CIRCUIT_BREAKER: "off",
  },
});
afterAll(async () => {
  await server.stop();
  await site.stop();
});
beforeEach(() => site.reset());

const baseURL = `${server.url}/v1`;
const model = "kimi-k2-instruct";
const prompt = "What is the weather in Paris?";
const answer = "It is sunny in Paris.";

const script = (...replies: readonly string[]) =>
  site.queue({ ajax: replies.map((reply) => `text=${reply}`) });
const prompts = async () => (await site.log()).ajax.map((row) => row.seen ?? "");

const city = {
  type: "object" as const,
  properties: { city: { type: "string" as const, description: "Its name in English" } },
  required: ["city"],
};
const place = {
  type: "object" as const,
  properties: {
    city: { type: "string" as const },
    inhabitants: { type: "integer" as const },
    isCapital: { type: "boolean" as const },
  },
  required: ["city", "inhabitants", "isCapital"],
  additionalProperties: false,
};
const paris = { city: "Paris", inhabitants: 2_100_000, isCapital: true };

/** How a model may say the same. */
const calls = [
  ["that keeps to the form", '@@weather {"city": "Paris"}'],
  ["that half keeps to it", "I'll look that up!\n@@Weather({'city': 'Paris',})\nTool: weather: rain"],
  ["that has a form of its own", '<tool_call>{"name":"weather","arguments":{"city":"Paris"}}</tool_call>'],
] as const;
const objects = [
  ["that keeps to the form", JSON.stringify(paris)],
  [
    "that half keeps to it",
    "Sure:\n```json\n{'city': 'Paris', 'inhabitants': '2100000', 'isCapital': True}\n```",
  ],
] as const;

describe("the openai package", () => {
  const client = new OpenAI({ apiKey, baseURL, maxRetries: 0 });
  const request = {
    model,
    messages: [{ role: "user" as const, content: prompt }],
    tools: [
      {
        type: "function" as const,
        function: {
          name: "weather",
          description: "How the weather is",
          parameters: city,
          parse: (json: string): { city: string } => JSON.parse(json),
          function: ({ city: name }: { city: string }) => `Sunny in ${name}`,
        },
      },
    ],
  };

  describe.each(calls)("with a model %s", (_, call) => {
    test.each([true, false])("runs tools, stream: %p", async (stream) => {
      await script(call, answer);
      const runner = stream
        ? client.chat.completions.runTools({ ...request, stream: true })
        : client.chat.completions.runTools({ ...request, stream: false });
      expect(await runner.finalContent()).toBe(answer);
      expect(await runner.finalFunctionToolCall()).toMatchObject({
        name: "weather",
        arguments: '{"city":"Paris"}',
      });
      expect((await prompts())[1]).toEndWith('@@weather {"city":"Paris"}\nTool: weather: Sunny in Paris');
    });
  });

  test("gets the text of a model that ignores the form", async () => {
    await script("I have no tools.");
    const runner = client.chat.completions.runTools({ ...request, stream: false });
    expect(await runner.finalContent()).toBe("I have no tools.");
  });

  test("runs a demanded tool, asked for twice", async () => {
    await script("I have no tools.", 'The city: {"city": "Paris"}', answer);
    const { choices } = await client.chat.completions.create({
      ...request,
      tools: [{ type: "function", function: { name: "weather", parameters: city } }],
      tool_choice: { type: "function", function: { name: "weather" } },
    });
    expect(choices[0]).toMatchObject({
      finish_reason: "tool_calls",
      message: { content: null, tool_calls: [{ type: "function", function: { name: "weather" } }] },
    });
  });

  test.each(objects)("parses the object of a model %s", async (_, reply) => {
    await script(reply);
    const completion = await client.chat.completions.parse({
      model,
      messages: request.messages,
      response_format: { type: "json_schema", json_schema: { name: "place", strict: true, schema: place } },
    });
    expect(completion.choices[0]?.message.content).toBe(JSON.stringify(paris));
  });

  test("raises an upstream's fault where a model ignores the form twice", async () => {
    await script("Paris is nice.", "Really nice.");
    const error = await client.chat.completions
      .create({ model, messages: request.messages, response_format: { type: "json_object" } })
      .catch((reason: unknown) => reason);
    expect(error).toMatchObject({ status: 502, code: "upstream_invalid_response" });
  });
});

describe("the AI SDK", () => {
  const kimi = createOpenAICompatible({ name: "kimi", baseURL, apiKey, supportsStructuredOutputs: true });
  const tools = {
    weather: tool({
      description: "How the weather is",
      inputSchema: jsonSchema<{ city: string }>(city),
      execute: async ({ city: name }) => `Sunny in ${name}`,
    }),
  };

  describe.each(calls)("with a model %s", (_, call) => {
    test("calls tools in several steps", async () => {
      await script(call, answer);
      const { text, steps } = await generateText({
        model: kimi(model),
        prompt,
        tools,
        stopWhen: isStepCount(3),
      });
      expect(steps.map(({ finishReason }) => finishReason)).toEqual(["tool-calls", "stop"]);
      expect(text).toBe(answer);
    });

    test("calls tools in several steps of a stream, without their marks in its text", async () => {
      await script(call, answer);
      const result = streamText({ model: kimi(model), prompt, tools, stopWhen: isStepCount(3) });
      const texts = await Array.fromAsync(result.textStream);
      expect(texts.join("")).toEndWith(answer);
      expect(texts.join("")).not.toMatch(/[@<{]/);
    });
  });

  test.each(objects)("generates an object with a model %s", async (_, reply) => {
    await script(reply);
    const { object } = await generateObject({
      model: kimi(model),
      prompt,
      schema: jsonSchema<typeof paris>(place),
    });
    expect(object).toEqual(paris);
  });

  test("generates an object with a model that needs to be reminded", async () => {
    await script("Paris is nice.", JSON.stringify(paris));
    const { object } = await generateObject({
      model: kimi(model),
      prompt,
      schema: jsonSchema<typeof paris>(place),
    });
    expect(object).toEqual(paris);
    expect(await prompts()).toHaveLength(2);
  });
});

describe("LangChain", () => {
  const chat = new ChatOpenAI({ model, apiKey, configuration: { baseURL }, maxRetries: 0 });
  const weather = langchainTool(({ city: name }: { city: string }) => `Sunny in ${name}`, {
    name: "weather",
    description: "How the weather is",
    schema: city,
  });

  test.each(calls)("has agents, with a model %s", async (_, call) => {
    await script(call, answer);
    const agent = createAgent({ model: chat, tools: [weather] });
    const { messages } = await agent.invoke({ messages: [{ role: "user", content: prompt }] });
    expect(messages.map(({ type }) => type)).toEqual(["human", "ai", "tool", "ai"]);
    expect(messages.at(-1)?.text).toBe(answer);
  });

  test.each(["jsonSchema", "functionCalling", "jsonMode"] as const)(
    "has structured output by %s",
    async (method) => {
      await script(JSON.stringify(paris));
      const structured = chat.withStructuredOutput(place, { name: "place", method });
      expect(await structured.invoke(prompt)).toEqual(paris);
    },
  );
});

test("a slow call of a tool is kept alive by comments, and nothing of its marks is in the stream", async () => {
  await site.queue({ ajax: ['slow=1|text=Let me look.\n@@weather {"city": "Paris"}'] });
  const response = await fetch(`${baseURL}/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${apiKey}`, "content-type": "application/json" },
    body: JSON.stringify({
      model,
      stream: true,
      messages: [{ role: "user", content: prompt }],
      tools: [{ type: "function", function: { name: "weather", parameters: city } }],
    }),
  });
  const text = await response.text();
  expect(text).toMatch(/^: keep-alive$/m);
  expect(text).not.toContain("@@");
  const deltas = sseData(text).flatMap((data) => {
    const [choice] = (data as { choices?: { delta: unknown; finish_reason: unknown }[] }).choices ?? [];
    return choice === undefined ? [] : [choice];
  });
  expect(deltas.at(-1)?.finish_reason).toBe("tool_calls");
});

test("a conversation that the gateway keeps goes on with the tool's result alone", async () => {
  const send = async (message: unknown) => {
    const response = await fetch(`${baseURL}/chat/completions`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${apiKey}`,
        "content-type": "application/json",
        "x-session-id": "tools-by-prompt",
      },
      body: JSON.stringify({
        model,
        messages: [message],
        tools: [{ type: "function", function: { name: "weather", parameters: city } }],
      }),
    });
    return (await response.json()) as OpenAI.ChatCompletion;
  };
  await script('@@weather {"city": "Paris"}', answer);
  const { choices } = await send({ role: "user", content: prompt });
  const id = choices[0]?.message.tool_calls?.[0]?.id;
  const next = await send({ role: "tool", tool_call_id: id, content: "Sunny" });
  expect(next.choices[0]?.message.content).toBe(answer);
  expect((await prompts())[1]).toEndWith(
    `User: ${prompt}\nAssistant: @@weather {"city":"Paris"}\nTool: weather: Sunny`,
  );
});

describe("other dialects", () => {
  const post = async (path: string, body: unknown) => {
    const response = await fetch(`${server.url}${path}`, {
      method: "POST",
      headers: { "x-api-key": apiKey, authorization: `Bearer ${apiKey}`, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    return { status: response.status, body: await response.json() };
  };

  test("Messages have tools, their results and a demanded one", async () => {
    await script('@@weather {"city": "Paris"}', answer, '{"city": "Paris"}');
    const request = {
      model,
      max_tokens: 500,
      tools: [{ name: "weather", description: "How the weather is", input_schema: city }],
      messages: [{ role: "user", content: prompt }],
    };
    const { body: first } = await post("/v1/messages", request);
    expect(first).toMatchObject({
      stop_reason: "tool_use",
      content: [{ type: "tool_use", name: "weather", input: { city: "Paris" } }],
    });
    const result = { type: "tool_result", tool_use_id: first.content[0].id, content: "Sunny" };
    const { body: second } = await post("/v1/messages", {
      ...request,
      messages: [
        ...request.messages,
        { role: "assistant", content: first.content },
        { role: "user", content: [result] },
      ],
    });
    expect(second).toMatchObject({ stop_reason: "end_turn", content: [{ type: "text", text: answer }] });
    expect((await prompts())[1]).toContain('@@weather {"city":"Paris"}\nTool: weather: Sunny');
    const { body: third } = await post("/v1/messages", {
      ...request,
      tool_choice: { type: "tool", name: "weather" },
    });
    expect(third).toMatchObject({
      stop_reason: "tool_use",
      content: [{ type: "tool_use", name: "weather" }],
    });
  });

  test("Ollama's chat has tools and a schema", async () => {
    await script('@@weather {"city": "Paris"}', `Here: ${JSON.stringify(paris)}`);
    const request = { model, stream: false, messages: [{ role: "user", content: prompt }] };
    const { body: called } = await post("/api/chat", {
      ...request,
      tools: [{ type: "function", function: { name: "weather", parameters: city } }],
    });
    expect(called.message.tool_calls).toMatchObject([
      { function: { name: "weather", arguments: { city: "Paris" } } },
    ]);
    const { body: formed } = await post("/api/chat", { ...request, format: place });
    expect(JSON.parse(formed.message.content)).toEqual(paris);
  });
});
