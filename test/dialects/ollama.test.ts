/** Ollama's chat: what of a request reaches a provider, and what its clients look for first. */
import { describe, expect, test } from "bun:test";
import { openAiCompatible } from "../../core/providers/openai-compatible/provider.ts";
import { kimiWeb } from "../../core/providers/wordpress-chat/provider.ts";
import type { Json } from "../fakes/openai-upstream.ts";
import { testHandler } from "../support/test-handler.ts";

const hi = { role: "user", content: "Hi" };

const setUp = () => {
  const { send, provider } = testHandler();
  return {
    ask: (body: object) =>
      send("/api/chat", {
        method: "POST",
        body: JSON.stringify({ model: "test-model", messages: [hi], ...body }),
      }),
    asked: (): Json => {
      const request = provider.requests.at(-1)?.request;
      return { ...request?.native, messages: request?.messages.map(({ native }) => native) };
    },
  };
};

const heard = async (body: object): Promise<Json> => {
  const { ask, asked } = setUp();
  expect((await ask({ stream: false, ...body })).status).toBe(200);
  return asked();
};

describe("a request of Ollama's chat", () => {
  test("streams lines of JSON unless it says otherwise", async () => {
    const { ask } = setUp();
    const streamed = await ask({});
    expect(streamed.headers.get("content-type")).toBe("application/x-ndjson");
    expect(streamed.headers.get("cache-control")).toContain("no-cache");
    const lines = (await streamed.text()).trimEnd().split("\n");
    expect(lines.length).toBe(3);
    expect((await ask({ stream: false })).headers.get("content-type")).toStartWith("application/json");
  });

  test("has results of tools under the ids of their calls, by name and in order", async () => {
    const call = (name: string, city: string) => ({ function: { name, arguments: { city } } });
    const { messages } = await heard({
      messages: [
        hi,
        { role: "assistant", content: "", tool_calls: [call("a", "x"), call("b", "y"), call("a", "z")] },
        { role: "tool", tool_name: "b", content: "B" },
        { role: "tool", tool_name: "a", content: "A1" },
        { role: "tool", content: "A2" },
      ],
    });
    expect(messages[1]).toEqual({
      role: "assistant",
      content: null,
      tool_calls: ["a", "b", "a"].map((name, index) => ({
        id: `call_${index}`,
        type: "function",
        function: { name, arguments: JSON.stringify({ city: "xyz"[index] }) },
      })),
    });
    expect(messages.slice(2).map(({ tool_call_id: id, content }: Json) => [id, content])).toEqual([
      ["call_1", "B"],
      ["call_0", "A1"],
      ["call_2", "A2"],
    ]);
  });

  test("has the options that other servers have too", async () => {
    const options = {
      temperature: 0.5,
      top_k: 3,
      num_ctx: 4096,
      num_predict: 7,
      stop: ["x"],
      seed: 1,
      mirostat: 1,
    };
    const asked = await heard({ options, keep_alive: "5m" });
    expect(asked).toEqual({
      messages: [hi],
      stream: false,
      temperature: 0.5,
      max_tokens: 7,
      stop: ["x"],
      seed: 1,
    });
    for (const num_predict of [-1, -2, 0, null]) {
      expect(await heard({ options: { num_predict } })).not.toContainKey("max_tokens");
    }
  });

  test("has its format as a response format, and how hard to think", async () => {
    expect((await heard({ format: "json" })).response_format).toEqual({ type: "json_object" });
    expect((await heard({ format: { type: "object" } })).response_format).toEqual({
      type: "json_schema",
      json_schema: { name: "answer", schema: { type: "object" } },
    });
    expect(await heard({ format: "" })).not.toContainKey("response_format");
    expect((await heard({ think: "high" })).reasoning_effort).toBe("high");
    expect(await heard({ think: true })).not.toContainKey("reasoning_effort");
  });
});

describe("what Ollama's clients look for first", () => {
  const show = async (model: string, providers: Parameters<typeof testHandler>[1]): Promise<Json> => {
    const { send } = testHandler({}, providers);
    return (await send("/api/show", { method: "POST", body: JSON.stringify({ model }) })).json();
  };

  test("is how much a model takes, as far as that is known", async () => {
    const baseUrl = "http://upstream.test/v1";
    const chat = openAiCompatible({
      name: "chat",
      baseUrl,
      models: ["a", { id: "b", contextMaxTokens: 9000 }],
      contextMaxTokens: 5000,
    });
    const unknown = openAiCompatible({ name: "unknown", baseUrl, models: ["c"] });
    const providers = { providers: [kimiWeb(), chat, unknown] };
    for (const [model, tokens] of [
      ["kimi-k2-instruct", 250],
      ["a", 5000],
      ["b", 9000],
      ["c", 131_072],
    ] as const) {
      expect((await show(model, providers)).model_info["kimi.context_length"]).toBe(tokens);
    }
  });

  test("needs a key where everything does, and fails in Ollama's shape", async () => {
    const { send } = testHandler({ API_MASTER_KEY: "sk-1" });
    const authorization = { authorization: "Bearer sk-1" };
    for (const path of ["/api/version", "/api/tags"]) {
      const stranger = await send(path);
      expect(stranger.status).toBe(401);
      expect(await stranger.json()).toEqual({ error: expect.any(String) });
      expect((await send(path, { headers: authorization })).status).toBe(200);
    }
    const missing = await send("/api/show", {
      method: "POST",
      headers: authorization,
      body: '{"model":"nothing"}',
    });
    expect(missing.status).toBe(404);
    expect(await missing.json()).toEqual({ error: expect.stringContaining("nothing") });
    const other = await send("/api/generate", { method: "POST", headers: authorization, body: "{}" });
    expect(other.status).toBe(404);
    expect(await other.json()).toEqual({ error: expect.any(String) });
  });
});
