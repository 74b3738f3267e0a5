import { describe, expect, test } from "bun:test";
import { createBodyBudget } from "../../core/http/body-budget.ts";

describe("the budget of bodies", () => {
  test("refuses what would go over it, and has room again after a release", () => {
    const budget = createBodyBudget({ maxBytes: 100, isShared: false });
    const first = budget.open("a");
    first.take(60);
    const second = budget.open("a");
    second.take(40);
    expect(() => budget.open("a").take(1)).toThrow("Too many request bodies");
    first.release();
    first.release();
    second.take(60);
    expect(() => second.take(1)).toThrow("Too many request bodies");
  });

  test("gives each of several keys half of it", () => {
    const budget = createBodyBudget({ maxBytes: 100, isShared: true });
    budget.open("a").take(50);
    expect(() => budget.open("a").take(1)).toThrow("Too many request bodies");
    budget.open("b").take(50);
  });
});
