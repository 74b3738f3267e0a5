import { expect, test } from "bun:test";
import { redisRestStore } from "../../core/stores/redis-rest.ts";
import { globalDatabase } from "../fakes/global-database.ts";

const ttlMs = 60_000;

const instancesOf = (database: ReturnType<typeof globalDatabase>, count: number) =>
  Array.from({ length: count }, () =>
    redisRestStore({ url: "https://global.test", token: "t", fetch: database.fetch }),
  );

test("an instance reads what it has written, though the near replica is behind", async () => {
  const [store] = instancesOf(globalDatabase(), 1);
  for (const value of ["one", "two", "three"]) {
    const version = await store?.set("key", value, { ttlMs });
    expect(await store?.get("key")).toEqual({ value, version: version as string });
  }
  await store?.delete("key");
  expect(await store?.get("key")).toBeUndefined();
});

test("an instance whose write was refused reads what was written in between", async () => {
  const [one, two] = instancesOf(globalDatabase(), 2);
  const version = await one?.set("key", "one", { ttlMs, ifVersion: null });
  // The replica hasn't seen it yet, and this instance has no token that could say so.
  expect(await two?.get("key")).toBeUndefined();
  expect(await two?.set("key", "two", { ttlMs, ifVersion: null })).toBeUndefined();
  expect(await two?.get("key")).toEqual({ value: "one", version: version as string });
});

test("an answer without a token leaves the last one in force", async () => {
  const sent: (string | null)[] = [];
  const tokens = ["5", undefined, undefined];
  const store = redisRestStore({
    url: "https://global.test",
    token: "t",
    async fetch(_url, { headers }) {
      sent.push(new Headers(headers).get("upstash-sync-token"));
      const token = tokens.shift();
      return Response.json(
        { result: null },
        token === undefined ? {} : { headers: { "upstash-sync-token": token } },
      );
    },
  });
  for (let call = 0; call < 3; call++) await store.get("key");
  expect(sent).toEqual([null, "5", "5"]);
});
