import { describe, expect, test } from "bun:test";
import { slots } from "../../core/routing/concurrency-limit.ts";

const signal = new AbortController().signal;

/** Which of some promises have settled so far. */
const order = (...promises: (Promise<void> | undefined)[]) => {
  const settled: number[] = [];
  for (const [index, promise] of promises.entries()) promise?.then(() => settled.push(index));
  return settled;
};
const microtasks = () => new Promise((resolve) => setImmediate(resolve));

describe("places at an upstream", () => {
  test("are taken at once while there are any", () => {
    const places = slots(2, 10);
    expect(places.enter(signal)).toBeUndefined();
    expect(places.enter(signal)).toBeUndefined();
    expect(places.running).toBe(2);
    places.leave();
    expect(places.running).toBe(1);
  });

  test("are handed on in the order of arrival", async () => {
    const places = slots(1, 10);
    places.enter(signal);
    const settled = order(places.enter(signal), places.enter(signal));
    await microtasks();
    expect(settled).toEqual([]);
    places.leave();
    await microtasks();
    expect(settled).toEqual([0]);
    places.leave();
    await microtasks();
    expect(settled).toEqual([0, 1]);
    places.leave();
    expect(places.running).toBe(0);
  });

  test("are refused as overloaded when the queue is full", () => {
    const places = slots(1, 1);
    places.enter(signal);
    places.enter(signal);
    expect(() => places.enter(signal)).toThrow(
      expect.objectContaining({ code: "overloaded", retryAfterMs: 5000 }),
    );
  });

  test("are not kept for one who has left the queue", async () => {
    const places = slots(1, 10);
    places.enter(signal);
    const leaver = new AbortController();
    const left = places.enter(leaver.signal);
    const stays = places.enter(signal);
    const reason = new Error("gone");
    leaver.abort(reason);
    expect(left).rejects.toBe(reason);
    expect(places.waiting).toBe(1);
    places.leave();
    await stays;
    expect(places.running).toBe(1);
    places.leave();
    expect(places.running).toBe(0);
  });

  test("reject one who has left before the queue", () => {
    const places = slots(1, 10);
    places.enter(signal);
    const reason = new Error("gone");
    expect(places.enter(AbortSignal.abort(reason))).rejects.toBe(reason);
    expect(places.waiting).toBe(0);
  });
});
