/** Clients of Responses through the gateway to an upstream that speaks them itself, and keeps the state. */
import { describe, expect, test } from "bun:test";
import { createOpenAI } from "@ai-sdk/openai";
import { ChatOpenAI } from "@langchain/openai";
import { Agent, tool as agentTool, OpenAIProvider, Runner, setTracingDisabled } from "@openai/agents";
import { generateText, isStepCount, type ModelMessage, streamText, tool } from "ai";
import OpenAI from "openai";
import { z } from "zod";
import { eventStream, type Json, namedEvents } from "../fakes/openai-upstream.ts";
import { responseEvents } from "../fakes/responses-api.ts";
import { gatewayBeforeUpstreams, testUpstream } from "../support/gateway-before-upstreams.ts";
import { failureOf } from "../support/openai-failure.ts";
import { streamsAndParses, weather } from "../support/openai-responses-client.ts";

const apiKey = "sk-client";
const upstream = await testUpstream();
const { baseURL } = await gatewayBeforeUpstreams({
  API_MASTER_KEY: apiKey,
  PROVIDERS: JSON.stringify([
    { name: "own", baseUrl: upstream.baseUrl, models: ["echo", "reasoner"], responses: true },
  ]),
});
const openai = new OpenAI({ apiKey, baseURL });
const model = "echo";
const last = (): Json => upstream.calls.at(-1);

describe("the openai package's responses", () => {
  test("are created, gone on from, retrieved, listed and deleted where they are kept", async () => {
    const first = await openai.responses.create({ model, input: "Hello", instructions: "Be brief." });
    expect(first.output_text).toBe("Echo: Hello");
    expect(upstream.responses.kept).toContain(first.id);
    const second = await openai.responses.create({ model, input: "Again", previous_response_id: first.id });
    expect(last().body).toEqual({ model, input: "Again", previous_response_id: first.id });
    expect(second.usage?.input_tokens).toBe(3);
    const { output_text: _, ...asMade } = second;
    expect(await openai.responses.retrieve(second.id)).toMatchObject(asMade as object);
    const items = await Array.fromAsync(openai.responses.inputItems.list(second.id, { limit: 1 }));
    expect(items).toMatchObject([{ role: "user", content: [{ type: "input_text", text: "Again" }] }]);
    await openai.responses.delete(second.id);
    expect(upstream.responses.kept).not.toContain(second.id);
    expect(await failureOf(openai.responses.retrieve(second.id))).toBeInstanceOf(OpenAI.NotFoundError);
  });

  streamsAndParses(() => openai, model);

  test("call tools of both kinds, whole and streamed, and read their results", async () => {
    const custom = { type: "custom" as const, name: "run" };
    const asked = { model, input: "Weather?", tools: [weather, custom] };
    const streamed = await openai.responses.stream(asked).finalResponse();
    const whole = await openai.responses.create(asked);
    for (const { output } of [whole, streamed]) {
      expect(output).toMatchObject([
        { type: "function_call", name: "weather", arguments: '{"city":"Paris"}' },
        { type: "custom_tool_call", name: "run", input: "raw" },
      ]);
    }
    const answer = await openai.responses.create({
      model,
      previous_response_id: whole.id,
      input: whole.output.map((item) => ({
        type:
          item.type === "custom_tool_call"
            ? ("custom_tool_call_output" as const)
            : ("function_call_output" as const),
        call_id: "call_id" in item ? String(item.call_id) : "",
        output: "sunny",
      })),
    });
    expect(answer.output_text).toBe("The tool said: sunny");
  });

  test("end incomplete, count tokens, run in the background, and raise what the upstream refuses", async () => {
    const cut = await openai.responses
      .stream({ model, input: "one two", max_output_tokens: 2 })
      .finalResponse();
    expect(cut).toMatchObject({ status: "incomplete", incomplete_details: { reason: "max_output_tokens" } });
    expect((await openai.responses.inputTokens.count({ model, input: "Hi" })).input_tokens).toBe(101);
    const { id } = await openai.responses.create({ model, input: "Hi", background: true });
    expect((await openai.responses.cancel(id)).status).toBe("cancelled");
    const missing = openai.responses.create({ model, input: "Hi", previous_response_id: "resp_0" });
    expect(await failureOf(missing)).toMatchObject({ status: 400, code: "previous_response_not_found" });
  });

  test("raise what fails in the middle of a stream", async () => {
    const events = responseEvents(upstream.responses.responseTo({ model, input: "Hi" })).slice(0, 5);
    const failed = { type: "error", sequence_number: 5, code: "ink", message: "Out of ink", param: null };
    upstream.script({ headers: eventStream, steps: namedEvents([...events, failed]) });
    const error = await failureOf(openai.responses.stream({ model, input: "Hi" }).finalResponse());
    expect(error.message).toContain("Out of ink");
  });
});

describe("the Agents SDK", () => {
  setTracingDisabled(true);
  const runner = new Runner({
    modelProvider: new OpenAIProvider({ openAIClient: openai, useResponses: true }),
  });
  const helper = new Agent({
    name: "Helper",
    instructions: "Be brief.",
    model,
    tools: [
      agentTool({
        name: "weather",
        description: "The weather of a city",
        parameters: z.object({ city: z.string() }),
        execute: async ({ city }) => `sunny in ${city}`,
      }),
    ],
  });

  test("runs a tool and answers, whole and streamed", async () => {
    const result = await runner.run(helper, "Weather?");
    expect(result.finalOutput).toBe("The tool said: sunny in Paris");
    expect(result.state.usage.totalTokens).toBeGreaterThan(0);
    const streamed = await runner.run(helper, "Weather?", { stream: true });
    let text = "";
    for await (const piece of streamed.toTextStream()) text += piece;
    await streamed.completed;
    expect(text).toBe("The tool said: sunny in Paris");
  });

  test("hands over to another agent", async () => {
    const poet = new Agent({ name: "Poet", instructions: "Rhyme.", model });
    const front = Agent.create({ name: "Front", instructions: "Hand over.", model, handoffs: [poet] });
    const result = await runner.run(front, "Write a poem.");
    expect(result.lastAgent?.name).toBe("Poet");
    expect(last().body.instructions).toBe("Rhyme.");
  });

  test("goes on by the id of its last response", async () => {
    const plain = new Agent({ name: "Plain", instructions: "Be brief.", model });
    const first = await runner.run(plain, "I am Ann.");
    const previousResponseId = first.lastResponseId as string;
    const second = await runner.run(plain, "Who am I?", { previousResponseId });
    expect(second.finalOutput).toBe("Echo: Who am I?");
    expect(last().body.previous_response_id).toBe(previousResponseId);
    expect(second.rawResponses[0]?.usage.inputTokens).toBe(3);
  });
});

describe("the AI SDK's openai", () => {
  const provider = createOpenAI({ apiKey, baseURL });
  const tools = {
    weather: tool({
      description: "The weather of a city",
      inputSchema: z.object({ city: z.string() }),
      execute: async ({ city }) => `sunny in ${city}`,
    }),
  };

  test("names the upstream's items by their ids alone", async () => {
    const messages: ModelMessage[] = [{ role: "user", content: "Weather?" }];
    const first = await generateText({
      model: provider("reasoner"),
      messages,
      tools,
      stopWhen: isStepCount(3),
    });
    expect(first.text).toBe("The tool said: sunny in Paris");
    messages.push(...first.responseMessages, { role: "user", content: "Thanks" });
    await generateText({ model: provider("reasoner"), messages });
    const references = last().body.input.filter(({ type }: Json) => type === "item_reference");
    expect(references.map(({ id }: Json) => id.slice(0, 3))).toEqual(["rs_", "rs_", "msg"]);
  });

  test("streams thoughts and a text", async () => {
    const result = streamText({ model: provider("reasoner"), prompt: "Hello" });
    expect((await Array.fromAsync(result.textStream)).join("")).toBe("Echo: Hello");
    expect(await result.reasoningText).toBe("First I think.");
    expect((await result.usage).outputTokens).toBe(7);
  });
});

test("LangChain goes on by the response's id", async () => {
  const configuration = { baseURL };
  const chat = new ChatOpenAI({ model, apiKey, configuration, useResponsesApi: true, maxRetries: 0 });
  const { response_metadata } = await chat.invoke("Hello");
  const next = await chat.invoke("And?", { previous_response_id: response_metadata.id as string });
  expect(next.text).toBe("Echo: And?");
  expect(next).toMatchObject({ usage_metadata: { input_tokens: 3 } });
});
