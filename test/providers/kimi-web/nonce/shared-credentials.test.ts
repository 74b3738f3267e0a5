import { describe, expect, test } from "bun:test";
import { memoryStore } from "../../../../core/stores/memory.ts";
import type { SessionStore, StoredValue } from "../../../../core/types.ts";
import { fakeClock, settle } from "../../../fakes/fake-clock.ts";
import { begin, context, fetched, hourMs, page, setUp } from "./asked-page.ts";

function storeOf(entries: Record<string, string> = {}) {
  const values = new Map(Object.entries(entries));
  const ttls: number[] = [];
  const store: SessionStore = {
    name: "test",
    shared: true,
    get: (key): StoredValue | undefined => {
      const value = values.get(key);
      return value === undefined ? undefined : { value, version: "1" };
    },
    set: (key, value, { ttlMs }) => {
      values.set(key, value);
      ttls.push(ttlMs);
      return "1";
    },
    delete: (key) => void values.delete(key),
  };
  return { store, values, ttls };
}

describe("a shared store", () => {
  test("spares other instances the page", async () => {
    const { store, values, ttls } = storeOf();
    const clock = fakeClock();
    await fetched(setUp({ store, cookie: "own=1" }, clock), page("nonce1", "a=1"));
    await settle();
    expect(ttls.at(-1)).toBe(12 * hourMs);
    expect([...values.keys()]).toEqual([expect.stringMatching(/^kimi-web:[0-9a-f]{64}$/)]);
    expect([...values.values()][0]).not.toContain("own");

    await clock.advance(hourMs);
    const other = setUp({ store, cookie: "own=2" }, clock);
    const got = await other.source.get(context());
    expect(got).toMatchObject({ nonce: "nonce1", cookie: "own=2; a=1", fetchedAtMs: clock.now() - hourMs });
    expect(other.calls).toHaveLength(0);
    await clock.advance(11 * hourMs);
    await begin(other.source.get(context()));
    expect(other.calls).toHaveLength(1);
  });

  test("is asked before the page when a nonce was refused, and believed if it has a newer one", async () => {
    const { store } = storeOf();
    const clock = fakeClock();
    const one = setUp({ store }, clock);
    const two = setUp({ store }, clock);
    const used = await fetched(one);
    expect(await two.source.get(context())).toMatchObject({ nonce: "nonce1" });

    await clock.advance(1_000);
    const [renewed] = await begin(one.source.renew(used, "certain", context()));
    one.last().answer(page("nonce2"));
    await renewed;
    expect(await two.source.renew(used, "certain", context())).toMatchObject({ nonce: "nonce2" });
    expect(two.calls).toHaveLength(0);

    // The store has nothing newer than what was refused now.
    const [again] = await begin(two.source.renew(await two.source.get(context()), "certain", context()));
    expect(two.calls).toHaveLength(1);
    two.last().answer(page("nonce3"));
    expect(await again).toMatchObject({ nonce: "nonce3" });
  });

  const instancesOnOneStore = (count: number) => {
    const clock = fakeClock();
    const store = { ...memoryStore({ maxEntries: 10, clock }), shared: true };
    const instances = Array.from({ length: count }, () => setUp({ store }, clock));
    /** The page fetches that nobody has answered yet, of all instances. */
    const calls = () => instances.flatMap((instance) => instance.calls);
    const nonces = (all: readonly Promise<{ nonce: string } | undefined>[]) =>
      Promise.all(all.map(async (each) => (await each)?.nonce));
    return { clock, instances, calls, nonces };
  };

  test("has one of the instances fetch the page that need it at once, at the start and after a refusal", async () => {
    const { clock, instances, calls, nonces } = instancesOnOneStore(5);
    const starting = instances.map(({ source }) => source.get(context()));
    await settle();
    expect(calls()).toHaveLength(1);
    calls()[0]?.answer(page("nonce1"));
    await clock.advance(200);
    expect(await nonces(starting)).toEqual(Array(5).fill("nonce1"));

    await clock.advance(hourMs);
    const renewing = instances.map(async ({ source }) =>
      source.renew(await source.get(context()), "certain", context()),
    );
    await settle();
    expect(calls()).toHaveLength(2);
    calls().forEach(({ answer }) => void answer(page("nonce2")));
    await clock.advance(200);
    expect(await nonces(renewing)).toEqual(Array(5).fill("nonce2"));
    expect(calls()).toHaveLength(2);
    expect(clock.pending).toBe(0);
  });

  test("lets another instance fetch the page when the first has failed, and all when it is silent for 5 s", async () => {
    const { clock, instances, calls, nonces } = instancesOnOneStore(3);
    const starting = instances.map(({ source }) => source.get(context()));
    starting.forEach((each) => void each.catch(() => {}));
    await settle();
    calls()[0]?.fail(new Error("cut"));
    await clock.advance(200);
    expect(calls()).toHaveLength(2);
    await clock.advance(4_600);
    expect(calls()).toHaveLength(2);
    await clock.advance(400);
    expect(calls()).toHaveLength(3);
    for (const { answer } of calls()) answer(page("nonce1"));
    expect(await nonces(starting.slice(1))).toEqual(["nonce1", "nonce1"]);
    await expect(starting[0]).rejects.toThrow();
  });

  test("that fails, hangs or holds rubbish is done without", async () => {
    const broken: Array<Partial<SessionStore>> = [
      {
        get: () => Promise.reject(new Error("down")),
        set: () => {
          throw new Error("down");
        },
      },
      { get: () => new Promise(() => {}), set: () => new Promise(() => {}) },
      { get: () => ({ value: "rubbish", version: "1" }) },
      { get: () => ({ value: "null", version: "1" }) },
    ];
    for (const methods of broken) {
      const warnings: string[] = [];
      const log = { debug() {}, info() {}, error() {}, warn: (event: string) => warnings.push(event) };
      const set = setUp({ store: { ...storeOf().store, ...methods } });
      const [got] = await begin(set.source.get({ ...context(), log }));
      await set.clock.advance(2_000);
      set.last().answer(page("nonce1"));
      expect(await got).toMatchObject({ nonce: "nonce1" });
      await set.clock.advance(2_000);
      expect(set.clock.pending).toBe(0);
      expect(new Set(warnings)).toEqual(new Set(["nonce not shared"]));
    }
  });
});
