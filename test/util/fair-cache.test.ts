import { describe, expect, test } from "bun:test";
import { createFairCache } from "../../core/util/fair-cache.ts";
import { fakeClock } from "../fakes/fake-clock.ts";

const setup = (maxEntries = 4, maxSize = 100) => {
  const clock = fakeClock();
  const cache = createFairCache<{ readonly n: number }>({ maxEntries, maxSize, clock });
  const put = (owner: string, key: string, size = 1, ttlMs?: number) =>
    cache.set(key, { n: 1 }, { owner, size, ...(ttlMs !== undefined && { ttlMs }) });
  const held = (...keys: string[]) => keys.filter((key) => cache.get(key) !== undefined);
  return { clock, cache, put, held };
};

describe("a fair cache", () => {
  test("belongs wholly to one owner while there is no other", () => {
    const { put, held } = setup();
    for (const key of ["1", "2", "3", "4", "5"]) put("a", key);
    expect(held("1", "2", "3", "4", "5")).toEqual(["2", "3", "4", "5"]);
  });

  test("loses entries of the owner who holds most, the least recently used first", () => {
    const { cache, put, held } = setup();
    for (const key of ["a1", "a2", "a3"]) put("a", key);
    cache.get("a1");
    put("b", "b1");
    put("b", "b2");
    expect(held("a1", "a2", "a3", "b1", "b2")).toEqual(["a1", "a3", "b1", "b2"]);
  });

  test("keeps what others hold through one owner's flood", () => {
    const { put, held } = setup();
    put("b", "b1");
    put("c", "c1");
    for (let n = 0; n < 1000; n++) put("a", `a${n}`);
    expect(held("b1", "c1", "a999")).toEqual(["b1", "c1", "a999"]);
  });

  test("counts sizes in the same way", () => {
    const { put, held } = setup(100, 100);
    put("b", "b1", 30);
    put("a", "a1", 40);
    put("a", "a2", 40);
    expect(held("b1", "a1", "a2")).toEqual(["b1", "a2"]);
    put("a", "too large", 101);
    expect(held("b1", "a2", "too large")).toEqual(["b1", "a2"]);
  });

  test("counts an entry once, however often it is written and by whom", () => {
    const { put, held } = setup(2, 10);
    for (let n = 0; n < 20; n++) put(n % 2 ? "a" : "b", "same", 4);
    put("a", "other", 4);
    expect(held("same", "other")).toEqual(["same", "other"]);
  });

  test("gives the room of an entry back whose time is over, or that is deleted", async () => {
    const { clock, cache, put, held } = setup(10, 10);
    put("a", "short", 8, 1000);
    await clock.advance(1001);
    expect(held("short")).toEqual([]);
    put("b", "b1", 8);
    cache.delete("b1");
    put("c", "c1", 10);
    expect(held("c1")).toEqual(["c1"]);
  });
});
