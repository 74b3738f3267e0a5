/** The older Completions: what a text to go on with becomes, and when the upstream's own route is used. */
import { describe, expect, test } from "bun:test";
import { openAiCompatible } from "../../core/providers/openai-compatible/provider.ts";
import { eventStream, type Json } from "../fakes/openai-upstream.ts";
import { scriptedProvider } from "../fakes/scripted-provider.ts";
import { schemaErrors } from "../support/openai-schema.ts";
import { sseData, testHandler } from "../support/test-handler.ts";

const setUp = () => {
  const { send, provider } = testHandler();
  const complete = (body: object) =>
    send("/v1/completions", { method: "POST", body: JSON.stringify({ model: "test-model", ...body }) });
  return { complete, asked: () => provider.requests.at(-1)?.request };
};

describe("a completion", () => {
  test("is of OpenAI's schema", async () => {
    const { complete } = setUp();
    const body = await (await complete({ prompt: "Once" })).json();
    expect(schemaErrors("CreateCompletionResponse", body)).toEqual([]);
    expect(body.choices).toEqual([{ text: "Hello there", index: 0, logprobs: null, finish_reason: "stop" }]);
  });

  test("has its prompt first where that is asked for, in a stream too", async () => {
    const { complete } = setUp();
    const whole = await (await complete({ prompt: ["Once "], echo: true })).json();
    expect(whole.choices[0].text).toBe("Once Hello there");
    const events = sseData(
      await (await complete({ prompt: "Once ", echo: true, stream: true })).text(),
    ) as Json[];
    expect(events.pop()).toBe("[DONE]");
    for (const event of events)
      expect(schemaErrors("CreateCompletionResponse", { ...event, choices: [] })).toEqual([]);
    expect(events[0].choices[0].text).toBe("Once Hello");
    expect(events.map(({ choices }) => choices[0].text).join("")).toBe("Once Hello there");
    expect(events.filter((event) => "usage" in event)).toEqual([]);
  });

  test("is asked with the fields that chats know", async () => {
    const { complete, asked } = setUp();
    await complete({
      prompt: "Once",
      max_tokens: 5,
      stop: ["\n"],
      temperature: 0.2,
      seed: 7,
      user: "ann",
      best_of: 1,
    });
    expect(asked()).toMatchObject({ maxTokens: 5, stop: ["\n"] });
    expect(asked()?.native).toMatchObject({ max_tokens: 5, stop: ["\n"], temperature: 0.2, seed: 7 });
    expect(asked()?.native).not.toContainAnyKeys(["prompt", "echo", "best_of"]);
  });

  test("may have a suffix, which a chat is asked to lead to", async () => {
    const { complete, asked } = setUp();
    await complete({ prompt: "def f(", suffix: "return x" });
    const { text } = asked()?.messages[0] ?? {};
    expect(text).toContain("def f(");
    expect(text).toContain("return x");
  });

  test.each([
    [{}, "prompt"],
    [{ prompt: null }, "prompt"],
    [{ prompt: [1, 2, 3] }, "prompt"],
    [{ prompt: [[1, 2]] }, "prompt"],
    [{ prompt: ["a", "b"] }, "prompt"],
    [{ prompt: [] }, "prompt"],
    [{ prompt: "x", logprobs: 5, echo: true, max_tokens: 0 }, "logprobs"],
    [{ prompt: "x", max_tokens: 0 }, "max_tokens"],
    [{ prompt: "x", n: 1, best_of: 3 }, "best_of"],
  ])("of %p is refused, naming %s", async (body, param) => {
    const { complete, asked } = setUp();
    const response = await complete(body);
    expect(response.status).toBe(400);
    expect((await response.json()).error.param).toStartWith(param);
    expect(asked()).toBeUndefined();
  });

  test("has a choice for each reply that is asked for", async () => {
    const provider = scriptedProvider({
      async *answer({ choices }) {
        for (let choice = 0; choice < choices; choice++) {
          yield { type: "text-delta", choice, delta: `reply ${choice}` };
          yield { type: "finish", choice, reason: "stop" };
        }
      },
    });
    const { send } = testHandler({}, { providers: [provider] });
    const body = JSON.stringify({ prompt: "x", n: 2, echo: true });
    const { choices } = await (await send("/v1/completions", { method: "POST", body })).json();
    expect(choices.map(({ text }: Json) => text)).toEqual(["xreply 0", "xreply 1"]);
  });
});

describe("an upstream with a route for completions", () => {
  const upstream = (completions: boolean) => {
    const calls: { url: string; body: Json }[] = [];
    const provider = openAiCompatible({
      name: "own",
      baseUrl: "http://upstream.test/v1",
      models: ["test-model"],
      completions,
      fetch: async (url, init) => {
        const body = JSON.parse(init.body as string);
        calls.push({ url, body });
        const choice = (text: string, finish_reason: string | null = null) => ({
          text,
          index: 0,
          logprobs: null,
          finish_reason,
        });
        const usage = { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 };
        if (!body.stream)
          return Response.json({ object: "text_completion", choices: [choice(" in it", "stop")], usage });
        const events = [
          { choices: [choice(" in")] },
          { choices: [choice(" it")] },
          { choices: [choice("", "length")] },
          { choices: [], usage },
        ];
        const text = events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join("");
        return new Response(`${text}data: [DONE]\n\n`, { headers: eventStream });
      },
    });
    return { calls, ...testHandler({}, { providers: [provider] }) };
  };

  const ask = { model: "test-model", prompt: "What is", suffix: "?", temperature: 0.1 };

  test("is asked there, whole and streamed", async () => {
    const { calls, send } = upstream(true);
    const whole = await (await send("/v1/completions", { method: "POST", body: JSON.stringify(ask) })).json();
    expect(whole).toMatchObject({
      choices: [{ text: " in it", finish_reason: "stop" }],
      usage: { prompt_tokens: 3, completion_tokens: 4 },
    });
    expect(calls).toEqual([{ url: "http://upstream.test/v1/completions", body: { ...ask, stream: false } }]);
    const body = JSON.stringify({ ...ask, stream: true, echo: true });
    const events = sseData(await (await send("/v1/completions", { method: "POST", body })).text()) as Json[];
    expect(
      events
        .slice(0, -1)
        .map(({ choices }) => choices[0].text)
        .join(""),
    ).toBe("What is in it");
    expect(events.at(-2).choices[0].finish_reason).toBe("length");
  });

  test("is asked for a chat where it says that it has none", async () => {
    const { calls, send } = upstream(false);
    await send("/v1/completions", { method: "POST", body: JSON.stringify(ask) });
    expect(calls[0]?.url).toBe("http://upstream.test/v1/chat/completions");
    expect(calls[0]?.body).not.toContainAnyKeys(["prompt", "suffix"]);
  });

  test("is asked for a chat where the client asks for one", async () => {
    const { calls, chat } = upstream(true);
    await chat({ model: "test-model", messages: [{ role: "user", content: "Hi" }] });
    expect(calls[0]?.url).toBe("http://upstream.test/v1/chat/completions");
  });
});
