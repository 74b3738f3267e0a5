import { afterAll } from "bun:test";
import { upstashBridge } from "../../../fakes/upstash-bridge.ts";
import { hasRedis, redisServer } from "../../../support/redis-server.ts";

/** The store that a platform takes by itself, with the settings for it. */
export interface PlatformStore {
  readonly env: Readonly<Record<string, string>>;
  readonly store: "memory" | "deno-kv" | "redis-rest";
}

/** The settings that a hosted platform has once a remote KV is linked to it; without Redis here, none. */
export async function restStore(): Promise<PlatformStore> {
  if (!hasRedis()) {
    console.log("No redis-server is installed: hosted platforms are tested on memory only.");
    return { env: {}, store: "memory" };
  }
  const redis = await redisServer();
  const bridge = await upstashBridge(redis.url);
  afterAll(async () => {
    await bridge[Symbol.asyncDispose]();
    await redis[Symbol.asyncDispose]();
  });
  return {
    env: { KV_REST_API_URL: bridge.url, KV_REST_API_TOKEN: bridge.token },
    store: "redis-rest",
  };
}
