import { describe, expect, spyOn, test } from "bun:test";
import { abortable, createDeadline, settlesWithin, sleep, withTimeout } from "../../core/util/time.ts";
import { fakeClock, settle } from "../fakes/fake-clock.ts";

const never = new Promise<never>(() => {});
const gone = new Error("gone");

/** A signal that counts its listeners. */
const watchedSignal = () => {
  const controller = new AbortController();
  const { signal } = controller;
  const added = spyOn(signal, "addEventListener");
  const removed = spyOn(signal, "removeEventListener");
  return {
    signal,
    abort: () => controller.abort(gone),
    /** Those that would still be called. */
    listeners: () => added.mock.calls.length - removed.mock.calls.length,
  };
};

/** What has become of a promise so far. */
const watch = (promise: Promise<unknown>) => {
  const seen: { outcome: string; value?: unknown } = { outcome: "waits" };
  promise.then(
    (value) => Object.assign(seen, { outcome: "resolved", value }),
    (value) => Object.assign(seen, { outcome: "rejected", value }),
  );
  return seen;
};

describe("sleep", () => {
  test("resolves after its time, and leaves no listener", async () => {
    const clock = fakeClock();
    const { signal, listeners } = watchedSignal();
    const seen = watch(sleep(100, { clock, signal }));
    await clock.advance(99);
    expect(seen.outcome).toBe("waits");
    await clock.advance(1);
    expect(seen.outcome).toBe("resolved");
    expect(listeners()).toBe(0);
  });

  test("rejects with the signal's reason at once, and leaves no timer", async () => {
    const clock = fakeClock();
    const { signal, abort } = watchedSignal();
    const seen = watch(sleep(100, { clock, signal }));
    abort();
    await settle();
    expect(seen).toEqual({ outcome: "rejected", value: gone });
    expect(clock.pending).toBe(0);
  });

  test("does not begin under a signal that has aborted", async () => {
    const clock = fakeClock();
    expect(await sleep(100, { clock, signal: AbortSignal.abort(gone) }).catch((error) => error)).toBe(gone);
    expect(clock.pending).toBe(0);
  });
});

describe("withTimeout", () => {
  test("settles as the task does, and leaves no timer", async () => {
    const clock = fakeClock();
    expect(await withTimeout(Promise.resolve("value"), 100, { clock })).toBe("value");
    expect(await withTimeout(Promise.reject(gone), 100, { clock }).catch((error) => error)).toBe(gone);
    await settle();
    expect(clock.pending).toBe(0);
  });

  test("rejects when the time is over, with the error given or one that names the time", async () => {
    const clock = fakeClock();
    const plain = watch(withTimeout(never, 100, { clock }));
    const own = watch(withTimeout(never, 100, { clock, error: () => gone }));
    await clock.advance(99);
    expect([plain.outcome, own.outcome]).toEqual(["waits", "waits"]);
    await clock.advance(1);
    expect(plain).toEqual({ outcome: "rejected", value: new Error("No reply within 100 ms") });
    expect(own).toEqual({ outcome: "rejected", value: gone });
  });

  test("ignores a task that fails later", async () => {
    const clock = fakeClock();
    const { promise, reject } = Promise.withResolvers<never>();
    const seen = watch(withTimeout(promise, 100, { clock }));
    await clock.advance(100);
    // An unhandled rejection would fail the test.
    reject(gone);
    await settle();
    expect(seen.outcome).toBe("rejected");
  });
});

describe("abortable", () => {
  test("settles as the task does, and leaves no listener", async () => {
    const { signal, listeners } = watchedSignal();
    expect(await abortable(Promise.resolve("value"), signal)).toBe("value");
    expect(await abortable(Promise.reject(gone), signal).catch((error) => error)).toBe(gone);
    await settle();
    expect(listeners()).toBe(0);
  });

  test("rejects with the signal's reason, before or after the call", async () => {
    const { signal, abort } = watchedSignal();
    const seen = watch(abortable(never, signal));
    abort();
    await settle();
    expect(seen).toEqual({ outcome: "rejected", value: gone });
    expect(await abortable(Promise.resolve("late"), signal).catch((error) => error)).toBe(gone);
  });
});

test("settlesWithin tells whether a task was over in time, however it ended", async () => {
  const clock = fakeClock();
  expect(await settlesWithin(Promise.resolve(), 100, clock)).toBe(true);
  expect(await settlesWithin(Promise.reject(gone), 100, clock)).toBe(true);
  expect(clock.pending).toBe(0);
  const seen = watch(settlesWithin(never, 100, clock));
  await clock.advance(100);
  expect(seen).toEqual({ outcome: "resolved", value: false });
});

describe("a deadline", () => {
  const setUp = () => {
    const clock = fakeClock();
    const parent = watchedSignal();
    const late = new Error("too late");
    const deadline = createDeadline(100, { clock, parent: parent.signal, reason: () => late });
    return { clock, parent, late, deadline };
  };

  test("aborts with its reason when the time is over", async () => {
    const { clock, deadline, late } = setUp();
    await clock.advance(99);
    expect(deadline.signal.aborted).toBe(false);
    await clock.advance(1);
    expect(deadline.signal.reason).toBe(late);
  });

  test("aborts with the parent's reason, before or after it was made", () => {
    const { clock, parent, deadline } = setUp();
    parent.abort();
    expect(deadline.signal.reason).toBe(gone);
    const after = createDeadline(100, { clock, parent: parent.signal, reason: () => "late" });
    expect(after.signal.reason).toBe(gone);
  });

  test("still follows the parent once its timer is stopped", async () => {
    const { clock, parent, deadline } = setUp();
    deadline.stopTimer();
    await clock.advance(1000);
    expect(deadline.signal.aborted).toBe(false);
    parent.abort();
    expect(deadline.signal.reason).toBe(gone);
  });

  test("leaves no timer and no listener once released, and aborts no more", async () => {
    const { clock, parent, deadline } = setUp();
    deadline.release();
    expect([clock.pending, parent.listeners()]).toEqual([0, 0]);
    parent.abort();
    await clock.advance(1000);
    expect(deadline.signal.aborted).toBe(false);
  });
});
