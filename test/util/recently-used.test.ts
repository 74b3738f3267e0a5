import { expect, test } from "bun:test";
import { recentlyUsed } from "../../core/util/recently-used.ts";

const kept = (maxSize: number) => {
  const recent = recentlyUsed<string>(maxSize);
  return {
    ...recent,
    keepAll: (keys: string, size: number) => {
      for (const key of keys) recent.keep(key, `value of ${key}`, size);
    },
  };
};

test("finds what was kept last under a key", () => {
  const recent = kept(100);
  recent.keep("a", "one", 10);
  recent.keep("a", "two", 10);
  expect(recent.find("a")).toBe("two");
  expect(recent.find("b")).toBeUndefined();
  recent.drop("a");
  expect(recent.find("a")).toBeUndefined();
});

test("lets go of what was kept longest ago once there is too much", () => {
  const recent = kept(40);
  recent.keepAll("abc", 10);
  recent.keepAll("def", 10);
  expect([..."abc"].map((key) => recent.find(key))).toEqual([undefined, undefined, "value of c"]);
  expect(recent.find("f")).toBe("value of f");
});

test("holds on to what is found", () => {
  const recent = kept(40);
  recent.keepAll("abc", 10);
  expect(recent.find("a")).toBe("value of a");
  recent.keepAll("de", 10);
  expect([recent.find("a"), recent.find("b")]).toEqual(["value of a", undefined]);
});

test("counts once what is kept again and again", () => {
  const recent = kept(40);
  recent.keepAll("ab", 10);
  recent.keepAll("bbbbbbbbbb", 10);
  expect(recent.find("a")).toBe("value of a");
});

test("holds one thing larger than the limit", () => {
  const recent = kept(40);
  recent.keepAll("ab", 100);
  expect(recent.find("b")).toBe("value of b");
});
