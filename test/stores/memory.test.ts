import { expect, test } from "bun:test";
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
