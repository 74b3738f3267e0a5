import { describe, expect, test } from "bun:test";
import {
  answersAtOnce,
  factorOff,
  gigabyteHours,
  keptAtOnce,
  recordBytes,
  recordOverhead,
  secondsOfMonth,
  simulate,
  turnsASecond,
} from "../../scripts/scale/arithmetic.ts";
import { measureRecord, measureStores } from "../../scripts/scale/stores.ts";
import { startSizedUpstream } from "../../scripts/scale/upstream.ts";
import { hasRedis } from "../support/redis-server.ts";

const record = { fixedBytes: 300, turnBytes: 10 };
const wire = { readBytes: 40, writtenBytes: 500 };
const shape = { turns: 3, questionBytes: 100, answerBytes: 890 };

describe("the arithmetic of docs/scale.md", () => {
  test("a record grows by each turn's texts", () => {
    expect(recordBytes(record, shape)).toBe(300 + 3 * 1000);
    expect(recordBytes(record, shape, 1)).toBe(1300);
  });

  test("two records tell what they have beside their texts", () => {
    const few = { ...shape, turns: 1 };
    expect(recordOverhead([few, 1300], [shape, 3300])).toEqual(record);
  });

  test("each turn reads what the one before has left, and writes it with a turn more", () => {
    expect(simulate([shape], { record, wire })).toEqual({
      reads: 3,
      writes: 3,
      readBytes: 3 * 40 + 1300 + 2300,
      writtenBytes: 3 * 500 + 1300 + 2300 + 3300,
      storedBytes: 3300,
    });
  });

  test("a record keeps within SESSION_MAX_BYTES", () => {
    expect(simulate([{ ...shape, turns: 50 }], { record, wire }, 5000).storedBytes).toBe(4300);
  });

  test("being off counts in either direction", () => {
    expect(factorOff(100, 110)).toBeCloseTo(1.1);
    expect(factorOff(110, 100)).toBeCloseTo(1.1);
  });

  test("turns, answers and records at once", () => {
    expect(turnsASecond(500)).toBe(2000);
    // The examples of docs/scale.md.
    expect(answersAtOnce(50, 20)).toBe(1000);
    expect(Math.round(keptAtOnce(100_000, 3600))).toBe(139);
    expect(keptAtOnce(100_000, secondsOfMonth / 100)).toBe(1000);
    expect(keptAtOnce(100_000, 2 * secondsOfMonth)).toBe(100_000);
    expect(gigabyteHours(3600, 10, 2)).toBe(20);
    expect(gigabyteHours(3600, 10, 2, 4)).toBe(5);
  });
});

test("a record's size is reckoned as it is written, whatever its texts", async () => {
  const upstream = startSizedUpstream();
  const measure = (turns: number, questionBytes: number, answerBytes: number) =>
    measureRecord(upstream.baseUrl, { turns, questionBytes, answerBytes });
  const small = { turns: 1, questionBytes: 50, answerBytes: 60 };
  const large = { ...small, turns: 8 };
  const overhead = recordOverhead([small, await measure(1, 50, 60)], [large, await measure(8, 50, 60)]);
  const other = { turns: 20, questionBytes: 300, answerBytes: 2000 };
  const expected = recordBytes(overhead, other);
  expect(factorOff(expected, await measure(20, 300, 2000))).toBeLessThan(1.01);
  await upstream.stop();
});

test.skipIf(!hasRedis())("a turn is one read and one write in every store", async () => {
  const upstream = startSizedUpstream();
  const costs = await measureStores(upstream.baseUrl, { ...shape, turns: 2 }, 3);
  expect(Object.keys(costs).sort()).toEqual([
    "deno-kv",
    "durable-object",
    "memory",
    "netlify-blobs",
    "redis",
    "redis-rest",
    "sqlite",
  ]);
  for (const [store, { reads, writes }] of Object.entries(costs))
    expect({ store, reads, writes }).toEqual({ store, reads: 1, writes: 1 });
  expect(costs["durable-object"]?.rowsWritten).toBe(3);
  await upstream.stop();
});
