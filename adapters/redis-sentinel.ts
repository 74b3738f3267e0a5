/** Redis behind Sentinel: https://redis.io/docs/latest/develop/reference/sentinel-clients/ */
import type { RedisConnection } from "../core/stores/redis.ts";
import { type RedisAddress, redisServerUrl } from "../core/util/redis-url.ts";
import { systemClock, withTimeout } from "../core/util/time.ts";

/** Opens a connection to the one server of a URL. */
export type OpenServer = (url: string, connectTimeoutMs: number) => Promise<RedisConnection>;

/** Short, as one sentinel that is down must leave time for the others. */
const connectTimeoutMs = 500;
const limit = { clock: systemClock };

const masterKnownTo = async (sentinel: RedisConnection, name: string) => {
  const reply = await sentinel.send("SENTINEL", ["get-master-addr-by-name", name]);
  if (!Array.isArray(reply)) throw new Error("The sentinel knows no master of this name");
  const [host, port] = reply.map(String);
  return { host: host ?? "", port: Number(port) };
};

/**
 * Opens a connection to the present master: the first one that a sentinel names and that says so itself, as a sentinel may
 * not yet have heard of a failover. A lost connection is not mended but opened anew, so each one asks the sentinels again.
 */
export async function connectThroughSentinels(
  address: RedisAddress,
  openServer: OpenServer,
): Promise<RedisConnection> {
  const failures: string[] = [];
  for (const node of address.nodes) {
    try {
      const credentials = address.sentinelCredentials;
      const sentinelUrl = redisServerUrl(node, { ...address, credentials, database: 0 });
      const sentinel = await openServer(sentinelUrl, connectTimeoutMs);
      const asking = masterKnownTo(sentinel, address.masterName);
      const master = await withTimeout(asking, connectTimeoutMs, limit).finally(() => sentinel.close());
      const connection = await openServer(redisServerUrl(master, address), connectTimeoutMs);
      const telling = connection.send("ROLE", []);
      const role = await withTimeout(telling, connectTimeoutMs, limit).catch((error) => {
        connection.close();
        throw error;
      });
      if (Array.isArray(role) && String(role[0]) === "master") return connection;
      connection.close();
      throw new Error("The server is no master any more");
    } catch (error) {
      failures.push((error as Error).message);
    }
  }
  throw new Error(`No sentinel leads to a master: ${[...new Set(failures)].join("; ")}`);
}
