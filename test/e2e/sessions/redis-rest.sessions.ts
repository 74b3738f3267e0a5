import { afterAll } from "bun:test";
import { upstashBridge } from "../../fakes/upstash-bridge.ts";
import { redisServer, requireRedis } from "../../support/redis-server.ts";
import { acrossProcesses } from "./across-processes.ts";

requireRedis();
const redis = await redisServer();
const bridge = await upstashBridge(redis.url);
afterAll(async () => {
  await bridge[Symbol.asyncDispose]();
  await redis[Symbol.asyncDispose]();
});

await acrossProcesses("two gateways on Redis' REST API", {
  count: 2,
  env: {
    SESSION_STORE: "redis-rest",
    UPSTASH_REDIS_REST_URL: bridge.url,
    UPSTASH_REDIS_REST_TOKEN: bridge.token,
  },
  turns: 60,
  conversations: 10,
});
