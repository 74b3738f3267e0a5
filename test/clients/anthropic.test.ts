/** Anthropic's own SDK against a started server. */
import { describe, expect, test } from "bun:test";
import Anthropic from "@anthropic-ai/sdk";
import { chunk, doneEvent, eventStream, type Script } from "../fakes/openai-upstream.ts";
import { gatewayBeforeUpstreams, testUpstream } from "../support/gateway-before-upstreams.ts";
import { until } from "../support/until.ts";

const apiKey = "sk-client";
const upstream = await testUpstream();
const { url } = await gatewayBeforeUpstreams({
  API_MASTER_KEY: apiKey,
  OPENAI_BASE_URL: upstream.baseUrl,
  MODEL_ALIASES: "*=echo",
  CIRCUIT_BREAKER: "off",
});

const anthropic = new Anthropic({ apiKey, authToken: null, baseURL: url });
const model = "claude-of-the-test";
const say = (content: string) => ({ model, max_tokens: 100, messages: [{ role: "user" as const, content }] });

const stream = (...steps: Script["steps"]): Script => ({ headers: eventStream, steps });

/** A client that counts what it sends. */
function countingClient(options: ConstructorParameters<typeof Anthropic>[0] = {}) {
  let count = 0;
  const client = new Anthropic({
    apiKey,
    authToken: null,
    baseURL: url,
    fetch: (input, init) => {
      count++;
      return fetch(input, init);
    },
    ...options,
  });
  return { client, requests: () => count };
}

const failureOf = (work: PromiseLike<unknown>) =>
  Promise.resolve(work).then(
    () => {
      throw new Error("expected a failure");
    },
    (error) => error,
  );

const weather = {
  name: "get_weather",
  description: "The weather of a city.",
  input_schema: {
    type: "object" as const,
    properties: { city: { type: "string" as const }, unit: { type: "string" as const, enum: ["c", "f"] } },
    required: ["city"],
  },
};

describe("the @anthropic-ai/sdk package", () => {
  test("creates a message", async () => {
    const message = await anthropic.messages.create({
      ...say("Hello there"),
      system: [{ type: "text", text: "Be brief.", cache_control: { type: "ephemeral" } }],
      metadata: { user_id: "user_1" },
    });
    expect(message).toMatchObject({
      type: "message",
      role: "assistant",
      model,
      content: [{ type: "text", text: "Echo: Hello there" }],
      stop_reason: "end_turn",
      stop_sequence: null,
      usage: { input_tokens: 2, output_tokens: 7, cache_read_input_tokens: 0 },
    });
    expect(message.id).toStartWith("msg_");
    expect(message._request_id).toBeString();
    expect(upstream.calls.at(-1)?.body).toMatchObject({
      messages: [
        { role: "system", content: "Be brief." },
        { role: "user", content: "Hello there" },
      ],
      max_tokens: 100,
    });
    expect(upstream.calls.at(-1)?.body).not.toContainAnyKeys(["metadata", "system", "user"]);
  });

  test("streams with its helper, which follows every event", async () => {
    const helper = anthropic.messages.stream(say("Hello there"));
    const texts: string[] = [];
    helper.on("text", (text) => texts.push(text));
    const message = await helper.finalMessage();
    expect(texts.join("")).toBe("Echo: Hello there");
    expect(texts.length).toBeGreaterThan(2);
    expect(message.content).toMatchObject([{ type: "text", text: "Echo: Hello there" }]);
    expect(message).toMatchObject({ stop_reason: "end_turn", usage: { input_tokens: 1, output_tokens: 7 } });
  });

  test("has real input tokens in the first event of a stream", async () => {
    const events = await Array.fromAsync(
      await anthropic.messages.create({ ...say("word ".repeat(1000)), stream: true }),
    );
    const [first] = events;
    expect(first?.type).toBe("message_start");
    if (first?.type !== "message_start") return;
    expect(first.message.usage.input_tokens).toBeWithin(900, 1100);
    expect(events.at(-1)?.type).toBe("message_stop");
  });

  test("shows the thoughts of a model if they are asked for, and sends them back", async () => {
    const asked = { ...say("Why?"), model: "reasoner", max_tokens: 4000 };
    const thinking = { type: "enabled" as const, budget_tokens: 3000 };
    for (const message of [
      await anthropic.messages.create({ ...asked, thinking }),
      await anthropic.messages.stream({ ...asked, thinking }).finalMessage(),
    ]) {
      expect(message.content).toMatchObject([
        { type: "thinking", thinking: "First I think about it.", signature: expect.any(String) },
        { type: "text", text: "Echo: Why?" },
      ]);
      expect(upstream.calls.at(-1)?.body.reasoning_effort).toBe("medium");
      const messages = [...asked.messages, message, { role: "user" as const, content: "And?" }];
      await anthropic.messages.create({ ...asked, thinking, messages });
      expect(upstream.calls.at(-1)?.body.messages[1]).toEqual({
        role: "assistant",
        content: "Echo: Why?",
        reasoning_content: "First I think about it.",
      });
    }
    const unasked = await anthropic.messages.create(asked);
    expect(unasked.content.map(({ type }) => type)).toEqual(["text"]);
  });

  test("calls tools, whole and streamed, and answers them", async () => {
    const asked = { ...say("Weather?"), tools: [weather] };
    for (const message of [
      await anthropic.messages.create(asked),
      await anthropic.messages.stream(asked).finalMessage(),
    ]) {
      expect(message.stop_reason).toBe("tool_use");
      expect(message.content).toMatchObject([
        { type: "tool_use", id: "call_0_0", name: "get_weather", input: { city: "Paris", unit: "c" } },
      ]);
      const answered = await anthropic.messages.create({
        ...asked,
        messages: [
          ...asked.messages,
          { role: "assistant", content: message.content },
          {
            role: "user",
            content: [{ type: "tool_result", tool_use_id: "call_0_0", content: "Sunny", is_error: true }],
          },
        ],
      });
      expect(answered.content).toMatchObject([{ type: "text", text: "The tool said: Error: Sunny" }]);
    }
    expect(upstream.calls.at(-1)?.body.messages.slice(1)).toEqual([
      {
        role: "assistant",
        content: null,
        tool_calls: [
          {
            id: "call_0_0",
            type: "function",
            function: { name: "get_weather", arguments: '{"city":"Paris","unit":"c"}' },
          },
        ],
      },
      { role: "tool", tool_call_id: "call_0_0", content: "Error: Sunny" },
    ]);
  });

  test("runs the tools of its tool runner until the answer", async () => {
    const asked: unknown[] = [];
    const runner = anthropic.beta.messages.toolRunner({
      ...say("Weather?"),
      tools: [
        {
          ...weather,
          type: "custom",
          run: (input: unknown) => {
            asked.push(input);
            return "Rainy";
          },
          parse: (input: unknown) => input,
        },
      ],
    });
    const message = await runner.runUntilDone();
    expect(asked).toEqual([{ city: "Paris", unit: "c" }]);
    expect(message.content).toMatchObject([{ type: "text", text: "The tool said: Rainy" }]);
  });

  test("gets the interleaved calls of an upstream one after the other, under ids that it takes", async () => {
    const call = (index: number, fields: object) => chunk({ tool_calls: [{ index, ...fields }] });
    const begin = (index: number) =>
      call(index, {
        id: `functions.f:${index}`,
        type: "function",
        function: { name: `f${index}`, arguments: "" },
      });
    const go = (index: number, json: string) => call(index, { function: { arguments: json } });
    upstream.script(
      stream(
        chunk({ role: "assistant", content: "On it." }),
        begin(0),
        begin(1),
        go(1, '{"b":'),
        go(0, '{"a":'),
        go(1, "2}"),
        go(0, "1}"),
        chunk({}, "stop"),
        doneEvent,
      ),
    );
    const message = await anthropic.messages.stream(say("Go")).finalMessage();
    expect(message.stop_reason).toBe("tool_use");
    expect(message.content).toMatchObject([
      { type: "text", text: "On it." },
      { type: "tool_use", name: "f0", input: { a: 1 } },
      { type: "tool_use", name: "f1", input: { b: 2 } },
    ]);
    const ids = message.content.flatMap((block) => (block.type === "tool_use" ? [block.id] : []));
    for (const id of ids) expect(id).toMatch(/^[a-zA-Z0-9_-]{1,64}$/);
    const results = ids.map((tool_use_id) => ({ type: "tool_result" as const, tool_use_id, content: "ok" }));
    await anthropic.messages.create({
      ...say("Go"),
      messages: [...say("Go").messages, message, { role: "user", content: results }],
    });
    const { messages } = upstream.calls.at(-1)?.body ?? {};
    expect(messages[1].tool_calls.map(({ id }: { id: string }) => id)).toEqual([
      "functions.f:0",
      "functions.f:1",
    ]);
    expect(messages.slice(2).map((each: { tool_call_id: string }) => each.tool_call_id)).toEqual([
      "functions.f:0",
      "functions.f:1",
    ]);
  });

  test("gets what a schema asks for", async () => {
    const schema = { type: "object", properties: { answer: { type: "string" } }, required: ["answer"] };
    const message = await anthropic.messages.create({
      ...say("Capital of France?"),
      output_config: { format: { type: "json_schema", schema } },
    });
    expect(message.content).toMatchObject([{ type: "text", text: '{"answer":"Paris"}' }]);
  });

  test("counts tokens without a call of the upstream", async () => {
    const before = upstream.calls.length;
    const { input_tokens } = await anthropic.messages.countTokens({
      model,
      messages: say("word ".repeat(200)).messages,
    });
    expect(input_tokens).toBeWithin(180, 220);
    expect(upstream.calls.length).toBe(before);
  });

  test("lists models, and finds one", async () => {
    const models = await Array.fromAsync(anthropic.models.list());
    expect(models.map(({ id, type }) => ({ id, type }))).toContainEqual({ id: "echo", type: "model" });
    expect(await anthropic.models.retrieve("echo")).toMatchObject({ id: "echo", display_name: "echo" });
  });
});

describe("the @anthropic-ai/sdk package's failures", () => {
  test("for a wrong key are not retried", async () => {
    const { client, requests } = countingClient({ apiKey: "sk-wrong" });
    const error = await failureOf(client.messages.create(say("Hi")));
    expect(error).toBeInstanceOf(Anthropic.AuthenticationError);
    expect(error.error).toMatchObject({ type: "error", error: { type: "authentication_error" } });
    expect(error.requestID).toBeString();
    expect(error.error.request_id).toBe(error.requestID);
    expect(error.headers.get("x-should-retry")).toBe("false");
    expect(requests()).toBe(1);
  });

  test("name the field of a bad request", async () => {
    const { client, requests } = countingClient();
    const error = await failureOf(client.messages.create({ ...say("Hi"), messages: [] }));
    expect(error).toBeInstanceOf(Anthropic.BadRequestError);
    expect(error.error.error.message).toStartWith("messages ");
    expect(requests()).toBe(1);
  });

  test("are retried where that helps", async () => {
    const down = { status: 503, steps: [] };
    upstream.script(down);
    const { client, requests } = countingClient();
    const message = await client.messages.create(say("Again"));
    expect(message.content).toMatchObject([{ type: "text", text: "Echo: Again" }]);
    expect(requests()).toBe(2);
  });

  test("in the middle of a stream are thrown with their words", async () => {
    upstream.script(
      stream(chunk({ role: "assistant", content: "Half" }), 'data: {"error":{"message":"Out of ink"}}\n\n'),
    );
    const error = await failureOf(anthropic.messages.stream(say("Hi")).finalMessage());
    expect(error).toBeInstanceOf(Anthropic.APIError);
    expect(error.message).toContain("Out of ink");
  });

  test("of an upstream without room begin as Anthropic's do", async () => {
    const message = "This model's maximum context length is 8 tokens.";
    upstream.script({
      status: 400,
      steps: [JSON.stringify({ error: { message, code: "context_length_exceeded" } })],
    });
    const error = await failureOf(anthropic.messages.create(say("Hi")));
    expect(error).toBeInstanceOf(Anthropic.BadRequestError);
    expect(error.error.error).toEqual({
      type: "invalid_request_error",
      message: `prompt is too long: ${message}`,
    });
  });
});

test("an @anthropic-ai/sdk client that leaves frees the call of the upstream", async () => {
  upstream.script(stream(chunk({ role: "assistant", content: "Half" }), () => new Promise(() => {})));
  const helper = anthropic.messages.stream(say("Hi"));
  helper.on("text", () => helper.abort());
  await failureOf(helper.finalMessage());
  await until(async () => upstream.openCalls === 0);
});
