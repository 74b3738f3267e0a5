/** Several real Redis servers: a cluster, and a master with a replica and sentinels. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./free-port.ts";
import { type RedisServer, redisServer } from "./redis-server.ts";
import { until } from "./until.ts";

/** Servers that hold data have this one, and sentinels the other. */
const password = "p/ss word";
const sentinelPassword = "w@tch#word";

const locked = ["--requirepass", password, "--masterauth", password];

/** What redis-cli prints; it rejects where that fails. */
async function redisCli(args: readonly string[], auth = password): Promise<string> {
  const env = { ...process.env, REDISCLI_AUTH: auth };
  const child = spawn("redis-cli", args, { stdio: ["ignore", "pipe", "pipe"], env });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (output += text));
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`redis-cli ${args.join(" ")}:\n${output}`);
  return output;
}

const ask = (port: number, ...command: readonly string[]) => redisCli(["-p", String(port), ...command]);

const endAll = (servers: readonly RedisServer[]) =>
  Promise.all(servers.map((server) => server[Symbol.asyncDispose]()));

export interface RedisCluster {
  readonly url: string;
  readonly password: string;
  readonly masters: readonly RedisServer[];
  /** Those that were masters at first, then their replicas. */
  readonly nodes: readonly RedisServer[];
  /** Moves so many slots from the first master to the second, keys and all, while clients go on. */
  reshard(slots: number): Promise<void>;
  /** Resolves once all nodes see a running master for every slot. */
  settled(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

const masterCount = 3;
/** After how long a node counts as gone. */
const nodeTimeoutMs = 800;

/** Three masters with a replica each. */
export async function redisCluster(): Promise<RedisCluster> {
  const startNode = async () =>
    redisServer(
      ...["--cluster-enabled", "yes", "--cluster-node-timeout", String(nodeTimeoutMs)],
      ...["--cluster-port", String(await freePort()), "--repl-diskless-sync-delay", "0"],
      ...locked,
    );
  const nodes = await Promise.all(Array.from({ length: 2 * masterCount }, startNode));
  const addresses = nodes.map(({ port }) => `127.0.0.1:${port}`);
  /** Whether this node sees a running master for every slot. */
  const isSettled = async ({ port }: RedisServer) => {
    const state = await ask(port, "cluster", "info");
    const gone = nodes.filter(({ isRunning }) => !isRunning).map((node) => `:${node.port}@`);
    const owners = (await ask(port, "cluster", "nodes")).split("\n").filter((line) => /\d+-\d+$/.test(line));
    return (
      state.includes("cluster_state:ok") && !owners.some((line) => gone.some((each) => line.includes(each)))
    );
  };
  const settled = () =>
    until(async () => {
      const seen = await Promise.all(nodes.filter(({ isRunning }) => isRunning).map(isSettled));
      return seen.every(Boolean);
    });
  // A replica that has not yet copied everything would have nothing to go on with.
  const isCopied = (role: string) => role.startsWith("slave") && role.includes("connected");
  const areCopied = async () => {
    const roles = await Promise.all(nodes.map(({ port }) => ask(port, "role")));
    return roles.filter(isCopied).length === masterCount;
  };
  try {
    await redisCli(["--cluster", "create", ...addresses, "--cluster-replicas", "1", "--cluster-yes"]);
    await until(areCopied);
    await settled();
  } catch (error) {
    await endAll(nodes);
    throw error;
  }
  return {
    url: `redis+cluster://:${encodeURIComponent(password)}@${addresses.slice(0, 2).join(",")}`,
    password,
    masters: nodes.slice(0, masterCount),
    nodes,
    settled,
    async reshard(slots) {
      const [from, to] = await Promise.all(
        nodes.slice(0, 2).map(async ({ port }) => (await ask(port, "cluster", "myid")).trim()),
      );
      const how = ["--cluster-from", from ?? "", "--cluster-to", to ?? "", "--cluster-slots", String(slots)];
      await redisCli(["--cluster", "reshard", addresses[0] ?? "", ...how, "--cluster-yes"]);
    },
    async [Symbol.asyncDispose]() {
      await endAll(nodes);
    },
  };
}

export interface RedisSentinels {
  readonly url: string;
  /** The master's and the replica's. */
  readonly password: string;
  readonly master: RedisServer;
  /** Resolves once the sentinels name another master than the first. */
  failedOver(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A master, a replica and three sentinels. */
export async function redisSentinels(): Promise<RedisSentinels> {
  const start = (...more: readonly string[]) =>
    redisServer("--repl-diskless-sync-delay", "0", ...locked, ...more);
  const master = await start();
  const replica = await start("--replicaof", "127.0.0.1", String(master.port));
  await until(async () => (await ask(replica.port, "role")).includes("connected"));
  const folder = await mkdtemp(join(tmpdir(), "sentinels-"));
  const ports = await Promise.all(Array.from({ length: 3 }, freePort));
  const sentinels = await Promise.all(
    ports.map(async (port) => {
      const file = join(folder, `${port}.conf`);
      const lines = [
        `port ${port}`,
        "bind 127.0.0.1",
        `sentinel monitor cache 127.0.0.1 ${master.port} 2`,
        `sentinel down-after-milliseconds cache ${nodeTimeoutMs}`,
        "sentinel failover-timeout cache 3000",
        `sentinel auth-pass cache "${password}"`,
        `requirepass "${sentinelPassword}"`,
      ];
      await writeFile(file, `${lines.join("\n")}\n`);
      return spawn("redis-server", [file, "--sentinel"], { stdio: "ignore" });
    }),
  );
  const askSentinel = (port: number, ...command: readonly string[]) =>
    redisCli(["-p", String(port), "sentinel", ...command], sentinelPassword);
  const masterPort = async () => {
    const address = await askSentinel(ports[0] ?? 0, "get-master-addr-by-name", "cache");
    return Number(address.split("\n")[1]);
  };
  for (const port of ports) {
    await until(async () => {
      const state = await askSentinel(port, "master", "cache").catch(() => "");
      return /num-other-sentinels\n2\n/.test(state) && /num-slaves\n1\n/.test(state);
    });
  }
  const hosts = ports.map((port) => `127.0.0.1:${port}`).join(",");
  return {
    url: `redis+sentinel://:${encodeURIComponent(password)}@${hosts}/cache?sentinel_password=${encodeURIComponent(sentinelPassword)}`,
    password,
    master,
    failedOver: () => until(async () => ![0, master.port].includes(await masterPort())),
    async [Symbol.asyncDispose]() {
      for (const sentinel of sentinels) sentinel.kill("SIGKILL");
      await endAll([master, replica]);
      await rm(folder, { recursive: true, force: true });
    },
  };
}
