/** Recorded answers, read by clients directly and through the gateway: the same, but for the written list of mends. */
import { describe, expect, test } from "bun:test";
import { chatRequest, providerContext, readAnswer } from "../support/chat-request.ts";
import { schemaErrors } from "../support/openai-schema.ts";
import { handlerBeforeUpstream, replyResponse } from "../support/scripted-upstream.ts";
import { sseData } from "../support/test-handler.ts";
import { mendedEvents, mendedWhole, streamText } from "./mends.ts";
import { comparable, type Reader, readers, type Send } from "./readers.ts";
import { type Json, type Recording, recordings } from "./vendors.ts";

const gateway = handlerBeforeUpstream();

/** Answers a client as the vendor would whose answers needed no mends. */
const direct =
  (recording: Recording): Send =>
  async (request) => {
    const body: Json = await request.json();
    if (body.stream !== true) return replyResponse(mendedWhole(recording));
    const asks = body.stream_options?.include_usage === true || body.usage?.include === true;
    return replyResponse([streamText([...mendedEvents(recording, asks), "data: [DONE]"])]);
  };

/** Answers a client with what the gateway makes of the recording. */
const through =
  ({ stream, whole }: Recording): Send =>
  async (request) => {
    const body: Json = await request.json();
    gateway.answer(body.stream === true ? [streamText(stream)] : (whole as Record<string, unknown>));
    return gateway.chat(body);
  };

const read = async ({ read: by }: Reader, send: Send, stream: boolean): Promise<Json> =>
  comparable(await by(send, stream).catch((error: unknown) => ({ thrown: (error as Error).name })));

describe.each(recordings.map((recording) => [recording.vendor, recording] as const))("%s", (_, recording) => {
  test.each(readers.map((reader) => [reader.name, reader] as const))(
    "is the same to %s, directly and through the gateway",
    async (_name, reader) => {
      for (const stream of [true, false]) {
        const expected = await read(reader, direct(recording), stream);
        expect(await read(reader, through(recording), stream)).toEqual(expected);
      }
    },
  );

  test("is valid by OpenAI's schema", async () => {
    gateway.answer([streamText(recording.stream)]);
    for (const event of sseData(await gateway.ask({ stream: true }))) {
      if (event !== "[DONE]") expect(schemaErrors("CreateChatCompletionStreamResponse", event)).toEqual([]);
    }
    gateway.answer(recording.whole as Record<string, unknown>);
    expect(schemaErrors("CreateChatCompletionResponse", JSON.parse(await gateway.ask()))).toEqual([]);
  });

  test("needs the mends that are listed for it", () => {
    for (const name of recording.mends ?? []) {
      const fewer = { ...recording, mends: recording.mends?.filter((other) => other !== name) ?? [] };
      const isText = (event: unknown) => typeof event === "string" && event !== "data: [DONE]";
      if (name === "remarks") expect(recording.stream.some(isText)).toBe(true);
      else
        expect([mendedEvents(fewer, true), mendedWhole(fewer)]).not.toEqual([
          mendedEvents(recording, true),
          mendedWhole(recording),
        ]);
    }
  });

  test("is the same wherever its bytes are split", async () => {
    const bytes = new TextEncoder().encode(streamText(recording.stream));
    const answer = async (...pieces: Uint8Array[]) => {
      gateway.answer(pieces);
      const { events, error } = await readAnswer(
        gateway.upstream.answer(chatRequest("Why?"), providerContext()),
      );
      expect(error).toBeUndefined();
      return JSON.stringify(comparable(events.map(({ parts, native }) => [parts, native?.event ?? null])));
    };
    const expected = await answer(bytes);
    for (let at = 1; at < bytes.length; at++) {
      expect(await answer(bytes.subarray(0, at), bytes.subarray(at))).toBe(expected);
    }
    expect(await answer(...Array.from(bytes, (_byte, at) => bytes.subarray(at, at + 1)))).toBe(expected);
  });
});
