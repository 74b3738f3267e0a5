/** Limits that are counted in a store: what becomes of them when that is late, wrong or gone. */
import { expect, test } from "bun:test";
import { sharedAllowances } from "../../core/http/allowances.ts";
import type { Allowance, Spending } from "../../core/types.ts";
import { fakeClock } from "../fakes/fake-clock.ts";
import { recordingLogger } from "../fakes/recording-logger.ts";

const spending: Spending = { cost: 1, limit: 2, windowMs: 60_000, returns: "evenly", mode: "take" };
const granted: Allowance = { isGranted: true, left: 1, waitMs: 0, resetMs: 30_000 };

type Answer = () => Allowance | Promise<Allowance>;

const setUp = (answer: Answer) => {
  const clock = fakeClock();
  const log = recordingLogger();
  const keys: string[] = [];
  let current = answer;
  const store = {
    name: "fake",
    spend(key: string) {
      keys.push(key);
      return current();
    },
  };
  const allowances = sharedAllowances({ store, clock, log });
  return {
    clock,
    keys,
    warnings: () => log.lines.map(({ level, event, fields }) => [level, event, fields.reason]),
    answerWith(next: Answer) {
      current = next;
    },
    spend: async () => (await allowances.spend("requests", "sk-secret", spending)).isGranted,
  };
};

const never: Answer = () => new Promise(() => {});
const broken: Answer = () => Promise.reject(new Error("Connection refused"));

test("the store's answer counts, and it is told no API key", async () => {
  const { spend, answerWith, keys, warnings } = setUp(() => granted);
  expect(await spend()).toBe(true);
  answerWith(() => ({ isGranted: false, left: 0, waitMs: 500, resetMs: 30_000 }));
  expect(await spend()).toBe(false);
  expect(keys[0]).toMatch(/^requests:[\da-f]{64}$/);
  expect(warnings()).toEqual([]);
});

test("a store that is late is waited for 300 ms, and then nobody waits for a second", async () => {
  const { spend, clock, keys, warnings } = setUp(never);
  const first = spend();
  await clock.advance(300);
  expect(await first).toBe(true);
  expect([await spend(), await spend()]).toEqual([true, false]);
  expect(keys).toHaveLength(1);
  expect(warnings()).toEqual([["warn", "limit.not_shared", "No reply within 300 ms"]]);
  await clock.advance(700);
  void spend();
  await clock.advance(0);
  expect(keys).toHaveLength(1);
  await clock.advance(300);
  const later = spend();
  await clock.advance(300);
  await later;
  expect(keys).toHaveLength(2);
});

test.each([
  ["fails", broken],
  [
    "throws",
    () => {
      throw new Error("Gone");
    },
  ],
  ["answers with nothing", () => undefined as unknown as Allowance],
  ["answers with something else", () => ({ ok: 1 }) as unknown as Allowance],
  ["answers with a count that is none", () => ({ ...granted, left: Number.NaN })],
  ["answers with a wait that lies in the past", () => ({ ...granted, waitMs: -5 })],
] satisfies [string, Answer][])(
  "a store that %s is replaced by the process's own count",
  async (_, answer) => {
    const { spend, warnings } = setUp(answer);
    expect([await spend(), await spend(), await spend()]).toEqual([true, true, false]);
    expect(warnings()).toHaveLength(1);
  },
);

test("a process that has to count alone knows its own part of what was counted before", async () => {
  const { spend, answerWith } = setUp(() => granted);
  await spend();
  answerWith(broken);
  expect([await spend(), await spend()]).toEqual([true, false]);
});

test("the warning comes once a minute, and all is shared again once the store answers", async () => {
  const { spend, clock, answerWith, warnings } = setUp(broken);
  for (let second = 0; second < 59; second++) {
    await spend();
    await clock.advance(1_000);
  }
  expect(warnings()).toHaveLength(1);
  await clock.advance(1_000);
  await spend();
  expect(warnings()).toHaveLength(2);
  answerWith(() => granted);
  await clock.advance(1_000);
  for (let time = 0; time < 10; time++) expect(await spend()).toBe(true);
});

test("no clock that is set changes how long anything lasts", async () => {
  const { spend, clock, answerWith } = setUp(broken);
  await spend();
  await spend();
  clock.setWall(365 * 86_400_000);
  expect(await spend()).toBe(false);
  clock.setWall(-3 * 365 * 86_400_000);
  expect(await spend()).toBe(false);
  answerWith(() => granted);
  await clock.advance(1_000);
  expect(await spend()).toBe(true);
});
