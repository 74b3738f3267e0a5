import { afterAll, test } from "bun:test";
import { casesFor } from "../contracts/store.ts";
import { storeSubjects } from "../contracts/store-subjects.ts";
import { blobsServer } from "../fakes/blobs-server.ts";
import { upstashBridge } from "../fakes/upstash-bridge.ts";
import { hasRedis, redisServer } from "../support/redis-server.ts";

const redis = hasRedis() ? await redisServer() : undefined;
const bridge = redis && (await upstashBridge(redis.url));

afterAll(async () => {
  await bridge?.[Symbol.asyncDispose]();
  await redis?.[Symbol.asyncDispose]();
});

const blobs = blobsServer();
afterAll(() => blobs.stop());

const services = { redisUrl: redis?.url, redisRest: bridge, blobsContext: blobs.context };
for (const subject of storeSubjects(services)) {
  for (const { name, run } of casesFor(subject)) test(name, run, 20_000);
}

if (redis === undefined) test.skip("redis, redis-rest: no redis-server is installed here", () => {});
