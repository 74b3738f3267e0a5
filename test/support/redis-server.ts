import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "./free-port.ts";

export interface RedisServer {
  readonly port: number;
  readonly url: string;
  readonly isRunning: boolean;
  /** Ends the process; its data stay for the next `start`. */
  stop(): Promise<void>;
  /** Ends it on the spot, as `kill -9` does. */
  kill(): Promise<void>;
  start(): Promise<void>;
  /** Holds the process still, with its connections open. */
  pause(): void;
  resume(): void;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Whether a real Redis is installed. */
export const hasRedis = (): boolean =>
  spawnSync("redis-server", ["--version"], { stdio: "ignore" }).status === 0;

/** Installs Debian's Redis where none is; throws where that may not be done. */
export function requireRedis(): void {
  if (hasRedis()) return;
  if (process.getuid?.() !== 0) throw new Error("redis-server is missing: apt-get install redis-server");
  const apt = "apt-get update -qq && apt-get install -y -qq --no-install-recommends redis-server";
  const { status, stderr } = spawnSync("sh", ["-c", apt], { encoding: "utf8" });
  if (status !== 0) throw new Error(`redis-server can't be installed:\n${stderr}`);
}

/** Whether it answers commands: it listens before it has read its data, and refuses until then. */
const isReady = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => socket.write("PING\r\n"));
    socket.once("error", () => resolve(false));
    socket.once("data", (reply) => {
      // It asks for a password when it is ready, and not before.
      resolve(/^(\+PONG|-NOAUTH)/.test(reply.toString()));
      socket.destroy();
    });
  });

/** Starts a Redis of its own on a free port; every write is on disk before it is acknowledged. */
export async function redisServer(...extraArguments: string[]): Promise<RedisServer> {
  const port = await freePort();
  const directory = await mkdtemp(join(tmpdir(), "redis-"));
  const args = ["--port", String(port), "--bind", "127.0.0.1", "--dir", directory];
  args.push("--appendonly", "yes", "--appendfsync", "always", "--save", "", ...extraArguments);
  let child: ReturnType<typeof spawn> | undefined;

  const isRunning = () => child !== undefined && child.exitCode === null && child.signalCode === null;
  const end = async (signal: "SIGTERM" | "SIGKILL") => {
    if (child === undefined || !isRunning()) return;
    const ended = once(child, "exit");
    child.kill(signal);
    await ended;
  };

  const server: RedisServer = {
    port,
    url: `redis://127.0.0.1:${port}`,
    get isRunning() {
      return isRunning();
    },
    async start() {
      child = spawn("redis-server", args, { stdio: "ignore" });
      while (!(await isReady(port))) {
        if (child.exitCode !== null) throw new Error(`redis-server ended with code ${child.exitCode}`);
        await sleep(5);
      }
    },
    stop: () => end("SIGTERM"),
    kill: () => end("SIGKILL"),
    pause: () => void child?.kill("SIGSTOP"),
    resume: () => void child?.kill("SIGCONT"),
    async [Symbol.asyncDispose]() {
      server.resume();
      await server.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
  await server.start();
  return server;
}
