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

describe("a shared store of credentials", () => {
  test("spares other instances the page", async () => {
    const { store, values, ttls } = storeOf();
    const clock = fakeClock();
    await fetched(setUp({ store, cookie: "own=1" }, clock), page("nonce1", "a=1"));
    await settle();
    expect(ttls.at(-1)).toBe(12 * hourMs);
    expect([...values.keys()]).toEqual([expect.stringMatching(/^wordpress-chat:[0-9a-f]{64}$/)]);
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

  const now = fakeClock().now();
  test.each([
    ["no JSON", 'a-secret-cookie="'],
    ["a text", '"a-secret-cookie"'],
    ["a list", '["a-secret-cookie"]'],
    ["null", "null"],
    ["a nonce that can't be one", { nonce: "a b", cookie: "a-secret-cookie", fetchedAtMs: now }],
    ["a nonce of 65 characters", { nonce: "a".repeat(65), cookie: "a-secret-cookie", fetchedAtMs: now }],
    ["a nonce that is a number", { nonce: 1234567890, cookie: "a-secret-cookie", fetchedAtMs: now }],
    ["no cookie", { nonce: "nonce2", fetchedAtMs: now }],
    ["a cookie that is a list", { nonce: "nonce2", cookie: ["a-secret-cookie"], fetchedAtMs: now }],
    ["no time", { nonce: "nonce2", cookie: "a-secret-cookie" }],
    ["a time that is a text", { nonce: "nonce2", cookie: "a-secret-cookie", fetchedAtMs: "2026" }],
    [
      "a time that has not come yet",
      { nonce: "nonce2", cookie: "a-secret-cookie", fetchedAtMs: now + hourMs },
    ],
    ["a time before all times", { nonce: "nonce2", cookie: "a-secret-cookie", fetchedAtMs: -1e300 }],
  ])("that holds %s is done without, and the log does not repeat it", async (_, record) => {
    const value = typeof record === "string" ? record : JSON.stringify(record);
    const log: string[] = [];
    const write = (event: string, fields?: object) => log.push(JSON.stringify({ event, ...fields }));
    const set = setUp({ store: { ...storeOf().store, get: () => ({ value, version: "1" }) } });
    const [got] = await begin(
      set.source.get({ ...context(), log: { debug: write, info: write, error: write, warn: write } }),
    );
    set.last().answer(page("nonce1"));
    expect(await got).toMatchObject({ nonce: "nonce1", cookie: "" });
    expect(log[0]).toContain("the stored record can't be used");
    expect(log.join()).not.toContain("secret");
  });

  test("whose error text quotes the record is logged by the error's name alone", async () => {
    const log: string[] = [];
    const warn = (event: string, fields?: object) => log.push(JSON.stringify({ event, ...fields }));
    const failing = Object.assign(new TypeError("bad a-secret-cookie"), { code: "ECONNRESET" });
    const set = setUp({ store: { ...storeOf().store, get: () => Promise.reject(failing) } });
    const [got] = await begin(
      set.source.get({ ...context(), log: { debug() {}, info() {}, error() {}, warn } }),
    );
    set.last().answer(page("nonce1"));
    await got;
    expect(log[0]).toBe(
      '{"event":"nonce.not_shared","operation":"read","store":"test","reason":"TypeError ECONNRESET"}',
    );
  });

  test.each([
    ["line breaks", "a=1\r\nx-planted: 1; b=2", "a=1%0d%0ax-planted: 1; b=2".replace(": ", ":%20")],
    ["text beyond ASCII", "a=\u4e2d; b=2", "a=%4e2d; b=2"],
    ["a login", "wordpress_logged_in_x=1; b=2", "b=2"],
    ["12,000 bytes in one", `a=${"x".repeat(12_000)}; b=2`, "b=2"],
    ["no cookie at all", "\u0000;;=;", ""],
  ])("whose cookies have %s gives such as a header can carry", async (_, cookie, sent) => {
    const clock = fakeClock();
    const value = JSON.stringify({ nonce: "nonce2", cookie, fetchedAtMs: clock.now() });
    const set = setUp({ store: { ...storeOf().store, get: () => ({ value, version: "1" }) } }, clock);
    const got = await set.source.get(context());
    expect(got.cookie).toBe(sent);
    expect(new Headers({ cookie: got.cookie }).get("cookie")).toBe(sent);
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
      expect(new Set(warnings)).toEqual(new Set(["nonce.not_shared"]));
    }
  });
});
