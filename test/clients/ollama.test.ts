/** Ollama's own package, against a started server. */
import { describe, expect, test } from "bun:test";
import { Ollama } from "ollama";
import { gatewayBeforeUpstreams, testUpstream } from "../support/gateway-before-upstreams.ts";

const apiKey = "sk-client";
const upstream = await testUpstream();
const { url } = await gatewayBeforeUpstreams({ API_MASTER_KEY: apiKey, OPENAI_BASE_URL: upstream.baseUrl });

const ollama = new Ollama({ host: url, headers: { authorization: `Bearer ${apiKey}` } });
const say = (content: string) => ({ model: "echo", messages: [{ role: "user", content }] });

const tools = [
  {
    type: "function",
    function: {
      name: "get_weather",
      description: "The weather.",
      parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
    },
  },
];

describe("the ollama package", () => {
  test("chats", async () => {
    const answer = await ollama.chat({
      ...say("Hello there"),
      options: { temperature: 0.5, num_predict: 50, top_k: 3 },
    });
    expect(answer).toMatchObject({
      model: "echo",
      message: { role: "assistant", content: "Echo: Hello there" },
      done: true,
      done_reason: "stop",
      prompt_eval_count: 1,
      eval_count: 7,
    });
    expect(upstream.calls.at(-1)?.body).toMatchObject({ temperature: 0.5, max_tokens: 50 });
  });

  test("streams", async () => {
    const chunks = await Array.fromAsync(await ollama.chat({ ...say("Hello there"), stream: true }));
    expect(chunks.map(({ message }) => message.content).join("")).toBe("Echo: Hello there");
    expect(chunks.map(({ done }) => done)).toEqual(chunks.map((_, at) => at === chunks.length - 1));
  });

  test("calls a tool, and answers it", async () => {
    for (const answer of [
      await ollama.chat({ ...say("Weather?"), tools }),
      ...(await Array.fromAsync(await ollama.chat({ ...say("Weather?"), tools, stream: true }))).filter(
        ({ message }) => message.tool_calls,
      ),
    ]) {
      expect(answer.message.tool_calls).toEqual([
        { function: { name: "get_weather", arguments: { city: "Paris" } } },
      ]);
      const messages = [
        ...say("Weather?").messages,
        answer.message,
        { role: "tool", tool_name: "get_weather", content: "Sunny" },
      ];
      const answered = await ollama.chat({ model: "echo", tools, messages });
      expect(answered.message.content).toBe("The tool said: Sunny");
    }
    const sent = upstream.calls.at(-1)?.body.messages;
    expect(sent[2].tool_call_id).toBe(sent[1].tool_calls[0].id);
  });

  test("thinks where it is not told otherwise", async () => {
    const asked = { ...say("Why?"), model: "reasoner" };
    expect((await ollama.chat(asked)).message.thinking).toBe("First I think about it.");
    expect((await ollama.chat({ ...asked, think: false })).message.thinking).toBeUndefined();
  });

  test("is held to a schema, and sends images", async () => {
    const format = { type: "object", properties: { city: { type: "string" } } };
    expect((await ollama.chat({ ...say("Where?"), format })).message.content).toBe('{"city":"Paris"}');
    const png = new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
    await ollama.chat({ model: "echo", messages: [{ role: "user", content: "What?", images: [png] }] });
    expect(upstream.calls.at(-1)?.body.messages[0].content).toEqual([
      { type: "text", text: "What?" },
      { type: "image_url", image_url: { url: "data:image/png;base64,iVBORw0KGgo=" } },
    ]);
  });

  test("finds the version, the models, and what they can", async () => {
    expect(await ollama.version()).toEqual({ version: expect.stringMatching(/^\d+\.\d+\.\d+$/) });
    const { models } = await ollama.list();
    expect(models.map(({ name }) => name)).toEqual(["echo", "reasoner", "refuser"]);
    expect(await ollama.show({ model: "echo" })).toMatchObject({
      capabilities: ["completion", "tools"],
      model_info: { "kimi.context_length": expect.any(Number) },
    });
  });

  test("fails with the words of an error", async () => {
    const error = await ollama.chat({ ...say("Hi"), model: "nowhere/nothing" }).catch((reason) => reason);
    expect(error).toMatchObject({ status_code: 404 });
    expect(error.message).toContain("does not exist");
    const stranger = new Ollama({ host: url });
    expect(await stranger.list().catch((reason) => reason)).toMatchObject({ status_code: 401 });
  });
});
