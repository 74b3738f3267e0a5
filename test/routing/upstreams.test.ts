import { describe, expect, test } from "bun:test";
import { ApiError, errorTable } from "../../core/errors.ts";
import type { ChatRequest, Provider, StreamPart } from "../../core/types.ts";
import { fakeClock, settle } from "../fakes/fake-clock.ts";
import { failure, reply, scriptedProvider } from "../fakes/scripted-provider.ts";
import { hello, testHandler } from "../support/test-handler.ts";

const gate = () => {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { open, opened };
};

const handlerOf = (provider: Provider, env = {}) => {
  const clock = fakeClock();
  return { ...testHandler(env, { providers: [provider], clock }), clock };
};

/** A handler with one place at its upstream, which answers once `open` is called. */
const gatedHandler = () => {
  const { open, opened } = gate();
  const base = scriptedProvider({
    async *answer() {
      await opened;
      yield* reply("x");
    },
  });
  return { open, base, ...handlerOf({ ...base, maxConcurrency: 1 }) };
};

describe("an upstream with a bound on calls at once", () => {
  test("gets no more than that, and the next one as soon as it has given all", async () => {
    const gates = [gate(), gate(), gate()];
    let running = 0;
    let most = 0;
    const base = scriptedProvider({
      async *answer() {
        const mine = gates[base.requests.length - 1];
        most = Math.max(most, ++running);
        await mine?.opened;
        running--;
        yield* reply("x");
      },
    });
    const { chat } = handlerOf({ ...base, maxConcurrency: 1 });
    const answers = [chat(hello), chat(hello), chat(hello)];
    for (const { open } of gates) {
      await settle();
      open();
    }
    expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(most).toBe(1);
  });

  test("is free again once it is done, even while the answer is still being read", async () => {
    const base = scriptedProvider({ answer: () => reply("one", "two", "three") });
    const answer: Provider["answer"] = async (...call) => ({
      ...(await base.answer(...call)),
      isComplete: true,
    });
    const { chat } = handlerOf({ ...base, answer, maxConcurrency: 1 });
    const slowReader = await chat({ ...hello, stream: true });
    expect((await chat(hello)).status).toBe(200);
    expect(await slowReader.text()).toContain("three");
    expect((await chat(hello)).status).toBe(200);
  });

  test("refuses with overloaded when too many wait", async () => {
    const { open, chat } = gatedHandler();
    const waiting = Array.from({ length: 9 }, () => chat(hello));
    await settle();
    const refused = await chat(hello);
    expect(refused.status).toBe(503);
    expect(refused.headers.get("retry-after")).toBe("5");
    expect((await refused.json()).error.code).toBe("overloaded");
    open();
    expect((await Promise.all(waiting)).every(({ status }) => status === 200)).toBe(true);
  });

  test("is not asked for a client that left while it waited", async () => {
    const { open, base, chat } = gatedHandler();
    const first = chat(hello);
    const leaver = new AbortController();
    const left = chat(hello, { signal: leaver.signal });
    await settle();
    leaver.abort();
    await left;
    open();
    await first;
    await settle();
    expect(base.requests).toHaveLength(1);
  });
});

describe("an upstream that keeps failing", () => {
  const failing = () =>
    scriptedProvider({
      answer: () => failure(new ApiError("upstream_unavailable", "Down for maintenance.")),
    });

  test("is left alone for a while, and the kind of its failure is told, not its words", async () => {
    const provider = failing();
    const { chat, clock } = handlerOf(provider);
    for (let time = 0; time < 5; time++) await chat(hello);
    const response = await chat(hello);
    expect(response.status).toBe(503);
    expect(response.headers.get("retry-after")).toBe("15");
    expect((await response.json()).error).toMatchObject({
      code: "upstream_unavailable",
      message: expect.stringContaining(errorTable.upstream_unavailable.when),
    });
    expect(provider.requests).toHaveLength(5);
    await clock.advance(15_000);
    await chat(hello);
    expect(provider.requests).toHaveLength(6);
  });

  test("is asked every time with CIRCUIT_BREAKER=off", async () => {
    const provider = failing();
    const { chat } = handlerOf(provider, { CIRCUIT_BREAKER: "off" });
    for (let time = 0; time < 8; time++) await chat(hello);
    expect(provider.requests).toHaveLength(8);
  });

  test("still tells clients of their own faults first", async () => {
    const provider = {
      ...failing(),
      check({ choices }: ChatRequest) {
        if (choices > 1) throw new ApiError("unsupported_parameter", "One reply only.", { param: "n" });
      },
    };
    const { chat } = handlerOf(provider);
    for (let time = 0; time < 6; time++) await chat(hello);
    expect((await chat(hello)).status).toBe(503);
    expect((await chat({ ...hello, n: 2 })).status).toBe(400);
  });

  test("does not close the circuit of another model", async () => {
    const provider = scriptedProvider({
      models: ["a", "b"].map((id) => ({ id, createdAt: 1 })),
      answer: ({ model }): AsyncIterable<StreamPart> =>
        model === "a" ? failure(new ApiError("upstream_unavailable", "Down.")) : reply("up"),
    });
    const { chat } = handlerOf(provider);
    for (let time = 0; time < 6; time++) await chat({ ...hello, model: "a" });
    expect((await chat({ ...hello, model: "b" })).status).toBe(200);
  });
});
