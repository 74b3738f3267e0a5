import type { DenoKv } from "../core/stores/deno-kv.ts";
import type { StoreDrivers } from "../core/stores/open-store.ts";
import type { RedisConnection } from "../core/stores/redis.ts";

const { Bun, Deno } = globalThis as typeof globalThis & {
  Deno?: { openKv?: (path?: string) => Promise<DenoKv> };
};

const openKv = async (path?: string): Promise<DenoKv> => {
  if (Deno?.openKv) return Deno.openKv(path);
  if (path === undefined)
    throw new Error("deno-kv: set DENO_KV_PATH to a file or to a remote database's URL");
  const [{ openKv }, { serialize, deserialize }] = await Promise.all([import("@deno/kv"), import("node:v8")]);
  // Bun has no V8 whose serializer the package could find by itself.
  return openKv(path, { encodeV8: serialize, decodeV8: deserialize });
};

const connectRedis = async (url: string): Promise<RedisConnection> => {
  if (Bun !== undefined) {
    const client = new Bun.RedisClient(url, { autoReconnect: false, connectionTimeout: 2_000 });
    await client.connect();
    return client;
  }
  const { createClient } = await import("redis");
  const client = createClient({ url, socket: { reconnectStrategy: false, connectTimeout: 2_000 } });
  // Without a listener an error would end the process; whoever waits for a reply is told of it anyway.
  client.on("error", () => {});
  await client.connect();
  return {
    send: (command, args) => client.sendCommand([command, ...args]),
    close: () => client.destroy(),
  };
};

/** The platform's own clients, or the optional packages `@deno/kv` and `redis`, loaded when they are chosen. */
export const storeDrivers: StoreDrivers = { openKv, connectRedis };
