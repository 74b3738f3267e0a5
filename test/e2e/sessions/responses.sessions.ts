import { afterAll } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { redisServer, requireRedis } from "../../support/redis-server.ts";
import { responsesAcross } from "./responses-across.ts";

requireRedis();
const redis = await redisServer();
afterAll(() => redis[Symbol.asyncDispose]());

await responsesAcross("responses of three gateways on one Redis", {
  count: 3,
  env: { SESSION_STORE: "redis", REDIS_URL: redis.url },
});

const folder = await mkdtemp(join(tmpdir(), "deno-kv-responses-"));
afterAll(() => rm(folder, { recursive: true, force: true }));

await responsesAcross("responses of two Deno processes on one Deno KV file", {
  count: 2,
  // The script of that name in node_modules/.bin would not pass signals on.
  command: [join(import.meta.dir, "../../../node_modules/deno/deno"), "run", "-A", "adapters/deno.ts"],
  env: { SESSION_STORE: "deno-kv", DENO_KV_PATH: join(folder, "responses.db"), DENO_NO_UPDATE_CHECK: "1" },
});
