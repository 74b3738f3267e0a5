/** What every store that counts allowances must do; run with the store contract. */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import type { Allowance, SessionStore, Spending } from "../../core/types.ts";
import type { StoreCase } from "./store.ts";

const newKey = () => `allowance:${crypto.randomUUID()}`;

const minute = { cost: 1, limit: 3, windowMs: 60_000, returns: "evenly", mode: "take" } as const;
const day = { cost: 100, limit: 250, windowMs: 86_400_000, returns: "at-once", mode: "force" } as const;

const spend = async (store: SessionStore, key: string, spending: Spending): Promise<Allowance> => {
  assert.ok(store.spend, "the store counts no allowances");
  return store.spend(key, spending);
};

export const allowanceCases: readonly StoreCase[] = [
  {
    name: "grants as much as an allowance has, and says how long to wait for more",
    async run({ store }) {
      const key = newKey();
      for (const left of [2, 1, 0]) {
        const allowance = await spend(store, key, minute);
        assert.deepEqual([allowance.isGranted, allowance.left, allowance.waitMs], [true, left, 0]);
      }
      const refused = await spend(store, key, minute);
      assert.deepEqual([refused.isGranted, refused.left], [false, 0]);
      // Some of the real time may have passed.
      assert.ok(refused.waitMs > 15_000 && refused.waitMs <= 20_000, `waits ${refused.waitMs} ms`);
      assert.ok(refused.resetMs > 55_000 && refused.resetMs <= 60_000, `resets in ${refused.resetMs} ms`);
      assert.equal((await spend(store, newKey(), minute)).left, 2);
    },
  },
  {
    name: "looks without using anything, and uses what is used already whatever is left",
    async run({ store }) {
      const key = newKey();
      const look = { ...day, cost: 1, mode: "look" } as const;
      assert.deepEqual(await spend(store, key, look), {
        isGranted: true,
        left: 250,
        waitMs: 0,
        resetMs: 0,
      });
      assert.equal((await spend(store, key, day)).left, 150);
      assert.equal((await spend(store, key, day)).left, 50);
      assert.equal((await spend(store, key, look)).isGranted, true);
      assert.equal((await spend(store, key, day)).left, 0);
      const used = await spend(store, key, look);
      assert.equal(used.isGranted, false);
      assert.ok(used.waitMs > day.windowMs - 10_000 && used.waitMs <= day.windowMs);
    },
  },
  {
    name: "lets no more of 40 at once through than the allowance has",
    async run({ store }) {
      const key = newKey();
      const spending = { ...minute, limit: 7 };
      const answers = await Promise.all(Array.from({ length: 40 }, () => spend(store, key, spending)));
      assert.equal(answers.filter(({ isGranted }) => isGranted).length, 7);
    },
  },
  {
    name: "counts as nothing what somebody else has left under the key",
    async run({ store }) {
      for (const left of ["", "harmless", "99 in the shade", "-5 1", "NaN 1", "1e9 99999999999999999999"]) {
        const key = newKey();
        await store.set(key, left, { ttlMs: 60_000 });
        assert.equal((await spend(store, key, minute)).left, 2, left);
        assert.equal((await spend(store, key, minute)).left, 1, left);
      }
    },
  },
  {
    name: "gives an allowance back evenly, by an injected clock",
    time: "fake",
    async run({ store, advance }) {
      const key = newKey();
      for (let time = 0; time < 3; time++) await spend(store, key, minute);
      await advance(19_999);
      assert.equal((await spend(store, key, minute)).waitMs, 1);
      await advance(1);
      assert.equal((await spend(store, key, minute)).isGranted, true);
      assert.equal((await spend(store, key, minute)).isGranted, false);
      await advance(60_000);
      assert.equal((await spend(store, key, minute)).left, 2);
    },
  },
  {
    name: "gives an allowance back at once, so long after its first use, by an injected clock",
    time: "fake",
    async run({ store, advance }) {
      const key = newKey();
      await spend(store, key, day);
      await advance(day.windowMs - 1);
      assert.equal((await spend(store, key, day)).left, 50);
      await advance(1);
      assert.equal((await spend(store, key, day)).left, 150);
    },
  },
  {
    name: "keeps nobody waiting for a clock that was ahead and is set back",
    time: "fake",
    async run({ store, setWall, advance }) {
      const evenly = newKey();
      const atOnce = newKey();
      for (let time = 0; time < 3; time++) {
        await spend(store, evenly, minute);
        await spend(store, atOnce, day);
      }
      setWall(-365 * day.windowMs);
      assert.equal((await spend(store, evenly, minute)).waitMs, 20_000);
      assert.equal((await spend(store, atOnce, { ...day, mode: "look" })).waitMs, day.windowMs);
      await advance(20_000);
      assert.equal((await spend(store, evenly, minute)).isGranted, true);
      const look = { ...day, mode: "look" } as const;
      assert.equal((await spend(store, atOnce, look)).waitMs, day.windowMs - 20_000);
      await advance(day.windowMs - 20_000);
      assert.equal((await spend(store, atOnce, look)).isGranted, true);
    },
  },
  {
    name: "gives back evenly and at once by the real clock",
    time: "real",
    async run({ store }) {
      const key = newKey();
      const spending = { ...minute, limit: 2, windowMs: 400 };
      await spend(store, key, spending);
      await spend(store, key, spending);
      const { isGranted, waitMs } = await spend(store, key, spending);
      assert.equal(isGranted, false);
      await sleep(waitMs + 2);
      assert.equal((await spend(store, key, spending)).isGranted, true);

      const whole = { ...spending, windowMs: 200, returns: "at-once" } as const;
      const other = newKey();
      await spend(store, other, whole);
      await sleep(120);
      await spend(store, other, whole);
      const used = await spend(store, other, whole);
      assert.ok(!used.isGranted && used.waitMs <= 80, `waits ${used.waitMs} ms`);
      await sleep(used.waitMs + 2);
      assert.equal((await spend(store, other, whole)).left, 1);
    },
  },
];
