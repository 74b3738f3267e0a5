/** Frameworks that speak Responses: the AI SDK in two ways, and LangChain. */
import { describe, expect, test } from "bun:test";
import { createOpenResponses } from "@ai-sdk/open-responses";
import { createOpenAI } from "@ai-sdk/openai";
import { ChatOpenAI } from "@langchain/openai";
import { generateObject, generateText, isStepCount, type ModelMessage, streamText, tool } from "ai";
import { z } from "zod";
import { chunk, eventStream } from "../fakes/openai-upstream.ts";
import { gatewayBeforeUpstreams, testUpstream } from "../support/gateway-before-upstreams.ts";

const apiKey = "sk-client";
const upstream = await testUpstream();
const { baseURL } = await gatewayBeforeUpstreams({
  API_MASTER_KEY: apiKey,
  OPENAI_BASE_URL: upstream.baseUrl,
  OPENAI_MODELS: "echo,reasoner",
});

const tools = {
  weather: tool({
    description: "The weather of a city",
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => `sunny in ${city}`,
  }),
};

const kinds = [
  ["openai", createOpenAI({ apiKey, baseURL })],
  ["open-responses", createOpenResponses({ name: "gateway", apiKey, url: `${baseURL}/responses` })],
] as const;

describe.each(kinds)("the AI SDK's %s", (_, provider) => {
  const model = provider("echo");

  test("generates a text", async () => {
    const { text, finishReason, usage } = await generateText({ model, prompt: "Hello" });
    expect({ text, finishReason }).toEqual({ text: "Echo: Hello", finishReason: "stop" });
    expect(usage.totalTokens).toBeGreaterThan(0);
  });

  test("streams thoughts and a text", async () => {
    const result = streamText({ model: provider("reasoner"), prompt: "Hello" });
    const deltas = await Array.fromAsync(result.textStream);
    expect(deltas.length).toBeGreaterThan(1);
    expect(deltas.join("")).toBe("Echo: Hello");
    expect(await result.reasoningText).toBe("First I think about it.");
    expect((await result.usage).outputTokens).toBeGreaterThan(0);
  });

  test("runs a tool, whole and streamed", async () => {
    const asked = { model, prompt: "Weather?", tools, stopWhen: isStepCount(3) };
    const whole = await generateText(asked);
    expect(whole.text).toBe("The tool said: sunny in Paris");
    const streamed = streamText(asked);
    expect(await streamed.text).toBe("The tool said: sunny in Paris");
    expect((await streamed.steps).length).toBe(2);
  });

  test("generates an object", async () => {
    const schema = z.object({ city: z.string() });
    const { object } = await generateObject({ model, prompt: "Weather?", schema });
    expect(object).toEqual({ city: "Paris" });
  });

  test("shows what fails in a stream", async () => {
    const steps = [chunk({ content: "Once" }), `data: {"error":{"message":"Out of ink"}}\n\n`];
    upstream.script({ headers: eventStream, steps });
    const result = streamText({ model, prompt: "Hi", maxRetries: 0, onError: () => {} });
    const parts = await Array.fromAsync(result.fullStream);
    expect(JSON.stringify(parts.filter(({ type }) => type === "error"))).toContain("Out of ink");
  });
});

test("the AI SDK's openai names stored items of its history by their ids alone", async () => {
  const sent: string[] = [];
  const provider = createOpenAI({
    apiKey,
    baseURL,
    fetch: Object.assign(
      (url: Parameters<typeof fetch>[0], init?: RequestInit) => {
        sent.push(String(init?.body));
        return fetch(url, init);
      },
      { preconnect: fetch.preconnect },
    ),
  });
  const messages: ModelMessage[] = [{ role: "user", content: "Weather?" }];
  const first = await generateText({ model: provider("echo"), messages, tools, stopWhen: isStepCount(3) });
  messages.push(...first.responseMessages, { role: "user", content: "Thanks" });
  await generateText({ model: provider("echo"), messages });
  const { input } = JSON.parse(sent.at(-1) ?? "");
  expect(input).toContainEqual({ type: "item_reference", id: expect.stringMatching(/^msg_/) });
  expect(upstream.calls.at(-1)?.body.messages).toMatchObject([
    { role: "user", content: "Weather?" },
    { role: "assistant", tool_calls: [{ function: { name: "weather", arguments: '{"city":"Paris"}' } }] },
    { role: "tool", content: "sunny in Paris" },
    { role: "assistant", content: "The tool said: sunny in Paris" },
    { role: "user", content: "Thanks" },
  ]);
});

describe("LangChain with useResponsesApi", () => {
  const chat = new ChatOpenAI({
    model: "echo",
    apiKey,
    configuration: { baseURL },
    useResponsesApi: true,
    maxRetries: 0,
  });

  test("invokes a chat model, and goes on by the response's id", async () => {
    const message = await chat.invoke([
      ["system", "Be brief."],
      ["human", "Hello"],
    ]);
    expect(message.text).toBe("Echo: Hello");
    expect(message).toMatchObject({ usage_metadata: { total_tokens: expect.any(Number) } });
    const previous_response_id = message.response_metadata.id as string;
    const next = await chat.invoke("And?", { previous_response_id });
    expect(next.text).toBe("Echo: And?");
    expect(upstream.calls.at(-1)?.body.messages).toHaveLength(4);
  });

  test("streams a chat model", async () => {
    const chunks = await Array.fromAsync(await chat.stream("Hello"));
    expect(chunks.length).toBeGreaterThan(2);
    const whole = chunks.reduce((sum, piece) => sum.concat(piece));
    expect(whole.text).toBe("Echo: Hello");
    expect(whole).toMatchObject({ usage_metadata: { output_tokens: expect.any(Number) } });
  });

  test("calls a tool", async () => {
    const bound = chat.bindTools([
      {
        type: "function",
        function: {
          name: "weather",
          parameters: { type: "object", properties: { city: { type: "string" } } },
        },
      },
    ]);
    const { tool_calls: calls } = await bound.invoke("Weather?");
    expect(calls).toMatchObject([{ name: "weather", args: { city: "Paris" } }]);
  });
});
