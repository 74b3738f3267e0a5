/** What instances tell each other of outages, and what becomes of it when the store is late, wrong or gone. */
import { describe, expect, test } from "bun:test";
import { ApiError, type ErrorCode } from "../../core/errors.ts";
import { createSharedCircuits } from "../../core/routing/shared-circuits.ts";
import { memoryStore } from "../../core/stores/memory.ts";
import type { SessionStore } from "../../core/types.ts";
import { ConfigError } from "../../handler.ts";
import { type FakeClock, fakeClock, settle } from "../fakes/fake-clock.ts";
import { reply, scriptedProvider } from "../fakes/scripted-provider.ts";
import { hello, testHandler } from "../support/test-handler.ts";

const down = () => new ApiError("upstream_unavailable", "Closed.");

const sharedMemory = (clock: FakeClock): SessionStore => ({ ...memoryStore({ clock }), shared: true });

const env = {
  CIRCUIT_SHARED: "on",
  API_KEYS: '{"ann":"sk-ann","bob":"sk-bob"}',
};

/** One instance; whether its upstream answers can be set. */
const instance = (store: SessionStore, clock: FakeClock) => {
  let isUp = false;
  const provider = scriptedProvider({
    answer: () => {
      if (!isUp) throw down();
      return reply("Hello");
    },
  });
  const { chat, log } = testHandler(env, { store, clock, providers: [provider] });
  return {
    log,
    setUp(up: boolean) {
      isUp = up;
    },
    asked: () => provider.requests.length,
    async ask(key = "sk-ann") {
      const { status } = await chat(hello, { headers: { authorization: `Bearer ${key}` } });
      await settle();
      return status;
    },
  };
};

describe("an outage that one instance has found out", () => {
  test("spares the others all failures but one, and those who only begin all but one too", async () => {
    const clock = fakeClock();
    const store = sharedMemory(clock);
    const [first, second] = [instance(store, clock), instance(store, clock)];
    for (let time = 0; time < 6; time++) await first.ask();
    expect(first.asked()).toBe(5);

    // The answer of the store comes too late for the first request, which is not held up for it.
    for (let time = 0; time < 3; time++) expect(await second.ask()).toBe(503);
    expect(second.asked()).toBe(1);
    const opened = second.log.lines.filter(({ event }) => event === "circuit.opened");
    expect(opened).toMatchObject([{ fields: { key: "ann", elsewhere: true, code: "upstream_unavailable" } }]);
    // A key's circuit is its own.
    await second.ask("sk-bob");
    expect(second.asked()).toBe(2);
  });

  test("is learnt at the first failure of an instance that was well before", async () => {
    const clock = fakeClock();
    const store = sharedMemory(clock);
    const [first, second] = [instance(store, clock), instance(store, clock)];
    second.setUp(true);
    expect(await second.ask()).toBe(200);
    await clock.advance(1_000);
    for (let time = 0; time < 5; time++) await first.ask();
    second.setUp(false);
    expect([await second.ask(), await second.ask()]).toEqual([503, 503]);
    expect(second.asked()).toBe(2);
  });

  test("is none for an instance that gets its answers", async () => {
    const clock = fakeClock();
    const store = sharedMemory(clock);
    const [first, second] = [instance(store, clock), instance(store, clock)];
    for (let time = 0; time < 5; time++) await first.ask();
    second.setUp(true);
    expect([await second.ask(), await second.ask()]).toEqual([200, 200]);
  });

  test("is over for all once its time is, and one that closes it takes it away for those who come", async () => {
    const clock = fakeClock();
    const store = sharedMemory(clock);
    const first = instance(store, clock);
    for (let time = 0; time < 5; time++) await first.ask();
    await clock.advance(15_000);
    first.setUp(true);
    expect(await first.ask()).toBe(200);
    const late = instance(store, clock);
    late.setUp(true);
    expect([await late.ask(), await late.ask()]).toEqual([200, 200]);
  });

  test("of several keys is told to all keys", async () => {
    const clock = fakeClock();
    const store = sharedMemory(clock);
    const first = instance(store, clock);
    for (let time = 0; time < 3; time++) {
      await first.ask("sk-ann");
      await first.ask("sk-bob");
    }
    const second = instance(store, clock);
    await second.ask("sk-ann");
    await second.ask("sk-bob");
    expect(second.asked()).toBe(1);
  });
});

const place = { provider: "p", model: "m" };

describe("what the store says", () => {
  const withValue = (value: string, clock = fakeClock()) =>
    createSharedCircuits({
      store: { get: () => ({ value, version: "1" }), set: () => undefined },
      clock,
    }).find(place, "sk-ann");

  const entry = (fields: object) => JSON.stringify({ common: fields });
  const future = fakeClock().now() + 10_000;

  test("opens a circuit for as long as it is open elsewhere", async () => {
    const { common, own } = await withValue(entry({ code: "upstream_timeout", untilMs: future }));
    expect([common, own]).toEqual([{ code: "upstream_timeout", ms: 10_000 }, undefined]);
  });

  test.each([
    "",
    "null",
    "7",
    '"common"',
    "[]",
    entry({ code: "upstream_timeout" }),
    entry({ code: "upstream_timeout", untilMs: "soon" }),
    entry({ code: "upstream_timeout", untilMs: future - 20_000 }),
    entry({ code: "made_up", untilMs: future }),
    entry({ code: "constructor", untilMs: future }),
    entry({ code: "invalid_api_key", untilMs: future }),
    '[{"v":1,"id":"abcdefghi"},\n{"role":"user","content":"secret"}]',
  ])("opens none where it is %p", async (value) => {
    expect(await withValue(value)).toEqual({ common: undefined, own: undefined });
  });

  test("keeps nobody away for longer than five minutes, however wrong a clock was", async () => {
    const { common } = await withValue(entry({ code: "upstream_timeout", untilMs: future * 2 }));
    expect(common?.ms).toBe(300_000);
  });
});

test.each([
  ["fails", () => Promise.reject(new Error("Gone"))],
  ["never answers", () => new Promise<never>(() => {})],
])("a store that %s holds up no request, and shares nothing", async (_, get) => {
  const clock = fakeClock();
  const store: SessionStore = { name: "broken", shared: true, get, set: get, delete: () => {} };
  const alone = instance(store, clock);
  for (let time = 0; time < 6; time++) expect(await alone.ask()).toBe(503);
  expect(alone.asked()).toBe(5);
});

test("several that open circuits at once lose none of them", async () => {
  const clock = fakeClock();
  const shared = createSharedCircuits({ store: sharedMemory(clock), clock });
  const codes: ErrorCode[] = ["upstream_timeout", "upstream_unavailable", "upstream_unreachable"];
  await Promise.all(codes.map((code, index) => shared.opened(place, `sk-${index}`, { code, ms: 1_000 })));
  const found = await Promise.all(codes.map((_, index) => shared.find(place, `sk-${index}`)));
  expect(found.map(({ own }) => own?.code)).toEqual(codes);
});

test("the circuit of all callers has room beside those of any number of them", async () => {
  const clock = fakeClock();
  const shared = createSharedCircuits({ store: sharedMemory(clock), clock });
  const circuit = { code: "upstream_timeout", ms: 1_000 } as const;
  for (let index = 0; index < 120; index++) await shared.opened(place, `sk-${index}`, circuit);
  await shared.opened(place, undefined, circuit);
  await shared.opened(place, "sk-last", circuit);
  expect((await shared.find(place, "sk-0")).common).toEqual(circuit);
});

test("CIRCUIT_SHARED stops the start where no other instance sees the store, and names both settings", () => {
  const start = () => testHandler(env);
  expect(start).toThrow(ConfigError);
  expect(start).toThrow(/CIRCUIT_SHARED .* store is memory.* SESSION_STORE/);
});
