/** Redis over TCP. Apart from the other drivers, so that what is bundled for a hosting platform has no more than it needs. */
import type { ConnectRedis } from "../core/stores/open-store.ts";
import type { RedisConnection } from "../core/stores/redis.ts";

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

/** Bun's own client, else the optional package `redis`. */
export const loadRedis = async (): Promise<ConnectRedis> => {
  if (Bun !== undefined) {
    return async (url) => {
      const client = new Bun.RedisClient(url, { autoReconnect: false, connectionTimeout: 2_000 });
      await client.connect();
      return client;
    };
  }
  const { createClient } = await optional("redis", import("redis"));
  return async (url) => {
    const client = createClient({ url, socket: { reconnectStrategy: false, connectTimeout: 2_000 } });
    // Without a listener an error would end the process; the call that waits for a reply fails with it anyway.
    client.on("error", () => {});
    await client.connect();
    return {
      send: (command, args) => client.sendCommand([command, ...args]),
      close: () => client.destroy(),
    };
  };
};
