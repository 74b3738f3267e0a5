/** The store contract in whichever runtime runs this file; services are named by environment variables. */
import { casesFor } from "../../contracts/store.ts";
import { storeSubjects } from "../../contracts/store-subjects.ts";

const { REDIS_URL, UPSTASH_REDIS_REST_URL: url, UPSTASH_REDIS_REST_TOKEN: token, DENO_KV_URL } = process.env;
const { REDIS_CLUSTER_URL, REDIS_SENTINEL_URL } = process.env;
const redisGroups = { "redis+cluster": REDIS_CLUSTER_URL, "redis+sentinel": REDIS_SENTINEL_URL };
const redisRest = url && token ? { url, token } : undefined;

let passed = 0;
let failed = 0;
for (const subject of storeSubjects({
  redisUrl: REDIS_URL,
  redisGroups,
  redisRest,
  denoKvUrl: DENO_KV_URL,
})) {
  const before = passed;
  for (const { name, run } of casesFor(subject)) {
    try {
      await run();
      passed++;
    } catch (error) {
      failed++;
      console.error(`  FAILED ${name}\n${(error as Error).stack}`);
    }
  }
  console.log(`  ${subject.name}: ${passed - before} passed`);
}
console.log(` ${passed} pass\n ${failed} fail`);
process.exit(failed > 0 ? 1 : 0);
