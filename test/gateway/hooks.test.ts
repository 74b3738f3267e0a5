import { describe, expect, test } from "bun:test";
import { configureHandler } from "../../adapters/self-configuring.ts";
import type { RequestFacts } from "../../core/types.ts";
import { fakeClock, settle } from "../fakes/fake-clock.ts";
import { scriptedProvider } from "../fakes/scripted-provider.ts";
import { hello, testHandler } from "../support/test-handler.ts";

const broken = () =>
  scriptedProvider({
    answer() {
      throw new TypeError("a fault of the gateway");
    },
  });

describe("onRequest", () => {
  test("is told of each request once, when its answer is over", async () => {
    const { chat, send, records } = testHandler();
    const stream = await chat({ ...hello, stream: true });
    expect(records).toEqual([]);
    await stream.text();
    expect(records).toMatchObject([{ route: "/chat/completions", status: 200, model: "test-model" }]);
    await send("/v1/nothing");
    expect(records[1]).toMatchObject({ route: "none", status: 404, code: "not_found" });
  });

  test("is told how long the upstream took until its last event", async () => {
    const clock = fakeClock();
    const wait = (delayMs: number) =>
      new Promise<void>((resolve) => {
        clock.schedule(resolve, delayMs);
      });
    const provider = scriptedProvider({
      async *answer() {
        await wait(50);
        yield { type: "text-delta", delta: "Hi" };
        await wait(200);
        yield { type: "finish", reason: "stop" };
      },
    });
    const { chat, records } = testHandler({ DEFAULT_MODEL: "" }, { providers: [provider], clock });
    const asked = chat({ ...hello, stream: true });
    await settle();
    await clock.advance(50);
    const text = (await asked).text();
    await settle();
    await clock.advance(200);
    expect(await text).toContain("[DONE]");
    expect(records).toMatchObject([{ upstreamMs: 250 }]);
  });

  test.each([
    [
      "throws",
      () => {
        throw new Error("hook");
      },
    ],
    ["rejects", async () => Promise.reject(new Error("hook"))],
  ])("that %s harms no answer, and is logged", async (_, onRequest) => {
    const { chat, log } = testHandler({}, { onRequest });
    expect((await chat(hello)).status).toBe(200);
    expect(await (await chat({ ...hello, stream: true })).text()).toEndWith("data: [DONE]\n\n");
    await settle();
    const lines = log.lines.filter(({ event }) => event === "hook.failed");
    expect(lines.map(({ fields }) => String(fields.error))).toEqual([
      expect.stringContaining("hook"),
      expect.stringContaining("hook"),
    ]);
  });
});

describe("onError", () => {
  test("is told of faults of the gateway itself, with the request's facts, and of nothing else", async () => {
    const told: [unknown, RequestFacts][] = [];
    const onError = (error: unknown, record: RequestFacts) => void told.push([error, { ...record }]);
    const { chat } = testHandler({}, { providers: [broken()], onError });
    await chat({ ...hello, model: "no-such-model" });
    expect(told).toEqual([]);
    expect((await chat(hello)).status).toBe(500);
    expect(told).toEqual([
      [expect.any(TypeError), expect.objectContaining({ code: "internal_error", status: 500 })],
    ]);
  });
});

test("hooks reach a handler that the environment configures", async () => {
  const records: RequestFacts[] = [];
  const { handler } = await configureHandler({
    environment: { LOG_LEVEL: "silent" },
    preferredStores: ["memory"],
    onRequest: (record) => records.push(record),
  });
  await handler.fetch(new Request("http://127.0.0.1/health"));
  expect(records).toMatchObject([{ route: "/health", status: 200 }]);
  await handler.close();
});
