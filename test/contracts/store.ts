/** What every session store must do, whatever runs it: a list of cases, each on a store of its own. */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import type { Clock, SessionStore } from "../../core/types.ts";
import { systemClock } from "../../core/util/time.ts";
import { fakeClock } from "../fakes/fake-clock.ts";
import { allowanceCases } from "./allowances.ts";

export interface StoreUnderTest {
  readonly store: SessionStore;
  /** Lets the store's time pass, where the test's clock decides on it. */
  advance(ms: number): Promise<void>;
  /** Sets the clock, by so many milliseconds. */
  setWall(byMs: number): void;
}

export interface StoreCase {
  readonly name: string;
  /** Whose time the case needs: one that a test can move, or the real one. */
  readonly time?: "fake" | "real";
  run(subject: StoreUnderTest): Promise<void>;
}

/** A way to open a store, on whichever clock is handed in. */
export interface StoreSubject {
  readonly name: string;
  /** Its server keeps the time, so that a test can't move it. */
  readonly keepsTime?: true;
  /** It counts no allowances. */
  readonly countsNothing?: true;
  open(clock: Clock): SessionStore | Promise<SessionStore>;
}

/** A case bound to a store of its own. */
export interface BoundCase {
  readonly name: string;
  run(): Promise<void>;
}

/** The cases that apply to a store. */
export const casesFor = ({ name: store, keepsTime, countsNothing, open }: StoreSubject): BoundCase[] =>
  [...storeContract, ...(countsNothing ? [] : allowanceCases)]
    .filter(({ time }) => time !== "fake" || !keepsTime)
    .map(({ name, time, run }) => ({
      name: `${store}: ${name}`,
      async run() {
        const clock = fakeClock(Date.now());
        const subject = await open(time === "fake" ? clock : systemClock);
        try {
          await run({ store: subject, advance: clock.advance, setWall: clock.setWall });
        } finally {
          await subject.close?.();
        }
      },
    }));

const minuteMs = 60_000;

/** Unique, so that cases may share a server. */
const newKey = () => `contract:${crypto.randomUUID()}`;

const readValue = async (store: SessionStore, key: string) => (await store.get(key))?.value;

const must = async (version: string | undefined | Promise<string | undefined>): Promise<string> => {
  const result = await version;
  assert.ok(result, "the write should have succeeded");
  return result;
};

/** Reads, changes and writes until nobody was in between; resolves to the number of tries. */
const change = async (store: SessionStore, key: string, edit: (value: string) => string): Promise<number> => {
  for (let tries = 1; ; tries++) {
    const before = await store.get(key);
    const value = edit(before?.value ?? "");
    if (await store.set(key, value, { ttlMs: minuteMs, ifVersion: before?.version ?? null })) return tries;
    await sleep(Math.random() * Math.min(100, 2 ** tries));
  }
};

/** Text of so many bytes in UTF-8, with characters of one to four bytes. */
const textOfBytes = (bytes: number): string => {
  const group = "aé漢😀";
  return group.repeat(Math.floor(bytes / 10)) + "x".repeat(bytes % 10);
};

const storeContract: readonly StoreCase[] = [
  {
    name: "has nothing under a key that was never written",
    async run({ store }) {
      assert.equal(await store.get(newKey()), undefined);
    },
  },
  {
    name: "gives back what was written, with its version",
    async run({ store }) {
      const key = newKey();
      const version = await must(store.set(key, "hello", { ttlMs: minuteMs }));
      assert.deepEqual(
        { ...(await store.get(key)), expiresAtMs: 0 },
        { value: "hello", version, expiresAtMs: 0 },
      );
    },
  },
  {
    name: "replaces without a condition, under another version",
    async run({ store }) {
      const key = newKey();
      const first = await must(store.set(key, "one", { ttlMs: minuteMs }));
      const second = await must(store.set(key, "two", { ttlMs: minuteMs }));
      assert.notEqual(first, second);
      assert.equal(await readValue(store, key), "two");
    },
  },
  {
    name: "writes `ifVersion: null` only where there is nothing",
    async run({ store }) {
      const key = newKey();
      await must(store.set(key, "one", { ttlMs: minuteMs, ifVersion: null }));
      assert.equal(await store.set(key, "two", { ttlMs: minuteMs, ifVersion: null }), undefined);
      assert.equal(await readValue(store, key), "one");
    },
  },
  {
    name: "writes over the version that it was told, and over no other",
    async run({ store }) {
      const key = newKey();
      const first = await must(store.set(key, "one", { ttlMs: minuteMs }));
      const second = await must(store.set(key, "two", { ttlMs: minuteMs, ifVersion: first }));
      assert.equal(await store.set(key, "three", { ttlMs: minuteMs, ifVersion: first }), undefined);
      assert.equal(await readValue(store, key), "two");
      await must(store.set(key, "three", { ttlMs: minuteMs, ifVersion: second }));
      assert.equal(await readValue(store, key), "three");
    },
  },
  {
    name: "takes the version that `get` named",
    async run({ store }) {
      const key = newKey();
      await must(store.set(key, "one", { ttlMs: minuteMs }));
      const found = await store.get(key);
      assert.ok(found);
      await must(store.set(key, "two", { ttlMs: minuteMs, ifVersion: found.version }));
      assert.equal(await readValue(store, key), "two");
    },
  },
  {
    name: "deletes, also what isn't there",
    async run({ store }) {
      const key = newKey();
      await store.delete(key);
      await must(store.set(key, "one", { ttlMs: minuteMs }));
      await store.delete(key);
      assert.equal(await store.get(key), undefined);
    },
  },
  {
    name: "never takes an old version again once the key was deleted",
    async run({ store }) {
      const key = newKey();
      const old = await must(store.set(key, "one", { ttlMs: minuteMs }));
      await store.delete(key);
      assert.equal(await store.set(key, "two", { ttlMs: minuteMs, ifVersion: old }), undefined);
      assert.equal(await store.get(key), undefined);
      await must(store.set(key, "one", { ttlMs: minuteMs, ifVersion: null }));
      assert.equal(await store.set(key, "three", { ttlMs: minuteMs, ifVersion: old }), undefined);
      assert.equal(await readValue(store, key), "one");
    },
  },
  {
    name: "keeps values of any length from nothing to 500 KB, growing and shrinking",
    async run({ store }) {
      const key = newKey();
      let version: string | null = null;
      const sizes = [0, 1, 61_439, 500_000, 61_440, 65_536, 2, 65_537, 122_880, 300_000, 40];
      for (const bytes of sizes) {
        const value = textOfBytes(bytes);
        version = await must(store.set(key, value, { ttlMs: minuteMs, ifVersion: version }));
        const found = await store.get(key);
        assert.equal(found?.version, version);
        assert.ok(found?.value === value, `a value of ${bytes} bytes came back changed`);
      }
      await store.set(key, textOfBytes(200_000), { ttlMs: minuteMs });
      await store.set(key, "short", { ttlMs: minuteMs });
      assert.equal(await readValue(store, key), "short");
    },
  },
  {
    name: "keeps odd keys apart and odd values whole",
    async run({ store }) {
      const base = newKey();
      const tails = [
        "",
        " ",
        "  ",
        "a",
        "A",
        "á",
        "a\u0301",
        "a:b",
        "a/b",
        "a\nb",
        "a\0b",
        "%61",
        "*",
        "{x}",
        "😀",
      ];
      const keys = [...tails, "__proto__", "constructor", "x".repeat(600)].map((tail) => base + tail);
      for (const key of keys)
        await must(store.set(key, `value of ${key}`, { ttlMs: minuteMs, ifVersion: null }));
      for (const key of keys) assert.equal(await readValue(store, key), `value of ${key}`);
      const values = [
        "\0",
        "\n",
        '{"a":"\\u0000"}',
        "\uFEFFbom",
        "1\n2",
        "' \" \\ \r\n\t",
        "null",
        "👩‍👩‍👧‍👦",
      ];
      for (const value of values) {
        await store.set(base, value, { ttlMs: minuteMs });
        assert.equal(await readValue(store, base), value);
      }
      for (const key of keys) await store.delete(key);
    },
  },
  {
    name: "forgets a value once its ttlMs has passed, by an injected clock",
    time: "fake",
    async run({ store, advance }) {
      const key = newKey();
      const version = await must(store.set(key, "one", { ttlMs: minuteMs }));
      await advance(minuteMs - 1);
      assert.equal(await readValue(store, key), "one");
      await advance(1);
      assert.equal(await store.get(key), undefined);
      assert.equal(await store.set(key, "two", { ttlMs: minuteMs, ifVersion: version }), undefined);
      await must(store.set(key, "three", { ttlMs: minuteMs, ifVersion: null }));
      assert.equal(await readValue(store, key), "three");
    },
  },
  {
    name: "counts the life of a value from its last write, by an injected clock",
    time: "fake",
    async run({ store, advance }) {
      const key = newKey();
      await store.set(key, textOfBytes(150_000), { ttlMs: minuteMs });
      await advance(minuteMs / 2);
      await store.set(key, "short", { ttlMs: minuteMs });
      await advance(minuteMs - 1);
      assert.equal(await readValue(store, key), "short");
      await advance(1);
      assert.equal(await store.get(key), undefined);
    },
  },
  {
    name: "forgets a value by the real clock",
    time: "real",
    async run({ store }) {
      const key = newKey();
      const ttlMs = 60;
      const startMs = performance.now();
      await store.set(key, textOfBytes(100_000), { ttlMs });
      while ((await store.get(key)) !== undefined) {
        assert.ok(performance.now() - startMs < 10_000, "is never forgotten");
        await sleep(5);
      }
      // Clocks that count whole milliseconds may be one off.
      assert.ok(performance.now() - startMs >= ttlMs - 2);
      await must(store.set(key, "again", { ttlMs: minuteMs, ifVersion: null }));
      assert.equal(await readValue(store, key), "again");
    },
  },
  {
    name: "lets one of 50 concurrent creators through",
    async run({ store }) {
      const key = newKey();
      const writes = Array.from({ length: 50 }, (_, index) =>
        store.set(key, String(index), { ttlMs: minuteMs, ifVersion: null }),
      );
      const versions = await Promise.all(writes);
      assert.equal(versions.filter((version) => version !== undefined).length, 1);
      const winner = versions.findIndex((version) => version !== undefined);
      assert.equal(await readValue(store, key), String(winner));
    },
  },
  {
    name: "loses nothing of 50 concurrent writers",
    async run({ store }) {
      const key = newKey();
      const marks = Array.from({ length: 50 }, (_, index) => `<${index}>`);
      await Promise.all(marks.map((mark) => change(store, key, (value) => value + mark)));
      const value = (await readValue(store, key)) ?? "";
      assert.deepEqual(value.match(/<\d+>/g)?.sort(), [...marks].sort());
    },
  },
];
