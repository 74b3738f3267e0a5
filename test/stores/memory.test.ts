import { expect, test } from "bun:test";
import fc from "fast-check";
import { memoryStore } from "../../core/stores/memory.ts";
import { fakeClock } from "../support/fake-clock.ts";

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

test("drops what was used least recently through any gets, writes and deletions", () => {
  const keys = fc.constantFrom("a", "b", "c", "d", "e", "f");
  const steps = fc.array(fc.tuple(fc.constantFrom("get", "set", "delete"), keys), { maxLength: 100 });
  fc.assert(
    fc.property(steps, (steps) => {
      const store = memoryStore({ maxEntries: 3, clock: fakeClock() });
      /** The most recently used last. */
      let held: string[] = [];
      for (const [step, key] of steps) {
        if (step === "get") expect(store.get(key) !== undefined).toBe(held.includes(key));
        if (step === "set") store.set(key, key, { ttlMs: 1000 });
        if (step === "delete") store.delete(key);
        const isHeld = step === "set" || (step === "get" && held.includes(key));
        held = [...held.filter((other) => other !== key), ...(isHeld ? [key] : [])].slice(-3);
      }
      // Asking for them changes their order, but drops none.
      expect([..."abcdef"].filter((key) => store.get(key) !== undefined)).toEqual(held.sort());
    }),
  );
});
