/**
 * `npm run soak -- MINUTES`: a started gateway under mixed traffic, good and bad, while site and store are disturbed.
 * Ends with exit code 1 if an outcome can't be explained, or if memory or sockets are not given back. What is
 * expected, and how far it may be off: docs/operations.md.
 */
import { startServer, stopAll } from "../bench/processes.ts";
import { startChatSite } from "../test/fakes/chat-site.ts";
import { startOpenAiUpstream } from "../test/fakes/openai-upstream.ts";
import { siteControl } from "../test/fakes/site-control.ts";
import { hasRedis, redisServer } from "../test/support/redis-server.ts";
import { apiKey, gatewayClient } from "./soak/client.ts";
import { disruptions } from "./soak/disruptions.ts";
import { pickKind, streamCommitMs } from "./soak/traffic.ts";
import { readMetrics, type Vitals, vitalsOf } from "./soak/vitals.ts";

const minutes = Number(process.argv[2] ?? 2);
if (!(minutes > 0)) {
  console.error("npm run soak -- MINUTES");
  process.exit(1);
}

const clients = 24;
const longestPauseMs = 60;
/** Caches, compiled code and pools of connections are there after it. */
const warmUpShare = 0.25;
const settleMs = 15_000;

/** How much more memory there may be at the end than after the warm-up. */
const tolerance = { rssBytes: 32 * 2 ** 20, rssShare: 0.15 };
/** Connections that are kept for the next call: one of each client, one to each upstream for it, and a few of the store. */
const keptSockets = 3 * clients + 8;

const chatSite = startChatSite();
const site = siteControl(chatSite.url);
await site.set({ log: false });
const other = await startOpenAiUpstream({ gapMs: 2 });
const redis = hasRedis() ? await redisServer() : undefined;
if (redis === undefined)
  console.log("redis-server is not installed: the store is memory, and is not disturbed.");

const gateway = await startServer(
  [process.execPath, "--no-env-file", "adapters/bun.ts"],
  {
    API_MASTER_KEY: apiKey,
    CHAT_PAGE_URL: site.pageUrl,
    UPSTREAM_URL: site.ajaxUrl,
    PROVIDERS: JSON.stringify([
      { name: "local", baseUrl: other.baseUrl, models: ["echo"], maxConcurrency: 16 },
    ]),
    // A fault that one client asks for must not answer for others.
    CIRCUIT_BREAKER: "off",
    STREAM_COMMIT_MS: String(streamCommitMs),
    STREAM_KEEPALIVE_MS: "200",
    MAX_BODY_BYTES: "65536",
    SESSION_STORE: redis === undefined ? "memory" : "redis",
    ...(redis && { REDIS_URL: redis.url }),
  },
  { pin: [], firstRequest: { path: "/health" } },
);

const client = gatewayClient(gateway.origin);
const disturbed = disruptions(site, redis);
/** By kind and result. */
const counts = new Map<string, number>();
const unexplained = new Map<string, number>();
const problems: string[] = [];
let left = 0;

const add = (to: Map<string, number>, key: string) => to.set(key, (to.get(key) ?? 0) + 1);

async function beClient(signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const { name, run } = pickKind();
    const fromMs = performance.now();
    const { result, expected } = await run(client).catch((error: Error) => ({
      result: `thrown: ${error.message}`,
      expected: "",
    }));
    const cause = result === expected ? undefined : disturbed.explanation(result, fromMs, performance.now());
    if (result === "left") left++;
    add(counts, `${name}\t${result}${cause === undefined ? "" : ` (${cause})`}`);
    if (result !== expected && cause === undefined) add(unexplained, `${name}: ${result}, not ${expected}`);
    await Bun.sleep(Math.random() * longestPauseMs);
  }
}

async function soak(ms: number): Promise<void> {
  const signal = AbortSignal.timeout(ms);
  await Promise.all([disturbed.run(signal), ...Array.from({ length: clients }, () => beClient(signal))]);
}

const isBack = (now: Vitals, before: Vitals): boolean =>
  !(now.rssBytes > before.rssBytes * (1 + tolerance.rssShare) + tolerance.rssBytes) &&
  !(now.sockets > keptSockets) &&
  // The runtime opens one or the other file of its own when it first needs it; a leak is one for many requests.
  !(now.otherFiles > before.otherFiles + 1);

/** The gateway's vitals once they are as before, or after a while. */
async function settle(before?: Vitals): Promise<Vitals> {
  const deadlineMs = performance.now() + settleMs;
  await Bun.sleep(2000);
  while (before !== undefined && !isBack(vitalsOf(gateway.pid), before) && performance.now() < deadlineMs) {
    await Bun.sleep(500);
  }
  return vitalsOf(gateway.pid);
}

const mebibytes = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

try {
  const totalMs = minutes * 60_000;
  await soak(totalMs * warmUpShare);
  const before = await settle();
  await soak(totalMs * (1 - warmUpShare));
  const after = await settle(before);

  const metrics = await readMetrics(gateway.origin, apiKey);
  const seen =
    metrics.sum("kimi_requests_total", 'route="/chat/completions"') +
    metrics.sum("kimi_requests_total", 'route="none"');
  const internal = metrics.sum("kimi_requests_total", 'code="internal_error"');
  const running = metrics.sum("kimi_upstream_running") + metrics.sum("kimi_upstream_waiting");

  console.log(`\n${client.sent} requests; the gateway has counted ${seen}\n`);
  for (const [key, count] of [...counts].sort(([a], [b]) => a.localeCompare(b))) {
    const [name = "", result] = key.split("\t");
    console.log(`  ${name.padEnd(18)}${String(count).padStart(7)}  ${result}`);
  }
  console.log("");
  for (const [name, count] of disturbed.counts) console.log(`  ${name}: ${count} times`);
  console.log(`
  memory   ${mebibytes(before.rssBytes)} after the warm-up, ${mebibytes(after.rssBytes)} at the end
  sockets  ${before.sockets} after the warm-up, ${after.sockets} at the end
  files    ${before.otherFiles} after the warm-up, ${after.otherFiles} at the end`);

  // Who left may have left before the gateway saw the request.
  if (seen > client.sent || seen < client.sent - left) problems.push("requests were lost, or counted twice");
  if (internal > 0) problems.push(`${internal} faults of the gateway itself`);
  if (running > 0) problems.push(`${running} calls still have or want a place at an upstream`);
  if (!isBack(after, before)) problems.push("memory, sockets or files are not given back");
  for (const [outcome, count] of unexplained) problems.push(`${outcome} (${count} times)`);
} finally {
  await stopAll();
  await chatSite.stop();
  other.close();
  await redis?.[Symbol.asyncDispose]();
}
if (problems.length > 0) console.error(`\nNot explained:\n  ${problems.join("\n  ")}`);
else console.log("\nEvery outcome is explained, and everything is given back.");
process.exit(problems.length > 0 ? 1 : 0);
