import { describe, expect, test } from "bun:test";
import { getEventListeners } from "node:events";
import { settle } from "../fakes/fake-clock.ts";
import { reply, scriptedProvider } from "../fakes/scripted-provider.ts";
import { hello, testHandler } from "../support/test-handler.ts";
import { streamed, untilAborted, withAnswer } from "./with-answer.ts";

test("a client's signal that many requests have keeps nothing of those that are over", async () => {
  const { chat } = withAnswer(() => reply("x"));
  const { signal } = new AbortController();
  await (await chat(hello, { signal })).text();
  await (await chat(streamed, { signal })).text();
  await (await chat({ ...hello, model: "unknown" }, { signal })).text();
  expect(getEventListeners(signal, "abort")).toEqual([]);
});

describe("the end of a request", () => {
  test("by time is upstream_timeout, releases the provider and leaves no timer", async () => {
    const { chat, clock, provider } = withAnswer(async function* (_, { signal }) {
      yield await untilAborted(signal);
    });
    const pending = chat(hello);
    await clock.advance(180_000);
    const response = await pending;
    expect(response.status).toBe(504);
    expect(response.headers.get("x-should-retry")).toBe("false");
    expect((await response.json()).error.code).toBe("upstream_timeout");
    expect(provider.released).toBe(1);
    expect(clock.pending).toBe(0);
  });

  test("by time comes even if the provider does not listen", async () => {
    const { chat, clock } = withAnswer(async function* () {
      await new Promise(() => {});
      yield* reply("never");
    });
    const pending = chat(hello);
    await clock.advance(180_000);
    expect((await pending).status).toBe(504);
  });

  test("by a client that leaves while it waits aborts the provider", async () => {
    const { chat, provider, records, clock } = withAnswer(async function* (_, { signal }) {
      yield await untilAborted(signal);
    });
    const controller = new AbortController();
    const pending = chat(hello, { signal: controller.signal });
    await settle();
    controller.abort();
    await pending;
    await settle();
    expect(provider.requests[0]?.context.signal.aborted).toBe(true);
    expect(provider.released).toBe(1);
    expect(records[0]).toMatchObject({ code: "client_closed_request", status: 499 });
    expect(clock.pending).toBe(0);
  });

  test("by a client that leaves in the middle of a stream aborts the provider and is logged once", async () => {
    const { chat, provider, records, clock } = withAnswer(async function* (_, { signal }) {
      yield { type: "text-delta", delta: "Hel" };
      yield await untilAborted(signal);
    });
    const response = await chat(streamed);
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    await reader.read();
    await reader.cancel();
    await settle();
    expect(provider.released).toBe(1);
    expect(records).toHaveLength(1);
    expect(records[0]).toMatchObject({ code: "client_closed_request" });
    expect(clock.pending).toBe(0);
  });

  test("that went well leaves no timer and ignores a later abort", async () => {
    for (const body of [hello, streamed]) {
      const { chat, clock, provider, records } = withAnswer(() => reply("done"));
      const controller = new AbortController();
      await (await chat(body, { signal: controller.signal })).text();
      controller.abort();
      await settle();
      expect(clock.pending).toBe(0);
      expect(provider.released).toBe(1);
      expect(records).toHaveLength(1);
      expect(records[0]?.code).toBeUndefined();
    }
  });
});

describe("a fault of the gateway itself", () => {
  test("is shown without details and told to onError", async () => {
    const provider = scriptedProvider({
      answer() {
        throw new TypeError("secret detail");
      },
    });
    const errors: unknown[] = [];
    const { chat, log } = testHandler({}, { providers: [provider], onError: (error) => errors.push(error) });
    const response = await chat(hello);
    expect(response.status).toBe(500);
    const text = await response.text();
    expect(text).not.toContain("secret detail");
    expect(JSON.parse(text).error.code).toBe("internal_error");
    expect(errors).toHaveLength(1);
    expect(log.lines.some(({ level }) => level === "error")).toBe(true);
  });
});
