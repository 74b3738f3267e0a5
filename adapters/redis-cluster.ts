/** Redis Cluster, through the package `redis`; Bun's own client knows no clusters. */
import type { ConnectRedis } from "../core/stores/open-store.ts";
import { type RedisAddress, type RedisNode, redisServerUrl } from "../core/util/redis-url.ts";
import { sleep, systemClock } from "../core/util/time.ts";

type RedisPackage = typeof import("redis");

/** Short, as one node that is down must leave time for the others. */
const connectTimeoutMs = 500;

/** How often the cluster's map is asked for, at the most, while commands fail. Those wait for the next time. */
const renewEveryMs = 250;

/** How long a client that was replaced still lives: longer than any command on it may take. */
const lingerMs = 5_000;

/** The key by which a command finds its node; each has one. */
const keyOf = (command: string, args: readonly string[]): string | undefined =>
  command === "EVAL" ? args[2] : args[0];

/**
 * What opens connections to a cluster. A client of the package knows the map as it was when it opened, and follows slots
 * that move; it finds no way round a node that is gone. So after a failure `renew` replaces it by one that asks for the map
 * again, any node that was known; commands on their way to other nodes are not disturbed.
 */
export function connectCluster(address: RedisAddress, { createCluster }: RedisPackage): ConnectRedis {
  const { username, password } = address.credentials;

  const open = async (known: readonly RedisNode[]) => {
    const cluster = createCluster({
      rootNodes: [...known, ...address.nodes].map((node) => ({ url: redisServerUrl(node, address) })),
      defaults: {
        ...(username !== "" && { username }),
        ...(password !== "" && { password }),
        // A command for a node that is away fails, and is not kept to be carried out later.
        disableOfflineQueue: true,
        socket: { reconnectStrategy: false, connectTimeout: connectTimeoutMs, tls: address.isEncrypted },
      },
      // One node that is away is not in the way of the others.
      minimizeConnections: true,
    });
    // Without a listener an error would end the process; the call that waits for a reply fails with it anyway.
    cluster.on("error", () => {});
    await cluster.connect();
    return cluster;
  };

  return async () => {
    let current = await open([]);
    let openedAtMs = performance.now();
    let renewing: Promise<void> | undefined;
    let isClosed = false;

    const replace = async (): Promise<void> => {
      await sleep(Math.max(0, openedAtMs + renewEveryMs - performance.now()), { clock: systemClock });
      const before = current;
      const known = before.masters.map(({ host, port }) => ({ host, port }));
      openedAtMs = performance.now();
      const next = await open(known);
      if (isClosed) return next.destroy();
      current = next;
      // Nothing that a process must wait for before it ends.
      (setTimeout(() => before.destroy(), lingerMs) as { unref?(): void }).unref?.();
    };

    return {
      send: (command, args) => current.sendCommand(keyOf(command, args), false, [command, ...args]),
      renew() {
        renewing ??= replace().finally(() => {
          renewing = undefined;
        });
        return renewing;
      },
      close() {
        isClosed = true;
        current.destroy();
      },
    };
  };
}
