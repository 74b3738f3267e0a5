import { describe, expect, test } from "bun:test";
import { ApiError } from "../../core/errors.ts";
import type { StreamPart, UpstreamEvent } from "../../core/types.ts";
import { settle } from "../fakes/fake-clock.ts";
import { failure, reply } from "../fakes/scripted-provider.ts";
import { schemaErrors } from "../support/openai-schema.ts";
import { hello, sseData, testHandler } from "../support/test-handler.ts";
import { streamed, untilAborted, withAnswer } from "./with-answer.ts";

describe("a whole answer", () => {
  test("is valid by OpenAI's schema", async () => {
    const { chat } = testHandler();
    const response = await chat(hello);
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("application/json; charset=utf-8");
    const body = await response.json();
    expect(schemaErrors("CreateChatCompletionResponse", body)).toEqual([]);
    expect(body.model).toBe("test-model");
    expect(body.choices).toEqual([
      {
        index: 0,
        message: { role: "assistant", content: "Hello there", refusal: null },
        logprobs: null,
        finish_reason: "stop",
      },
    ]);
    expect(body.usage.prompt_tokens).toBeGreaterThan(0);
    expect(body.usage.total_tokens).toBe(body.usage.prompt_tokens + body.usage.completion_tokens);
  });

  test("has its own id and the second in which it was made", async () => {
    const { chat, clock } = withAnswer(() => reply("x"));
    const first = await (await chat(hello)).json();
    const second = await (await chat(hello)).json();
    expect(first.id).toMatch(/^chatcmpl-\w{32}$/);
    expect(first.id).not.toBe(second.id);
    expect(first.created).toBe(Math.floor(clock.now() / 1000));
  });

  test("carries everything that a provider can say", async () => {
    const parts: (StreamPart | UpstreamEvent)[] = [
      { type: "reasoning-delta", delta: "Hm" },
      { type: "reasoning-delta", delta: "m." },
      { type: "tool-call-delta", index: 0, id: "call_1", name: "weather", delta: "" },
      { type: "tool-call-delta", index: 0, delta: '{"city":' },
      { type: "tool-call-delta", index: 1, id: "call_2", name: "time", delta: "{}" },
      { type: "tool-call-delta", index: 0, delta: '"Bonn"}' },
      {
        parts: [],
        native: {
          format: "chat-completions",
          isWhole: false,
          event: {
            system_fingerprint: "fp_1",
            choices: [
              {
                index: 0,
                delta: {},
                logprobs: {
                  content: [{ token: "a", logprob: -1, bytes: null, top_logprobs: [] }],
                  refusal: null,
                },
              },
            ],
          },
        },
      },
      { type: "finish", reason: "tool_calls" },
      { type: "refusal-delta", choice: 1, delta: "No" },
      { type: "finish", choice: 1, reason: "stop" },
      {
        type: "usage",
        usage: {
          promptTokens: 3,
          completionTokens: 4,
          totalTokens: 7,
          details: { prompt_tokens_details: { cached_tokens: 1 } },
        },
      },
    ];
    const answer = async function* () {
      yield* parts;
    };
    const whole = await (await withAnswer(answer).chat(hello)).json();
    expect(schemaErrors("CreateChatCompletionResponse", whole)).toEqual([]);
    expect(whole.system_fingerprint).toBe("fp_1");
    expect(whole.choices[0]).toMatchObject({
      message: {
        content: null,
        reasoning_content: "Hmm.",
        tool_calls: [
          { id: "call_1", type: "function", function: { name: "weather", arguments: '{"city":"Bonn"}' } },
          { id: "call_2", type: "function", function: { name: "time", arguments: "{}" } },
        ],
      },
      finish_reason: "tool_calls",
    });
    expect(whole.choices[0].logprobs.content).toHaveLength(1);
    expect(whole.choices[1]).toMatchObject({ index: 1, message: { content: null, refusal: "No" } });
    expect(whole.usage).toEqual({
      prompt_tokens: 3,
      completion_tokens: 4,
      total_tokens: 7,
      prompt_tokens_details: { cached_tokens: 1 },
    });

    const events = sseData(await (await withAnswer(answer).chat({ ...streamed, n: 2 })).text());
    for (const event of events.slice(0, -1))
      expect(schemaErrors("CreateChatCompletionStreamResponse", event)).toEqual([]);
    const choices = (
      events.slice(0, -1) as { choices: { index: number; delta: Record<string, unknown> }[] }[]
    ).flatMap((event) => event.choices);
    for (const index of [0, 1]) {
      const ofChoice = choices.filter((choice) => choice.index === index);
      expect(ofChoice.map(({ delta }) => delta.role)).toEqual(
        ofChoice.map((_, at) => (at === 0 ? "assistant" : undefined)),
      );
    }
    expect(choices.map(({ delta }) => delta.reasoning_content ?? "").join("")).toBe("Hmm.");
    expect(choices.map(({ delta }) => delta.refusal ?? "").join("")).toBe("No");
    expect(choices.flatMap(({ delta }) => (delta.tool_calls as unknown[]) ?? [])[0]).toEqual({
      index: 0,
      id: "call_1",
      type: "function",
      function: { name: "weather", arguments: "" },
    });
  });

  test("without an end is an error, not an answer", async () => {
    const { chat } = withAnswer(async function* () {
      yield { type: "text-delta", delta: "half" };
    });
    const response = await chat(hello);
    expect(response.status).toBe(502);
    expect((await response.json()).error.code).toBe("upstream_invalid_response");
  });
});

describe("a streamed answer", () => {
  test("is made of valid chunks that share id, time and model, and ends with [DONE]", async () => {
    const { chat } = testHandler();
    const response = await chat(streamed);
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toStartWith("text/event-stream");
    expect(response.headers.get("cache-control")).toBe("no-cache, no-transform");
    expect(response.headers.get("x-accel-buffering")).toBe("no");
    const events = sseData(await response.text());
    expect(events.at(-1)).toBe("[DONE]");
    const chunks = events.slice(0, -1) as {
      id: string;
      created: number;
      model: string;
      choices: { index: number; delta: Record<string, unknown>; finish_reason: string | null }[];
    }[];
    for (const chunk of chunks) {
      expect(schemaErrors("CreateChatCompletionStreamResponse", chunk)).toEqual([]);
      expect(chunk).not.toContainKey("usage");
    }
    expect(new Set(chunks.map(({ id, created, model }) => `${id} ${created} ${model}`)).size).toBe(1);
    expect(chunks.map(({ choices }) => choices[0]?.delta)).toEqual([
      { role: "assistant", content: "" },
      { content: "Hello" },
      { content: " there" },
      {},
    ]);
    expect(chunks.map(({ choices }) => choices[0]?.finish_reason)).toEqual([null, null, null, "stop"]);
  });

  test("ends with token counts only when they are asked for", async () => {
    const { chat } = testHandler();
    const events = sseData(
      await (await chat({ ...streamed, stream_options: { include_usage: true } })).text(),
    ) as {
      choices: unknown[];
      usage: unknown;
    }[];
    const chunks = events.slice(0, -1);
    for (const chunk of chunks) expect(schemaErrors("CreateChatCompletionStreamResponse", chunk)).toEqual([]);
    expect(chunks.slice(0, -1).every(({ usage, choices }) => usage === null && choices.length === 1)).toBe(
      true,
    );
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { total_tokens: expect.any(Number) } });
  });

  test("keeps the true status of a failure before its first part", async () => {
    const { chat } = withAnswer(() =>
      failure(new ApiError("upstream_rate_limited", "Slow down.", { retryAfterMs: 7000 })),
    );
    const response = await chat(streamed);
    expect(response.status).toBe(429);
    expect(response.headers.get("retry-after")).toBe("7");
    expect(response.headers.get("retry-after-ms")).toBe("7000");
    expect(await response.json()).toEqual({
      error: { message: "Slow down.", type: "rate_limit_error", param: null, code: "upstream_rate_limited" },
    });
  });

  test("that fails after its first part ends with one error event and no [DONE]", async () => {
    const { chat, records } = withAnswer(async function* () {
      yield { type: "text-delta", delta: "Hel" };
      throw new ApiError("upstream_unreachable", "The connection was cut.");
    });
    const response = await chat(streamed);
    expect(response.status).toBe(200);
    const events = sseData(await response.text());
    expect(events.at(-1)).toEqual({
      error: {
        message: "The connection was cut.",
        type: "upstream_error",
        param: null,
        code: "upstream_unreachable",
      },
    });
    expect(events).toHaveLength(3);
    expect(records).toHaveLength(1);
    expect(records[0]).toMatchObject({ status: 200, code: "upstream_unreachable", stream: true });
  });

  test("opens with its role and stays alive while the provider is silent", async () => {
    let answerNow = () => {};
    const { chat, clock } = withAnswer(async function* () {
      await new Promise<void>((resolve) => {
        answerNow = resolve;
      });
      yield* reply("at last");
    });
    const pending = chat(streamed);
    await clock.advance(4999);
    expect(await Promise.race([pending, settle().then(() => "waiting")])).toBe("waiting");
    await clock.advance(1);
    const response = await pending;
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    const text = async (read: ReturnType<typeof reader.read>) => new TextDecoder().decode((await read).value);
    expect(await text(reader.read())).toContain('"role":"assistant"');
    for (let silence = 0; silence < 3; silence++) {
      const next = reader.read();
      await clock.advance(8000);
      expect(await text(next)).toBe(": keep-alive\n\n");
    }
    const next = reader.read();
    await settle();
    answerNow();
    expect(await text(next)).toContain("at last");
    reader.releaseLock();
  });

  test("that fails after headers went out says so in an error event", async () => {
    const { chat, clock } = withAnswer(async function* (_, { signal }) {
      yield await untilAborted(signal);
    });
    const pending = chat(streamed);
    await clock.advance(5000);
    const text = (await pending).text();
    await clock.advance(175_000);
    const events = sseData(await text);
    expect(events).toHaveLength(2);
    expect(events[1]).toMatchObject({ error: { code: "upstream_timeout", type: "timeout_error" } });
  });

  test("is pulled by its reader: nobody reads, nothing is produced", async () => {
    let produced = 0;
    const { chat } = withAnswer(async function* () {
      for (; produced < 1000; produced++) yield { type: "text-delta", delta: "word " };
      yield { type: "finish", reason: "stop" };
    });
    const response = await chat(streamed);
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    await reader.read();
    await settle();
    expect(produced).toBeLessThan(5);
    await reader.cancel();
  });
});
