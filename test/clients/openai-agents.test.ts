/** OpenAI's Agents SDK, which speaks Responses unless it is told otherwise. */
import { describe, expect, test } from "bun:test";
import { Agent, OpenAIProvider, Runner, run, setTracingDisabled, tool } from "@openai/agents";
import OpenAI from "openai";
import { z } from "zod";
import { chunk, doneEvent, eventStream, type Script } from "../fakes/openai-upstream.ts";
import { gatewayBeforeUpstreams, testUpstream } from "../support/gateway-before-upstreams.ts";

const apiKey = "sk-client";
const upstream = await testUpstream();
const { baseURL } = await gatewayBeforeUpstreams({
  API_MASTER_KEY: apiKey,
  OPENAI_BASE_URL: upstream.baseUrl,
  OPENAI_MODELS: "echo",
});
setTracingDisabled(true);
const openAIClient = new OpenAI({ apiKey, baseURL });
const runner = new Runner({ modelProvider: new OpenAIProvider({ openAIClient, useResponses: true }) });

const weather = tool({
  name: "weather",
  description: "The weather of a city",
  parameters: z.object({ city: z.string() }),
  execute: async ({ city }) => `sunny in ${city}`,
});
const agent = new Agent({ name: "Helper", instructions: "Be brief.", model: "echo", tools: [weather] });

const body = (choice: object): Script => ({
  headers: { "content-type": "application/json" },
  steps: [
    JSON.stringify({ id: "x", object: "chat.completion", created: 1, model: "echo", choices: [choice] }),
  ],
});
const say = (content: string) =>
  body({ index: 0, message: { role: "assistant", content }, finish_reason: "stop" });
const call = (name: string, args: object) =>
  body({
    index: 0,
    message: {
      role: "assistant",
      content: null,
      tool_calls: [{ id: "call_1", type: "function", function: { name, arguments: JSON.stringify(args) } }],
    },
    finish_reason: "tool_calls",
  });

describe("the Agents SDK", () => {
  test("runs a tool and answers", async () => {
    const result = await runner.run(agent, "Weather?");
    expect(result.finalOutput).toBe("The tool said: sunny in Paris");
    expect(result.rawResponses).toHaveLength(2);
    expect(result.state.usage.totalTokens).toBeGreaterThan(0);
  });

  test("streams a run with a tool", async () => {
    const result = await runner.run(agent, "Weather?", { stream: true });
    let text = "";
    for await (const piece of result.toTextStream()) text += piece;
    await result.completed;
    expect(text).toBe("The tool said: sunny in Paris");
  });

  test("hands over to another agent", async () => {
    const poet = new Agent({ name: "Poet", instructions: "Rhyme.", model: "echo" });
    const front = Agent.create({
      name: "Front",
      instructions: "Hand over.",
      model: "echo",
      handoffs: [poet],
    });
    upstream.script(call("transfer_to_Poet", {}), say("A rhyme."));
    const result = await runner.run(front, "Write a poem.");
    expect(result.lastAgent?.name).toBe("Poet");
    expect(result.finalOutput).toBe("A rhyme.");
    const asked = upstream.calls.at(-1)?.body.messages;
    expect(asked[0]).toEqual({ role: "system", content: "Rhyme." });
    expect(asked.map(({ role }: { role: string }) => role)).toEqual(["system", "user", "assistant", "tool"]);
  });

  test("goes on by the id of its last response", async () => {
    const plain = new Agent({ name: "Plain", instructions: "Be brief.", model: "echo" });
    const first = await runner.run(plain, "I am Ann.");
    const previousResponseId = first.lastResponseId as string;
    const second = await runner.run(plain, "Who am I?", { previousResponseId });
    expect(second.finalOutput).toBe("Echo: Who am I?");
    expect(upstream.calls.at(-1)?.body.messages).toEqual([
      { role: "system", content: "Be brief." },
      { role: "user", content: "I am Ann." },
      { role: "assistant", content: "Echo: I am Ann." },
      { role: "user", content: "Who am I?" },
    ]);
  });

  test("throws what fails in a stream", async () => {
    upstream.script({
      headers: eventStream,
      steps: [chunk({ content: "Once" }), `data: {"error":{"message":"Out of ink"}}\n\n`, doneEvent],
    });
    const result = await runner.run(agent, "Hi", { stream: true });
    const failed = await Array.fromAsync(result.toTextStream()).then(
      () => result.completed.then(() => undefined, String),
      String,
    );
    expect(failed).toContain("Out of ink");
  });
});

test("its function run() takes the same models", async () => {
  const provider = new OpenAIProvider({ openAIClient });
  const model = await provider.getModel("echo");
  const result = await run(new Agent({ name: "Plain", model }), "Hello");
  expect(result.finalOutput).toBe("Echo: Hello");
});
