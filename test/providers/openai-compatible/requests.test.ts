import { describe, expect, test } from "bun:test";
import { openAiCompatible } from "../../../core/providers/openai-compatible/provider.ts";
import { testHandler } from "../../support/test-handler.ts";
import { asError, askedUpstream } from "./asked-upstream.ts";

const { upstream, ask } = await askedUpstream();

describe("requests to an upstream", () => {
  test("are sent on whole, but for model, messages, stream and stream_options", async () => {
    const body = {
      model: "fast",
      messages: [
        { role: "system", content: "Be brief.", name: "ops" },
        {
          role: "user",
          content: [
            { type: "text", text: "What is this?" },
            { type: "image_url", image_url: { url: "data:image/png;base64,AAAA", detail: "low" } },
          ],
        },
      ],
      stream: true,
      stream_options: { include_usage: false, include_obfuscation: false },
      temperature: 0.3,
      tools: [{ type: "function", function: { name: "look", parameters: { type: "object" } } }],
      tool_choice: "none",
      response_format: { type: "text" },
      user: "someone",
      not_known_to_anyone: { deep: [1, null, "😀"] },
    } as const;
    const { sent } = await ask(body, { models: [{ id: "fast", upstreamId: "echo" }] });
    expect(sent).toEqual({
      ...body,
      model: "echo",
      stream_options: { include_usage: true, include_obfuscation: false },
    });
  });

  test("ask for no usage where streams are off, or the vendor refuses it", async () => {
    const whole = await ask({ stream: false, stream_options: { include_usage: true } });
    expect(whole.sent).not.toHaveProperty("stream_options");
    const refused = await ask({ stream_options: { include_usage: true } }, { streamUsage: false });
    expect(refused.sent).not.toHaveProperty("stream_options");
  });

  test("have no empty list of tools, and no choice among them", async () => {
    const body = { tools: [], tool_choice: "auto", parallel_tool_calls: true, temperature: 1 };
    const { sent } = await ask(body);
    for (const name of ["tools", "tool_choice", "parallel_tool_calls"]) expect(sent).not.toHaveProperty(name);
    expect(sent.temperature).toBe(1);
    expect((await ask({ tool_choice: "none" })).sent.tool_choice).toBe("none");
  });

  test("carry the key and the headers that were set", async () => {
    await ask("Hello", { apiKey: "sk-own", headers: { "X-Title": "Gateway" } });
    expect(upstream.calls.at(-1)?.headers).toMatchObject({
      authorization: "Bearer sk-own",
      "content-type": "application/json",
      "x-title": "Gateway",
    });
    await ask("Hello", { apiKey: "sk-own", headers: { Authorization: "Basic abc" } });
    expect(upstream.calls.at(-1)?.headers.authorization).toBe("Basic abc");
  });

  test.each([
    ["/", "/v1/chat/completions"],
    ["/chat/completions", "/v1/chat/completions"],
    ["?api-version=7", "/v1/chat/completions?api-version=7"],
  ])("go to the right place with %s after the base URL", async (suffix, expected) => {
    await ask("Hello", { baseUrl: upstream.baseUrl + suffix });
    expect(upstream.calls.at(-1)?.url).toBe(expected);
  });

  test("follow no redirect", async () => {
    const before = upstream.calls.length;
    upstream.script({ status: 307, headers: { location: `${upstream.baseUrl}/elsewhere` }, steps: [] });
    const { error } = await ask("Hello");
    expect(asError(error).code).toBe("upstream_invalid_response");
    expect(upstream.calls.length).toBe(before + 1);
  });
});

describe("an upstream's history budget", () => {
  const messages = [
    { role: "system", content: "Stay kind." },
    { role: "assistant", content: "Welcome! ".repeat(20) },
    { role: "user", content: "Old question? ".repeat(20) },
    {
      role: "assistant",
      content: null,
      tool_calls: [{ id: "a", type: "function", function: { name: "f", arguments: "{}" } }],
    },
    { role: "tool", tool_call_id: "a", content: "Tool. ".repeat(20) },
    { role: "assistant", content: "Old answer. ".repeat(20) },
    { role: "user", content: "Newer question?" },
    { role: "assistant", content: "Newer answer." },
    { role: "user", content: "Newest question?" },
  ] as const;

  test("is off by default", async () => {
    const { sent, answer } = await ask({ messages });
    expect(sent.messages).toEqual(messages);
    expect(answer?.context?.droppedMessages ?? 0).toBe(0);
  });

  test("drops the oldest turns whole, and keeps system texts", async () => {
    const { sent, answer } = await ask({ messages }, { contextMaxTokens: 60 });
    expect(sent.messages).toEqual([messages[0], ...messages.slice(6)]);
    expect(answer?.context?.droppedMessages ?? 0).toBe(5);
  });

  test("is a model's own where that is set, and never drops the newest turn", async () => {
    const { sent } = await ask(
      { messages },
      { contextMaxTokens: 9999, models: [{ id: "echo", contextMaxTokens: 1 }] },
    );
    expect(sent.messages).toEqual([messages[0], messages.at(-1)]);
  });

  test("leaves alone what fits", async () => {
    const { sent } = await ask({ messages }, { contextMaxTokens: 9999 });
    expect(sent.messages).toEqual(messages);
  });
});

describe("what is the upstream's to judge goes there as it was written:", () => {
  const { chat } = testHandler(
    {},
    {
      providers: [openAiCompatible({ name: "stand-in", baseUrl: upstream.baseUrl, models: ["echo"] })],
    },
  );
  const messages = [{ role: "user", content: "Hello" }];

  test.each<object>([
    { tool_choice: "any" },
    { tool_choice: { type: "auto" } },
    { tool_choice: { type: "none" } },
    { tool_choice: { type: "tool", name: "f" } },
    { max_tokens: 0 },
    { max_tokens: -1 },
    { max_completion_tokens: -2 },
    { max_tokens: 10.5 },
    { stop: ["1", "2", "3", "4", "5"] },
    { stop: Array.from({ length: 100 }, String) },
    { temperature: 2.5 },
    { temperature: -1 },
    { temperature: "hot" },
    { top_p: 3 },
    { presence_penalty: 9 },
    { frequency_penalty: -9 },
    { seed: 1.5 },
    { top_logprobs: 25 },
    { response_format: { type: "regex", regex: "a+" } },
    { response_format: { type: "grammar", value: "root ::= x" } },
    { response_format: { schema: {} } },
    { response_format: "json" },
    { messages: [{ role: "control", content: "thinking" }, ...messages] },
    { messages: [{ role: "user", content: [{ text: "Hello" }] }] },
    { messages: [{ role: "user", content: ["Hello"] }] },
    { messages: [{ role: "user", content: [{ image_url: { url: "data:," } }] }] },
  ])("%j", async (fields) => {
    const response = await chat({ model: "echo", messages, ...fields });
    expect(response.status).toBe(200);
    expect(upstream.calls.at(-1)?.body).toEqual({ model: "echo", messages, stream: false, ...fields });
  });
});
