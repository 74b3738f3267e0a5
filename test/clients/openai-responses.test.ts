import { describe, expect, test } from "bun:test";
import OpenAI from "openai";
import { chunk, doneEvent, eventStream, type Script } from "../fakes/openai-upstream.ts";
import { gatewayBeforeSite } from "../support/gateway-before-site.ts";
import { gatewayBeforeUpstreams, testUpstream } from "../support/gateway-before-upstreams.ts";
import { failureOf } from "../support/openai-failure.ts";
import { streamsAndParses, weather } from "../support/openai-responses-client.ts";

const apiKey = "sk-client";
const upstream = await testUpstream();
const { baseURL } = await gatewayBeforeUpstreams({
  API_MASTER_KEY: apiKey,
  OPENAI_BASE_URL: upstream.baseUrl,
  OPENAI_MODELS: "echo,reasoner,refuser",
});
const openai = new OpenAI({ apiKey, baseURL });
const model = "echo";

describe("the openai package's responses", () => {
  test("are created, gone on from, retrieved, listed and deleted", async () => {
    const first = await openai.responses.create({ model, input: "Hello", instructions: "Be brief." });
    expect(first.output_text).toBe("Echo: Hello");
    expect(first.usage?.total_tokens).toBeGreaterThan(0);
    const second = await openai.responses.create({ model, input: "Again", previous_response_id: first.id });
    expect(upstream.calls.at(-1)?.body.messages).toEqual([
      { role: "user", content: "Hello" },
      { role: "assistant", content: "Echo: Hello" },
      { role: "user", content: "Again" },
    ]);
    expect((await openai.responses.retrieve(second.id)).output).toEqual(second.output);
    const items = await Array.fromAsync(openai.responses.inputItems.list(second.id, { limit: 1 }));
    expect(items).toMatchObject([{ role: "user", content: [{ type: "input_text", text: "Again" }] }]);
    await openai.responses.delete(second.id);
    expect(await failureOf(openai.responses.retrieve(second.id))).toBeInstanceOf(OpenAI.NotFoundError);
  });

  test("page through their input items", async () => {
    const input = Array.from({ length: 7 }, (_, index) => ({ role: "user" as const, content: `${index}` }));
    const { id } = await openai.responses.create({ model, input });
    const items = await Array.fromAsync(openai.responses.inputItems.list(id, { limit: 3, order: "asc" }));
    expect(items).toMatchObject(
      input.map(({ content }) => ({ role: "user", content: [{ type: "input_text", text: content }] })),
    );
  });

  streamsAndParses(() => openai, model);

  test("call a tool, whole and streamed, and read its result", async () => {
    const asked = { model, input: "Weather?", tools: [weather] };
    const whole = await openai.responses.create(asked);
    const streamed = await openai.responses.stream(asked).finalResponse();
    for (const { output } of [whole, streamed]) {
      expect(output).toMatchObject([
        { type: "function_call", name: "weather", arguments: '{"city":"Paris"}' },
      ]);
    }
    const [call] = whole.output;
    if (call?.type !== "function_call") throw new Error("no call");
    const answer = await openai.responses.create({
      model,
      previous_response_id: whole.id,
      tools: [weather],
      input: [{ type: "function_call_output", call_id: call.call_id, output: "sunny" }],
    });
    expect(answer.output_text).toBe("The tool said: sunny");
  });

  test("refuse", async () => {
    const { output } = await openai.responses.create({ model: "refuser", input: "Hello" });
    expect(output).toMatchObject([{ content: [{ type: "refusal", refusal: "I would rather not." }] }]);
  });

  test("are incomplete where the tokens end", async () => {
    const response = await openai.responses
      .stream({ model, input: "one two three", max_output_tokens: 2 })
      .finalResponse();
    expect(response).toMatchObject({
      status: "incomplete",
      incomplete_details: { reason: "max_output_tokens" },
      output_text: "Echo: one ",
    });
  });

  test("count input tokens", async () => {
    const { input_tokens } = await openai.responses.inputTokens.count({ model, input: "Hello there" });
    expect(input_tokens).toBeGreaterThan(2);
  });

  test("raise the class of error that OpenAI's server would make them raise", async () => {
    const missing = openai.responses.create({ model, input: "Hi", previous_response_id: "resp_0" });
    expect(await failureOf(missing)).toMatchObject({
      status: 400,
      code: "previous_response_not_found",
      param: "previous_response_id",
    });
    const wrongModel = openai.responses.create({ model: "nobody", input: "Hi" });
    expect(await failureOf(wrongModel)).toBeInstanceOf(OpenAI.NotFoundError);
  });

  test("raise what fails in the middle of a stream", async () => {
    const failing: Script = {
      headers: eventStream,
      steps: [
        chunk({ role: "assistant", content: "Once" }),
        `data: ${JSON.stringify({ error: { message: "Out of ink", code: "ink" } })}\n\n`,
      ],
    };
    upstream.script(failing);
    const error = await failureOf(openai.responses.stream({ model, input: "Hi" }).finalResponse());
    expect(error.message).toContain("Out of ink");
  });

  test("end with a stream that was whole, although nothing follows its finish", async () => {
    upstream.script({
      headers: eventStream,
      steps: [chunk({ content: "Hi" }), chunk({}, "stop"), doneEvent],
    });
    const response = await openai.responses.stream({ model, input: "Hi" }).finalResponse();
    expect(response.output_text).toBe("Hi");
    expect(response.usage?.total_tokens).toBeGreaterThan(0);
  });
});

test("the openai package's responses work over the site too", async () => {
  const site = await gatewayBeforeSite({ API_MASTER_KEY: apiKey });
  const client = new OpenAI({ apiKey, baseURL: site.baseURL });
  const model = "kimi-k2-instruct";
  const first = await client.responses.create({ model, input: "Hello there" });
  expect(first.output_text).toStartWith("You said: Hello there\n");
  const second = await client.responses
    .stream({ model, input: "And you?", previous_response_id: first.id })
    .finalResponse();
  expect(second.output_text).toStartWith("You said: User: And you?\n");
  expect(second.output_text).toContain("turns=3");
});
