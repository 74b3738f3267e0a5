/** The AI SDK and LangChain through Anthropic's Messages. */
import { describe, expect, test } from "bun:test";
import { createAnthropic } from "@ai-sdk/anthropic";
import { ChatAnthropic } from "@langchain/anthropic";
import { generateObject, generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";
import { gatewayBeforeUpstreams, testUpstream } from "../support/gateway-before-upstreams.ts";

const apiKey = "sk-client";
const upstream = await testUpstream();
const { url, baseURL } = await gatewayBeforeUpstreams({
  API_MASTER_KEY: apiKey,
  OPENAI_BASE_URL: upstream.baseUrl,
  MODEL_ALIASES: "*=echo",
});

const citySchema = {
  type: "object" as const,
  properties: { city: { type: "string" as const } },
  required: ["city"],
};

describe("@ai-sdk/anthropic", () => {
  const anthropic = createAnthropic({ apiKey, baseURL });
  const model = anthropic("claude-of-the-test");
  const asked: unknown[] = [];
  const tools = {
    get_weather: tool({
      description: "The weather of a city.",
      inputSchema: jsonSchema<{ city: string }>(citySchema),
      execute: async (input) => {
        asked.push(input);
        return "Sunny";
      },
    }),
  };

  test("generates text, with token counts", async () => {
    const { text, usage, finishReason } = await generateText({ model, prompt: "Hello there" });
    expect({ text, finishReason }).toEqual({ text: "Echo: Hello there", finishReason: "stop" });
    expect(usage).toMatchObject({ inputTokens: 1, outputTokens: 7 });
  });

  test("streams text, and runs a tool in between", async () => {
    const result = streamText({ model, prompt: "Weather?", tools, stopWhen: stepCountIs(3) });
    expect((await Array.fromAsync(result.textStream)).join("")).toBe("The tool said: Sunny");
    expect(asked).toEqual([{ city: "Paris" }]);
    const steps = await result.steps;
    expect(steps.map(({ finishReason }) => finishReason)).toEqual(["tool-calls", "stop"]);
  });

  test("generates an object", async () => {
    const { object } = await generateObject({
      model,
      prompt: "Capital of France?",
      schema: jsonSchema<{ city: string }>(citySchema),
    });
    expect(object).toEqual({ city: "Paris" });
  });

  test("reads thoughts, whole and streamed", async () => {
    const thinking = {
      model: anthropic("reasoner"),
      prompt: "Why?",
      providerOptions: { anthropic: { thinking: { type: "enabled", budgetTokens: 2000 } } },
    };
    const whole = await generateText(thinking);
    expect(whole.reasoningText).toBe("First I think about it.");
    const streamed = streamText(thinking);
    expect(await streamed.reasoningText).toBe("First I think about it.");
    expect(await streamed.text).toBe("Echo: Why?");
  });

  test("fails with the status and the words of an error", async () => {
    const stranger = createAnthropic({ apiKey: "sk-wrong", baseURL })("claude-of-the-test");
    const error = await generateText({ model: stranger, prompt: "Hi" }).catch((reason) => reason);
    expect(error).toMatchObject({ statusCode: 401, isRetryable: false });
    expect(error.message).toContain("API key");
  });
});

describe("@langchain/anthropic", () => {
  const chat = new ChatAnthropic({
    model: "claude-of-the-test",
    apiKey,
    anthropicApiUrl: url,
    maxRetries: 0,
    maxTokens: 100,
  });

  test("invokes a chat model", async () => {
    const message = await chat.invoke([
      ["system", "Be brief."],
      ["human", "Hello there"],
    ]);
    expect(message.text).toBe("Echo: Hello there");
    expect(message).toMatchObject({
      usage_metadata: { input_tokens: 2, output_tokens: 7 },
      response_metadata: { stop_reason: "end_turn" },
    });
  });

  test("streams a chat model", async () => {
    const chunks = await Array.fromAsync(await chat.stream("Hello there"));
    expect(chunks.length).toBeGreaterThan(3);
    expect(chunks.reduce((sum, chunk) => sum.concat(chunk)).text).toBe("Echo: Hello there");
  });

  test("calls tools", async () => {
    const tools = [{ name: "get_weather", description: "The weather.", input_schema: citySchema }];
    const message = await chat.bindTools(tools).invoke("Weather?");
    expect(message.tool_calls).toMatchObject([
      { name: "get_weather", args: { city: "Paris" }, id: "call_0_0" },
    ]);
  });
});
