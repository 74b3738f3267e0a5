/** Redis over TCP. Apart from the other drivers, so that what is bundled for a hosting platform has no more than it needs. */
import type { ConnectRedis } from "../core/stores/open-store.ts";
import type { RedisConnection } from "../core/stores/redis.ts";
import { parseRedisUrl } from "../core/util/redis-url.ts";
import { connectCluster } from "./redis-cluster.ts";
import { connectThroughSentinels, type OpenServer } from "./redis-sentinel.ts";

interface BunRedisClient extends RedisConnection {
  connect(): Promise<unknown>;
}

// Declared here, as Vercel compiles this without Bun's types.
const { Bun } = globalThis as {
  Bun?: { RedisClient: new (url: string, options: object) => BunRedisClient };
};

/** An optional package, or an error that says how to get it. */
export const optional = async <Package>(name: string, loading: Promise<Package>): Promise<Package> => {
  try {
    return await loading;
  } catch (cause) {
    throw new Error(`needs the package ${name} (npm install ${name})`, { cause });
  }
};

const loadPackage = () => optional("redis", import("redis"));

/** Bun's own client, else the optional package `redis`. */
const loadOpenServer = async (): Promise<OpenServer> => {
  if (Bun !== undefined) {
    return async (url, connectionTimeout) => {
      const client = new Bun.RedisClient(url, { autoReconnect: false, connectionTimeout });
      await client.connect();
      return client;
    };
  }
  const { createClient } = await loadPackage();
  return async (url, connectTimeout) => {
    const client = createClient({ url, socket: { reconnectStrategy: false, connectTimeout } });
    // Without a listener an error would end the process; the call that waits for a reply fails with it anyway.
    client.on("error", () => {});
    await client.connect();
    return {
      send: (command, args) => client.sendCommand([command, ...args]),
      close: () => client.destroy(),
    };
  };
};

const connectTimeoutMs = 2_000;

/** What opens connections to the server, the cluster or the sentinels' master that `url` names. */
export const loadRedis = async (url: string): Promise<ConnectRedis> => {
  const address = parseRedisUrl(url);
  if (address?.kind === "cluster") return connectCluster(address, await loadPackage());
  const openServer = await loadOpenServer();
  if (address?.kind === "sentinel") return () => connectThroughSentinels(address, openServer);
  return () => openServer(url, connectTimeoutMs);
};
