import { expect, test } from "bun:test";
import fc from "fast-check";
import { memoryStore } from "../../core/stores/memory.ts";
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

test("drops the least recently used of more than maxBytes, and counts what was replaced no more", () => {
  const store = memoryStore({ maxEntries: 100, maxBytes: 200, clock: fakeClock() });
  const held = (...keys: string[]) => keys.filter((key) => store.get(key) !== undefined);
  for (const key of ["a", "b", "c"]) store.set(key, "x".repeat(29), { ttlMs: 1000 });
  store.set("c", "y".repeat(29), { ttlMs: 1000 });
  expect(held("a", "b", "c")).toEqual(["a", "b", "c"]);
  store.set("d", "x".repeat(29), { ttlMs: 1000 });
  expect(held("a", "b", "c", "d")).toEqual(["b", "c", "d"]);
  store.delete("b");
  store.set("e", "x".repeat(29), { ttlMs: 1000 });
  expect(held("c", "d", "e")).toEqual(["c", "d", "e"]);
  store.set("large", "x".repeat(1000), { ttlMs: 1000 });
  expect(held("c", "d", "e", "large")).toEqual(["large"]);
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
      let nowMs = 0;
      const store = memoryStore({ maxEntries, clock: { now: () => nowMs } });
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
