import { afterAll, describe, expect, test } from "bun:test";
import { storeDrivers } from "../../adapters/store-drivers.ts";
import { redisStore } from "../../core/stores/redis.ts";
import { redisRestStore } from "../../core/stores/redis-rest.ts";
import type { SessionStore } from "../../core/types.ts";
import { systemClock } from "../../core/util/time.ts";
import { upstashBridge } from "../fakes/upstash-bridge.ts";
import { hasRedis, redisServer } from "../support/redis-server.ts";

const timeoutMs = 150;
const ttlMs = 60_000;

const failure = async (task: unknown): Promise<string> => {
  try {
    await task;
    return "none";
  } catch (error) {
    return (error as Error).message;
  }
};

const openTcp = (url: string): SessionStore => {
  const connect = async () => {
    const connectRedis = await storeDrivers.loadRedis?.(url);
    return connectRedis?.() ?? Promise.reject(new Error("no driver"));
  };
  return redisStore({ connect, prefix: "p:", clock: systemClock, timeoutMs });
};

if (!hasRedis()) test.skip("a real Redis: no redis-server is installed here", () => {});
else {
  const redis = await redisServer();
  const bridge = await upstashBridge(redis.url);
  const openRest = (token = bridge.token) =>
    redisRestStore({
      url: bridge.url,
      token,
      prefix: "p:",
      timeoutMs,
      fetch: (url, init) => fetch(url, init),
    });

  afterAll(async () => {
    await bridge[Symbol.asyncDispose]();
    await redis[Symbol.asyncDispose]();
  });

  describe.each([
    ["redis", () => openTcp(redis.url)],
    ["redis-rest", () => openRest()],
  ])("%s", (_, open) => {
    test("fails while the server is away and recovers by itself when it is back", async () => {
      const store = open();
      await store.set("away", "kept", { ttlMs });
      await redis.stop();
      expect(await failure(store.get("away"))).not.toBe("none");
      expect(await failure(store.set("away", "lost", { ttlMs }))).not.toBe("none");
      await redis.start();
      // The bridge's own client takes its time to come back, as a real one's would.
      while ((await failure(store.get("away"))) !== "none") await Bun.sleep(20);
      expect((await store.get("away"))?.value).toBe("kept");
      await store.close?.();
    });

    test("gives up on a server that doesn't answer, and goes on with it once it does", async () => {
      const store = open();
      await store.set("hung", "kept", { ttlMs });
      redis.pause();
      const startedMs = performance.now();
      expect(await failure(store.get("hung"))).not.toBe("none");
      expect(performance.now() - startedMs).toBeWithin(timeoutMs - 20, timeoutMs + 500);
      redis.resume();
      while ((await failure(store.get("hung"))) !== "none") await Bun.sleep(20);
      expect((await store.get("hung"))?.value).toBe("kept");
      await store.close?.();
    });

    test("hands out what somebody else has written under its key, and lets it be replaced", async () => {
      const store = open();
      const client = new Bun.RedisClient(redis.url);
      await client.send("SET", ["p:text", "漢字 from elsewhere"]);
      await client.send("DEL", ["p:list"]);
      await client.send("LPUSH", ["p:list", "1"]);
      for (const key of ["text", "list"]) {
        const found = await store.get(key);
        expect(found).toBeDefined();
        expect(await store.set(key, "ours", { ttlMs, ifVersion: null })).toBeUndefined();
        expect(await store.set(key, "ours", { ttlMs, ifVersion: found?.version ?? null })).toBeString();
        expect((await store.get(key))?.value).toBe("ours");
      }
      client.close();
      await store.close?.();
    });

    test("names no stored text in a failure", async () => {
      const store = open();
      const client = new Bun.RedisClient(redis.url);
      await client.send("CONFIG", ["SET", "maxmemory", "1"]);
      const message = await failure(store.set("secret", "planted secret", { ttlMs }));
      await client.send("CONFIG", ["SET", "maxmemory", "0"]);
      expect(message).toBe("Redis refused: OOM");
      client.close();
      await store.close?.();
    });
  });

  test("redis: asks with the password and in the database that the URL names", async () => {
    const locked = await redisServer("--requirepass", "s3cret");
    const store = openTcp(`redis://:s3cret@127.0.0.1:${locked.port}/3`);
    await store.set("k", "v", { ttlMs });
    const client = new Bun.RedisClient(`redis://:s3cret@127.0.0.1:${locked.port}`);
    expect(await client.send("INFO", ["keyspace"])).toContain("db3:keys=1");
    const stranger = openTcp(`redis://:wr0ng@127.0.0.1:${locked.port}`);
    expect(await failure(stranger.get("k"))).not.toContain("wr0ng");
    client.close();
    await store.close?.();
    await locked[Symbol.asyncDispose]();
  });

  test("redis: asks again where its connection was closed while nobody used it", async () => {
    const own = await redisServer();
    const store = openTcp(own.url);
    const version = await store.set("idle", "kept", { ttlMs });
    const client = new Bun.RedisClient(own.url);
    const closeOthers = () => client.send("CLIENT", ["KILL", "TYPE", "normal", "SKIPME", "yes"]);
    await closeOthers();
    for (const found of await Promise.all([store.get("idle"), store.get("idle")]))
      expect(found?.value).toBe("kept");
    await closeOthers();
    expect(await store.set("idle", "replaced", { ttlMs, ifVersion: version ?? "" })).toBeString();
    expect((await store.get("idle"))?.value).toBe("replaced");
    client.close();
    await store.close?.();
    await own[Symbol.asyncDispose]();
  });

  test("redis: goes on by itself once a server that was full, or had another password, lets it in", async () => {
    const own = await redisServer();
    const admin = new Bun.RedisClient(own.url);
    for (const [closed, open] of [
      [
        ["maxclients", "1"],
        ["maxclients", "100"],
      ],
      [
        ["requirepass", "other"],
        ["requirepass", ""],
      ],
    ] as const) {
      await admin.send("CONFIG", ["SET", ...closed]);
      const full = openTcp(own.url);
      expect(await failure(full.get("k"))).not.toBe("none");
      await admin.send("CONFIG", ["SET", ...open]);
      expect(await failure(full.get("k"))).toBe("none");
      await full.close?.();
    }
    admin.close();
    await own[Symbol.asyncDispose]();
  });

  test("redis-rest: says which status it got where the token is wrong, and not which token", async () => {
    expect(await failure(openRest("wrong-token").get("k"))).toBe("Redis refused: WRONGPASS");
  });
}

test("redis-rest: follows no redirect with its token", async () => {
  let isFollowed = false;
  const elsewhere = Bun.serve({
    port: 0,
    fetch() {
      isFollowed = true;
      return Response.json({ result: null });
    },
  });
  const server = Bun.serve({ port: 0, fetch: () => Response.redirect(elsewhere.url.href, 307) });
  const store = redisRestStore({
    url: server.url.href,
    token: "t",
    prefix: "",
    fetch: (url, init) => fetch(url, init),
  });
  expect(await failure(store.get("k"))).toBe("The Redis REST API answered with status 307");
  expect(isFollowed).toBeFalse();
  await Promise.all([server.stop(true), elsewhere.stop(true)]);
});
