/**
 * `npm run test:stores`: the store contract over a real Redis, a Redis Cluster, a master behind Sentinel, the REST API in
 * front of the first and a remote Deno KV, under Bun, Deno and Node. Redis is Debian's; where it is missing and may be installed, it is.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { upstashBridge } from "../../fakes/upstash-bridge.ts";
import { freePort } from "../../support/free-port.ts";
import { redisCluster, redisSentinels } from "../../support/redis-groups.ts";
import { redisServer, requireRedis } from "../../support/redis-server.ts";

const root = join(import.meta.dir, "../../..");
const deno = join(root, "node_modules/.bin/deno");

const waitFor = async (url: string) => {
  for (let tries = 0; tries < 400; tries++) {
    const response = await fetch(url).catch(() => undefined);
    await response?.body?.cancel();
    if (response) return;
    await Bun.sleep(25);
  }
  throw new Error(`${url} does not answer`);
};

const run = async (title: string, command: string, args: string[], env: Record<string, string>) => {
  console.log(title);
  const child = spawn(command, args, { cwd: root, stdio: "inherit", env: { ...process.env, ...env } });
  const [code] = await once(child, "exit");
  return code === 0;
};

requireRedis();
await using redis = await redisServer();
await using cluster = await redisCluster();
await using sentinels = await redisSentinels();
await using bridge = await upstashBridge(redis.url);

const kvPort = await freePort();
const kvServer = spawn(
  deno,
  ["serve", "-A", "--host", "127.0.0.1", "--port", String(kvPort), "test/fakes/kv-connect-server.ts"],
  // A group of its own: npm's deno is a script that starts the real one.
  { cwd: root, stdio: ["ignore", "ignore", "inherit"], detached: true },
);
const nodeBundle = join(root, `node_modules/.cache/run-contract-${process.pid}.mjs`);
let isGreen = true;
try {
  const kvUrl = `http://127.0.0.1:${kvPort}`;
  await waitFor(kvUrl);
  const services = {
    REDIS_URL: redis.url,
    REDIS_CLUSTER_URL: cluster.url,
    REDIS_SENTINEL_URL: sentinels.url,
    UPSTASH_REDIS_REST_URL: bridge.url,
    UPSTASH_REDIS_REST_TOKEN: bridge.token,
    DENO_KV_URL: kvUrl,
    DENO_KV_ACCESS_TOKEN: "kv-token",
  };
  const suite = "test/e2e/stores/run-contract.ts";
  isGreen = (await run("Bun", process.execPath, [suite], services)) && isGreen;
  isGreen = (await run("Deno", deno, ["run", "-A", "--unstable-kv", suite], services)) && isGreen;
  const built = await Bun.build({ entrypoints: [join(root, suite)], target: "node", packages: "external" });
  await Bun.write(nodeBundle, built.outputs[0] ?? "");
  isGreen = (await run("Node", "node", [nodeBundle], services)) && isGreen;
} finally {
  if (kvServer.pid !== undefined) process.kill(-kvServer.pid);
  await rm(nodeBundle, { force: true });
}
console.log(isGreen ? "All stores keep the contract." : "Some stores break the contract.");
process.exitCode = isGreen ? 0 : 1;
