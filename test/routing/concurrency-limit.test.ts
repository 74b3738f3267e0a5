import { describe, expect, test } from "bun:test";
import { ApiError } from "../../core/errors.ts";
import { createConcurrencyLimit, type Slot } from "../../core/routing/concurrency-limit.ts";
import type { StreamPart } from "../../core/types.ts";
import { settle } from "../fakes/fake-clock.ts";
import { reply, scriptedProvider } from "../fakes/scripted-provider.ts";
import { hello, testHandler } from "../support/test-handler.ts";

const { signal } = new AbortController();
const gone = new Error("gone");

/** Notes in which order promises of slots are kept, and hands the slots out. */
const inOrder = (...promises: Promise<Slot>[]) => {
  const granted: number[] = [];
  const slots: Slot[] = [];
  for (const [index, promise] of promises.entries()) {
    promise.then((slot) => {
      granted.push(index);
      slots.push(slot);
    });
  }
  return { granted, slots };
};

describe("slots of several owners", () => {
  test("go to the owner with the fewest running calls, however many of another wait", async () => {
    const limit = createConcurrencyLimit(2, 10);
    const first = await limit.acquire(signal, "a");
    const second = await limit.acquire(signal, "a");
    const { granted } = inOrder(
      limit.acquire(signal, "a"),
      limit.acquire(signal, "a"),
      limit.acquire(signal, "b"),
      limit.acquire(signal, "b"),
    );
    first.release();
    await settle();
    second.release();
    await settle();
    expect(granted).toEqual([2, 0]);
  });

  test("the line has room for another owner at the cost of the one who fills it", async () => {
    const limit = createConcurrencyLimit(1, 3);
    await limit.acquire(signal, "a");
    const waits = [0, 1, 2].map(() => limit.acquire(signal, "a").catch((error) => error.code));
    void limit.acquire(signal, "b");
    expect(await waits[2]).toBe("overloaded");
    expect(limit.waiting).toBe(3);
  });

  test("an owner who fills the line is refused itself", async () => {
    const limit = createConcurrencyLimit(1, 2);
    await limit.acquire(signal, "b");
    void limit.acquire(signal, "a");
    void limit.acquire(signal, "a");
    expect(await limit.acquire(signal, "a").catch((error) => error.code)).toBe("overloaded");
  });
});

describe("slots of an upstream", () => {
  test("are given at once while there are any", async () => {
    const limit = createConcurrencyLimit(2, 10);
    const first = await limit.acquire(signal);
    await limit.acquire(signal);
    expect([limit.running, limit.waiting]).toEqual([2, 0]);
    first.release();
    expect(limit.running).toBe(1);
  });

  test("are given without waiting only while there are any", async () => {
    const limit = createConcurrencyLimit(1, 10);
    const slot = limit.tryAcquire();
    expect(limit.tryAcquire()).toBeUndefined();
    const { granted } = inOrder(limit.acquire(signal));
    slot?.release();
    await settle();
    expect([granted, limit.running, limit.tryAcquire()]).toEqual([[0], 1, undefined]);
  });

  test("beside its own are offered to a provider while there are any", async () => {
    const taken: (boolean | undefined)[] = [];
    const provider = {
      ...scriptedProvider({
        async *answer(_, { extraSlot }) {
          const slots = [extraSlot?.(), extraSlot?.(), extraSlot?.()];
          taken.push(...slots.map((slot) => slot !== undefined));
          for (const slot of slots) slot?.release();
          yield* reply("Hi");
        },
      }),
      maxConcurrency: 3,
    };
    const { chat } = testHandler({}, { providers: [provider] });
    for (let call = 0; call < 2; call++) expect((await chat(hello)).status).toBe(200);
    expect(taken).toEqual([true, true, false, true, true, false]);
  });

  test("are handed on in the order of arrival", async () => {
    const limit = createConcurrencyLimit(1, 10);
    const first = await limit.acquire(signal);
    const { granted, slots } = inOrder(limit.acquire(signal), limit.acquire(signal));
    await settle();
    expect([granted, limit.waiting]).toEqual([[], 2]);
    first.release();
    await settle();
    expect([granted, limit.running]).toEqual([[0], 1]);
    slots[0]?.release();
    await settle();
    expect(granted).toEqual([0, 1]);
    slots[1]?.release();
    expect([limit.running, limit.waiting]).toEqual([0, 0]);
  });

  test("count once, however often they are released", async () => {
    const limit = createConcurrencyLimit(2, 10);
    const first = await limit.acquire(signal);
    const second = await limit.acquire(signal);
    const { granted } = inOrder(limit.acquire(signal), limit.acquire(signal));
    for (let time = 0; time < 3; time++) first.release();
    await settle();
    expect([granted, limit.running, limit.waiting]).toEqual([[0], 2, 1]);
    second.release();
    await settle();
    second.release();
    expect([limit.running, limit.waiting]).toEqual([2, 0]);
  });

  test("are refused as overloaded when the line is full", async () => {
    const limit = createConcurrencyLimit(1, 1);
    await limit.acquire(signal);
    limit.acquire(signal);
    const refusal = await limit.acquire(signal).catch((error) => error);
    expect(refusal).toMatchObject({ code: "overloaded", retryAfterMs: 5000 });
    expect(limit.waiting).toBe(1);
  });

  test("are not kept for a call that has left the line", async () => {
    const limit = createConcurrencyLimit(1, 10);
    const first = await limit.acquire(signal);
    const leaver = new AbortController();
    const left = limit.acquire(leaver.signal).catch((error) => error);
    const stays = limit.acquire(signal);
    leaver.abort(gone);
    expect(await left).toBe(gone);
    expect(limit.waiting).toBe(1);
    first.release();
    const second = await stays;
    expect(limit.running).toBe(1);
    second.release();
    expect(limit.running).toBe(0);
  });

  test("stay with a call whose signal aborts once it has one", async () => {
    const limit = createConcurrencyLimit(1, 10);
    const first = await limit.acquire(signal);
    const leaver = new AbortController();
    const waiting = limit.acquire(leaver.signal);
    first.release();
    leaver.abort(gone);
    const slot = await waiting;
    expect(limit.running).toBe(1);
    slot.release();
    expect(limit.running).toBe(0);
  });

  test("are not given to a call that has been aborted before, whether there is one or not", async () => {
    const limit = createConcurrencyLimit(1, 10);
    const aborted = AbortSignal.abort(gone);
    expect(await limit.acquire(aborted).catch((error) => error)).toBe(gone);
    expect(limit.running).toBe(0);
    await limit.acquire(signal);
    expect(await limit.acquire(aborted).catch((error) => error)).toBe(gone);
    expect([limit.running, limit.waiting]).toEqual([1, 0]);
  });
});

async function* brokenReply(): AsyncGenerator<StreamPart> {
  yield { type: "text-delta", delta: "Hel" };
  throw new ApiError("upstream_unreachable", "The connection was cut.");
}

const answers = { "an answer": () => reply("Hello"), "a failure in the middle": brokenReply };
const cases = Object.entries(answers).flatMap(([what, answer]) =>
  [false, true].flatMap((stream) =>
    [{}, { "x-session-id": "s" }].map((headers) => ({
      title: `${what}, ${stream ? "streamed" : "whole"}, ${"x-session-id" in headers ? "in a conversation" : "stateless"}`,
      answer,
      stream,
      headers: headers as Record<string, string>,
    })),
  ),
);

test.each(cases)("a slot is released after $title", async ({ answer, stream, headers }) => {
  const provider = { ...scriptedProvider({ answer }), maxConcurrency: 1 };
  const { chat, send } = testHandler({}, { providers: [provider] });
  for (const content of ["one", "two"]) {
    const messages = [{ role: "user", content }];
    await (await chat({ ...hello, messages, stream }, { headers })).text();
  }
  const { upstreams } = await (await send("/health")).json();
  expect(upstreams).toMatchObject([{ running: 0, waiting: 0 }]);
});
