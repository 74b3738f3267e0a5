/** Redis that refuses a connection or a command: what is kept, and what is told of it. */
import { expect, test } from "bun:test";
import { type RedisConnection, redisStore } from "../../core/stores/redis.ts";
import { redisRestStore } from "../../core/stores/redis-rest.ts";
import type { SessionStore } from "../../core/types.ts";
import { hello, testHandler } from "../support/test-handler.ts";

const failure = async (task: unknown): Promise<string> => {
  try {
    await task;
    return "none";
  } catch (error) {
    return (error as Error).message;
  }
};

const refusing = (message: string): RedisConnection => ({
  send: () => Promise.reject(new Error(message)),
  close() {},
});

const working: RedisConnection = { send: async (command) => (command === "GET" ? null : 1), close() {} };

test.each([
  [
    "too many clients",
    "ERR max number of clients reached",
    "Redis refused: ERR max number of clients reached",
  ],
  ["a wrong password", "WRONGPASS invalid username-password pair", "Redis refused: WRONGPASS"],
  ["a missing password", "NOAUTH Authentication required.", "Redis refused: NOAUTH"],
  ["no HELLO", "ERR unknown command 'HELLO', with args", "Redis refused: ERR unknown command"],
  ["data that are still read", "LOADING Redis is loading the dataset in memory", "Redis refused: LOADING"],
  ["no server", "connect ECONNREFUSED", "connect ECONNREFUSED"],
])("a connection that fails for %s is not kept", async (_, message, expected) => {
  let connects = 0;
  const store = redisStore({
    connect: async () => {
      connects++;
      if (connects < 3) throw new Error(message);
      return working;
    },
  });
  expect(await failure(store.get("k"))).toBe(expected);
  expect(await failure(store.get("k"))).toBe(expected);
  expect(await store.get("k")).toBeUndefined();
  expect(await store.get("k")).toBeUndefined();
  expect(connects).toBe(3);
});

test("commands that wait for one connection fail together, and the next one connects anew", async () => {
  let connects = 0;
  const store = redisStore({
    connect: async () => {
      connects++;
      if (connects === 1) throw new Error("ERR max number of clients reached");
      return working;
    },
  });
  const failures = await Promise.all([1, 2, 3].map(() => failure(store.get("k"))));
  expect(new Set(failures).size).toBe(1);
  expect(connects).toBe(1);
  expect(await store.get("k")).toBeUndefined();
});

const replies: [string, string][] = [
  ["ERR unknown command 'EVAL', with args beginning with: 'local'", "ERR unknown command EVAL"],
  ["ERR unknown command `EVAL`, with args beginning with: `local`", "ERR unknown command EVAL"],
  ["ERR unknown command EVAL planted secret", "ERR unknown command EVAL"],
  ["ERR max requests limit exceeded. Limit: 500000, Usage: 500001", "ERR max requests limit exceeded"],
  ["ERR max daily request limit exceeded. Limit: 10000", "ERR max daily request limit exceeded"],
  ["ERR value is 'planted secret'", "ERR value is"],
  ["OOM command not allowed: planted secret", "OOM"],
  ["NOPERM this user has no permissions to run the 'eval' command", "NOPERM"],
];

test.each(replies)("the reply %p is told as %p, over TCP and over REST", async (reply, expected) => {
  const stores: SessionStore[] = [
    redisStore({ connect: async () => refusing(reply) }),
    redisRestStore({
      url: "https://redis.test",
      token: "t",
      fetch: async () => Response.json({ error: reply }, { status: 400 }),
    }),
  ];
  for (const store of stores) {
    const write = store.set("k", "v", { ttlMs: 1000, ifVersion: null });
    expect(await failure(write)).toBe(`Redis refused: ${expected}`);
  }
});

test("/health tells the store's last failure, and whether it still fails", async () => {
  let connect = async (): Promise<RedisConnection> => {
    throw new Error("ERR max number of clients reached");
  };
  const { send, chat, log } = testHandler({}, { store: redisStore({ connect: () => connect() }) });
  const health = async () => (await send("/health")).json();
  expect(await health()).toMatchObject({ status: "ok", sessions: { store: "redis", shared: true } });
  const turn = () => chat(hello, { headers: { "x-session-id": "s" } });
  expect((await turn()).status).toBe(503);
  const lastFailure = {
    at: expect.stringMatching(/^\d{4}-/),
    reason: "Redis refused: ERR max number of clients reached",
  };
  expect(await health()).toMatchObject({ status: "degraded", sessions: { lastFailure } });
  expect(log.lines).toContainEqual(
    expect.objectContaining({
      event: "store.failed",
      fields: expect.objectContaining({
        store: "redis",
        reason: "Redis refused: ERR max number of clients reached",
      }),
    }),
  );
  connect = async () => working;
  expect((await turn()).status).toBe(200);
  expect(await health()).toMatchObject({ status: "ok", sessions: { lastFailure } });
});

test("/health shows no address of a store", async () => {
  const store = redisStore({
    connect: () =>
      Promise.reject(Object.assign(new Error("10.1.2.3:6379 is away"), { code: "ECONNREFUSED" })),
  });
  const { send, chat } = testHandler({}, { store });
  await chat(hello, { headers: { "x-session-id": "s" } });
  const { sessions } = await (await send("/health")).json();
  expect(sessions.lastFailure.reason).toBe("ECONNREFUSED");
});
