/** When an answer is complete although its connection stays open. */
import { expect, test } from "bun:test";
import { openAiCompatible } from "../../../core/providers/openai-compatible/provider.ts";
import { fakeClock, settle } from "../../fakes/fake-clock.ts";
import { chunk, eventStream } from "../../fakes/openai-upstream.ts";
import { chatRequest, providerContext, readAnswer, textOf } from "../../support/chat-request.ts";

/** An upstream whose stream goes on as the test says, and never ends. */
const openStream = () => {
  const clock = fakeClock();
  const encoder = new TextEncoder();
  let body: ReadableStreamDefaultController<Uint8Array> | undefined;
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      body = controller;
    },
  });
  const provider = openAiCompatible({
    name: "open",
    baseUrl: "http://upstream.test/v1",
    models: ["echo"],
    clock,
    fetch: async () => new Response(stream, { headers: eventStream }),
  });
  const answer = readAnswer(provider.answer(chatRequest("Hello"), providerContext()));
  const send = async (text: string) => {
    body?.enqueue(encoder.encode(text));
    await settle();
  };
  return { clock, answer, send };
};

test("a stream with a finish in every chunk is read on, however long it takes", async () => {
  const { clock, answer, send } = openStream();
  for (let piece = 0; piece < 10; piece++) {
    await send(chunk({ content: `${piece} ` }, "stop"));
    await clock.advance(2000);
  }
  await clock.advance(5000);
  const { parts, error } = await answer;
  expect(error).toBeUndefined();
  expect(textOf(parts)).toBe("0 1 2 3 4 5 6 7 8 9 ");
  expect(parts.filter(({ type }) => type === "finish")).toHaveLength(1);
});

test("an answer is complete seconds after its finish, whatever comments follow", async () => {
  const { clock, answer, send } = openStream();
  await send(chunk({ content: "All of it." }));
  await send(chunk({}, "stop"));
  for (let time = 0; time < 5; time++) {
    await send(": still here\n\n");
    await clock.advance(500);
  }
  await clock.advance(500);
  const { parts, error } = await answer;
  expect(error).toBeUndefined();
  expect(textOf(parts)).toBe("All of it.");
  expect(parts.at(-1)).toEqual({ type: "finish", reason: "stop" });
});
