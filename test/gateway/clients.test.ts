/** What clients' own libraries do with an upstream that can call tools and keep to a schema, through the gateway. */
import { describe, expect, test } from "bun:test";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { ChatOpenAI } from "@langchain/openai";
import { generateText, isStepCount, jsonSchema, Output, streamText, tool } from "ai";
import OpenAI from "openai";
import { chunk, doneEvent, eventStream } from "../fakes/openai-upstream.ts";
import { gatewayBeforeUpstreams, testUpstream } from "../support/gateway-before-upstreams.ts";

const apiKey = "sk-client";
// With a gap, as texts that arrive together would go on as one.
const upstream = await testUpstream("sk-upstream", 2);
const { baseURL } = await gatewayBeforeUpstreams({
  API_MASTER_KEY: apiKey,
  OPENAI_BASE_URL: upstream.baseUrl,
  OPENAI_API_KEY: "sk-upstream",
});

const city = {
  type: "object" as const,
  properties: { city: { type: "string" as const } },
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
/** What the stand-in makes of it. */
const paris = { city: "Paris", inhabitants: 1, isCapital: true };

const messages = [{ role: "user" as const, content: "What is the weather?" }];
const report = ({ city: name }: { city: string }) => `Sunny in ${name}`;

describe("the openai package", () => {
  const client = new OpenAI({ apiKey, baseURL, maxRetries: 0 });
  const functionTool = {
    type: "function" as const,
    function: {
      name: "weather",
      description: "How the weather is",
      parameters: city,
      function: report,
      parse: (json: string): { city: string } => JSON.parse(json),
    },
  };

  test("runs tools, streaming or not", async () => {
    const request = { model: "echo", messages, tools: [functionTool] };
    for (const runner of [
      client.chat.completions.runTools({ ...request, stream: false }),
      client.chat.completions.runTools({ ...request, stream: true }),
    ]) {
      expect(await runner.finalContent()).toBe("The tool said: Sunny in Paris");
    }
    expect(upstream.calls.at(-1)?.body.messages.at(-1)).toMatchObject({
      role: "tool",
      tool_call_id: "call_0_0",
      content: "Sunny in Paris",
    });
  });

  test("tells tool calls that come at once apart in a stream", async () => {
    const tools = ["weather", "time"].map((name) => ({
      type: "function" as const,
      function: { name, parameters: city },
    }));
    const runner = client.chat.completions.stream({ model: "echo", messages, tools });
    const done: string[] = [];
    runner.on("tool_calls.function.arguments.done", ({ name, arguments: json }) => done.push(name + json));
    const { choices } = await runner.finalChatCompletion();
    expect(choices[0]?.finish_reason).toBe("tool_calls");
    expect(choices[0]?.message.tool_calls?.map(({ id }) => id)).toEqual(["call_0_0", "call_0_1"]);
    expect(done).toEqual(['weather{"city":"Paris"}', 'time{"city":"Paris"}']);
  });

  const response_format = {
    type: "json_schema" as const,
    json_schema: { name: "place", strict: true, schema: place },
  };

  test("parses what keeps to a JSON schema, streaming or not", async () => {
    const whole = await client.chat.completions.parse({ model: "echo", messages, response_format });
    expect(whole.choices[0]?.message.parsed).toEqual(paris);
    const runner = client.chat.completions.stream({ model: "echo", messages, response_format });
    const { choices } = await runner.finalChatCompletion();
    expect(JSON.parse(choices[0]?.message.content ?? "")).toEqual(paris);
    expect(upstream.calls.at(-1)?.body.response_format).toEqual(response_format);
  });

  test("gets several replies with log probabilities, streaming or not", async () => {
    const request = { model: "echo", messages, n: 3, logprobs: true, top_logprobs: 2 };
    const { choices } = await client.chat.completions.create(request);
    const streamed = await client.chat.completions.stream(request).finalChatCompletion();
    for (const [index, choice] of streamed.choices.entries()) {
      const text = `${index > 0 ? `Echo ${index}` : "Echo"}: What is the weather?`;
      for (const { message, logprobs } of [choice, choices[index] as typeof choice]) {
        expect(message.content).toBe(text);
        expect(logprobs?.content?.map(({ token }) => token).join("")).toBe(text);
      }
    }
    expect(streamed.choices).toHaveLength(3);
  });

  test("gets a refusal, streaming or not", async () => {
    const request = { model: "refuser", messages };
    const whole = await client.chat.completions.create(request);
    const runner = client.chat.completions.stream(request);
    const refusals: string[] = [];
    runner.on("refusal.delta", ({ delta }) => refusals.push(delta));
    for (const { choices } of [whole, await runner.finalChatCompletion()]) {
      expect(choices[0]?.message).toMatchObject({ refusal: "I would rather not." });
    }
    expect(refusals.join("")).toBe("I would rather not.");
  });

  test("gets the upstream's own token counts", async () => {
    const request = { model: "echo", messages };
    const { usage } = await client.chat.completions.create(request);
    const stream = await client.chat.completions.create({
      ...request,
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = await Array.fromAsync(stream);
    expect(chunks.at(-1)?.usage).toEqual(usage as OpenAI.CompletionUsage);
    expect(usage).toMatchObject({ completion_tokens: 7, completion_tokens_details: { reasoning_tokens: 2 } });
  });
});

describe("the AI SDK", () => {
  const upstreamModels = createOpenAICompatible({
    name: "gateway",
    baseURL,
    apiKey,
    includeUsage: true,
    supportsStructuredOutputs: true,
  });
  const model = upstreamModels("echo");
  const tools = {
    weather: tool({
      inputSchema: jsonSchema<{ city: string }>(city),
      execute: async (input) => report(input),
    }),
  };
  const prompt = "What is the weather?";

  test("calls tools in several steps", async () => {
    const { text, steps } = await generateText({ model, prompt, tools, stopWhen: isStepCount(3) });
    expect(steps.map(({ finishReason }) => finishReason)).toEqual(["tool-calls", "stop"]);
    expect(text).toBe("The tool said: Sunny in Paris");
  });

  test("calls tools in several steps of a stream", async () => {
    const result = streamText({ model, prompt, tools, stopWhen: isStepCount(3) });
    const parts = await Array.fromAsync(result.fullStream);
    expect(parts.find((part) => part.type === "tool-call")).toMatchObject({
      toolName: "weather",
      input: { city: "Paris" },
    });
    expect(await result.text).toBe("The tool said: Sunny in Paris");
    expect((await result.totalUsage).outputTokens).toBe(14);
  });

  test("gets an object that keeps to a schema, streaming or not", async () => {
    const output = Output.object({ schema: jsonSchema<typeof paris>(place) });
    expect((await generateText({ model, prompt, output })).output).toEqual(paris);
    const seen = Promise.withResolvers<void>();
    const [start, rest] = ['{"city":"Paris",', '"inhabitants":1,"isCapital":true}'];
    upstream.script({
      headers: eventStream,
      steps: [chunk({ content: start }), () => seen.promise, chunk({ content: rest }, "stop"), doneEvent],
    });
    const result = streamText({ model, prompt, output });
    const partial: unknown[] = [];
    for await (const object of result.partialOutputStream) {
      partial.push(object);
      seen.resolve();
    }
    expect(partial.length).toBeGreaterThan(1);
    expect(await result.output).toEqual(paris);
  });

  test("tells reasoning from text, streaming or not", async () => {
    const reasoner = upstreamModels("reasoner");
    const whole = await generateText({ model: reasoner, prompt });
    expect(whole.reasoningText).toBe("First I think about it.");
    const result = streamText({ model: reasoner, prompt });
    const types = new Set((await Array.fromAsync(result.fullStream)).map(({ type }) => type));
    expect([...types]).toContainValues(["reasoning-delta", "text-delta"]);
    expect(await result.reasoningText).toBe("First I think about it.");
    expect(await result.text).toBe(whole.text);
  });
});

describe("LangChain", () => {
  const chat = new ChatOpenAI({ model: "echo", apiKey, configuration: { baseURL }, maxRetries: 0 });
  const weather = { type: "function" as const, function: { name: "weather", parameters: city } };

  test("calls tools, streaming or not", async () => {
    const withTools = chat.bindTools([weather]);
    const chunks = await Array.fromAsync(await withTools.stream("What is the weather?"));
    const streamed = chunks.reduce((sum, chunk) => sum.concat(chunk));
    const whole = await withTools.invoke("What is the weather?");
    for (const message of [whole, streamed]) {
      expect(message.tool_calls).toMatchObject([
        { name: "weather", args: { city: "Paris" }, id: "call_0_0" },
      ]);
    }
    const result = { role: "tool", content: "Sunny", tool_call_id: "call_0_0" };
    const answer = await withTools.invoke([["human", "What is the weather?"], whole, result]);
    expect(answer.text).toBe("The tool said: Sunny");
  });

  test("gets an object that keeps to a schema", async () => {
    for (const method of ["jsonSchema", "functionCalling"] as const) {
      const structured = chat.withStructuredOutput(place, { name: "place", method });
      expect(await structured.invoke("Which place?")).toEqual(paris);
    }
  });

  test("gets log probabilities and token counts", async () => {
    const counting = new ChatOpenAI({
      model: "echo",
      apiKey,
      configuration: { baseURL },
      logprobs: true,
      maxRetries: 0,
    });
    const { response_metadata, usage_metadata } = await counting.invoke("Hello");
    const { content } = response_metadata.logprobs as { content: { token: string }[] };
    expect(content.map(({ token }) => token).join("")).toBe("Echo: Hello");
    expect(usage_metadata).toMatchObject({ output_tokens: 7 });
  });
});
