import { describe, expect, spyOn, test } from "bun:test";
import fc from "fast-check";
import { memoryStore } from "../../core/stores/memory.ts";
import { systemClock } from "../../core/util/time.ts";
import { fakeClock } from "../fakes/fake-clock.ts";

test("drops the least recently used of more than maxEntries", () => {
  const store = memoryStore({ maxEntries: 2, clock: fakeClock() });
  store.set("a", "1", { ttlMs: 1000 });
  store.set("b", "2", { ttlMs: 1000 });
  store.get("a");
  store.set("c", "3", { ttlMs: 1000 });
  expect([store.get("a"), store.get("b"), store.get("c")]).toEqual([
    expect.objectContaining({ value: "1" }),
    undefined,
    expect.objectContaining({ value: "3" }),
  ]);
});

describe("maxBytes", () => {
  const ttlMs = 1000;
  const textOfKilobytes = (kilobytes: number) => "x".repeat(kilobytes * 512);
  /** Room for two values of 10 KiB, and for no third. */
  const setUp = () => memoryStore({ maxEntries: 100, maxBytes: 25 * 1024, clock: fakeClock() });

  test("drops the least recently used once all values together take more memory", () => {
    const store = setUp();
    store.set("a", textOfKilobytes(10), { ttlMs });
    store.set("b", textOfKilobytes(10), { ttlMs });
    store.get("a");
    store.set("c", textOfKilobytes(10), { ttlMs });
    expect(["a", "b", "c"].filter((key) => store.get(key))).toEqual(["a", "c"]);
  });

  test("counts a value that is replaced or deleted no more", () => {
    const store = setUp();
    for (let write = 0; write < 10; write++) store.set("a", textOfKilobytes(10), { ttlMs });
    store.set("b", textOfKilobytes(10), { ttlMs });
    store.delete("b");
    store.set("c", textOfKilobytes(10), { ttlMs });
    expect(["a", "b", "c"].filter((key) => store.get(key))).toEqual(["a", "c"]);
  });

  test("refuses a value that alone takes more, and leaves the one before", () => {
    const store = setUp();
    store.set("a", "before", { ttlMs });
    expect(() => store.set("a", textOfKilobytes(30), { ttlMs })).toThrow(/holds 25600 at most/);
    expect(store.get("a")).toMatchObject({ value: "before" });
  });

  test("counts many small values by what they take beside their texts", () => {
    const store = memoryStore({ maxEntries: 1000, maxBytes: 25 * 1024, clock: fakeClock() });
    for (let index = 0; index < 1000; index++) store.set(String(index), "", { ttlMs });
    const held = Array.from({ length: 1000 }, (_, index) => store.get(String(index))).filter(Boolean);
    expect(held.length).toBeWithin(50, 101);
  });
});

test("sets no timer, which would keep a process alive", () => {
  const timers = spyOn(globalThis, "setTimeout");
  const store = memoryStore({ maxEntries: 2, clock: systemClock });
  for (const key of ["a", "b", "c"]) store.set(key, "1", { ttlMs: 1000 });
  store.get("c");
  store.delete("c");
  expect(timers).not.toHaveBeenCalled();
  timers.mockRestore();
});

test("drops the least recently used whatever was written, read, refused, deleted and over before", () => {
  const keys = ["a", "b", "c", "d", "e", "f"];
  const actions = fc.constantFrom("set", "set", "get", "get", "refused", "delete", "later");
  const steps = fc.array(fc.record({ action: actions, key: fc.constantFrom(...keys) }), {
    maxLength: 80,
    size: "max",
  });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 4 }), steps, (maxEntries, taken) => {
      let nowMs = Date.UTC(2026, 0, 1);
      const store = memoryStore({ maxEntries, clock: { monotonic: () => nowMs } });
      /** The most recently used last. */
      let held: { readonly key: string; readonly value: string; readonly endsAtMs: number }[] = [];
      for (const [number, { action, key }] of taken.entries()) {
        const value = String(number);
        const others = held.filter((entry) => entry.key !== key);
        const found = held.find((entry) => entry.key === key && entry.endsAtMs > nowMs);
        if (action === "later") {
          nowMs += 7;
        } else if (action === "delete") {
          store.delete(key);
          held = others;
        } else if (action === "refused") {
          expect(store.set(key, value, { ttlMs: 20, ifVersion: "never" })).toBeUndefined();
          held = found ? [...others, found] : others;
        } else if (action === "set") {
          store.set(key, value, { ttlMs: 20 });
          held = [...others, { key, value, endsAtMs: nowMs + 20 }].slice(-maxEntries);
        } else {
          expect(store.get(key)).toEqual(found && expect.objectContaining({ value: found.value }));
          held = found ? [...others, found] : others;
        }
      }
      const kept = held.filter(({ endsAtMs }) => endsAtMs > nowMs).map(({ key }) => key);
      expect(keys.filter((key) => store.get(key) !== undefined)).toEqual(kept.sort());
    }),
    { numRuns: 300 },
  );
});
