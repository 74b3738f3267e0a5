/** A misbehaving upstream's streams, as a client of the gateway gets them. */
import { describe, expect, test } from "bun:test";
import { openAiCompatible } from "../../core/providers/openai-compatible/provider.ts";
import { eventStream } from "../fakes/openai-upstream.ts";
import { type StreamFault, streamFaults } from "../fakes/stream-faults.ts";
import { gatewayBeforeUpstreams, testUpstream } from "../support/gateway-before-upstreams.ts";
import { schemaErrors } from "../support/openai-schema.ts";
import { sseData, testHandler } from "../support/test-handler.ts";

const body = {
  model: "echo",
  messages: [{ role: "user", content: "Hello" }],
  stream: true,
  stream_options: { include_usage: true },
};

interface ClientEvent {
  readonly error?: { readonly code: string };
  readonly usage?: { readonly total_tokens: number } | null;
  readonly choices?: readonly {
    readonly delta: { content?: string };
    readonly finish_reason: string | null;
  }[];
}

const expectAnswer = (text: string, { text: expected, finish, error, tokens }: StreamFault) => {
  const events = sseData(text) as (ClientEvent | "[DONE]")[];
  expect(events.includes("[DONE]")).toBe(error === undefined);
  const chunks = events.filter((event) => event !== "[DONE]");
  const choices = chunks.flatMap((event) => event.choices ?? []);
  expect(choices.map(({ delta }) => delta.content ?? "").join("")).toBe(expected);
  expect(choices.findLast((choice) => choice.finish_reason)?.finish_reason).toBe(finish as string);
  expect(chunks.at(-1)?.error?.code).toBe(error as string);
  if (tokens !== undefined) expect(chunks.at(-1)?.usage?.total_tokens).toBe(tokens);
  return chunks;
};

describe("over HTTP, a stream with", async () => {
  const upstream = await testUpstream();
  const gateway = await gatewayBeforeUpstreams({
    OPENAI_BASE_URL: upstream.baseUrl,
    OPENAI_MODELS: "echo",
    CIRCUIT_BREAKER: "off",
  });

  test.each(streamFaults.map((fault) => [fault.name, fault] as const))("%s", async (_, fault) => {
    upstream.script({ headers: eventStream, steps: [fault.stream] });
    const response = await gateway.chat(body);
    expect(response.status).toBe(200);
    for (const event of expectAnswer(await response.text(), fault)) {
      const schema = event.error ? "ErrorResponse" : "CreateChatCompletionStreamResponse";
      expect(schemaErrors(schema, event)).toEqual([]);
    }

    upstream.script({ headers: eventStream, steps: [fault.stream] });
    const whole = await gateway.chat({ ...body, stream: false, stream_options: undefined });
    const answer = await whole.json();
    if (fault.error === undefined) {
      expect(answer.choices[0]).toMatchObject({
        message: { content: fault.text },
        finish_reason: fault.finish,
      });
    } else {
      expect(whole.status).toBeGreaterThanOrEqual(500);
      expect(answer.error.code).toBe(fault.error);
    }
  });
});

/** What is the same for every answer: all but its id and its time. */
const comparable = (text: string) => text.replace(/"(id|created)":[^,]+,/g, "");

describe("wherever its bytes are split, a stream with", () => {
  let pieces: readonly Uint8Array[] = [];
  // Not over TCP, which would join the pieces as it likes.
  const fetch = async () =>
    new Response(
      new ReadableStream({
        start(controller) {
          for (const piece of pieces) controller.enqueue(piece);
          controller.close();
        },
      }),
      { headers: eventStream },
    );
  const provider = openAiCompatible({
    name: "stand-in",
    baseUrl: "http://127.0.0.1:1/v1",
    models: ["echo"],
    fetch,
  });
  const { chat } = testHandler({ CIRCUIT_BREAKER: "off" }, { providers: [provider] });

  const answer = async (...from: readonly Uint8Array[]) => {
    pieces = from;
    return (await chat(body)).text();
  };

  test.each(streamFaults.map((fault) => [fault.name, fault] as const))("%s", async (_, fault) => {
    const bytes = new TextEncoder().encode(fault.stream);
    const expected = await answer(bytes);
    expectAnswer(expected, fault);
    for (let at = 1; at < bytes.length; at++) {
      const split = await answer(bytes.subarray(0, at), bytes.subarray(at));
      expect(comparable(split)).toBe(comparable(expected));
    }
    const single = Array.from(bytes, (_byte, at) => bytes.subarray(at, at + 1));
    expect(comparable(await answer(...single))).toBe(comparable(expected));
  });
});
