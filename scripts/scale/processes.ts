/** Several gateways, each a process of its own, on one store, and what Redis and Linux say of it afterwards. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type StartedServer, startServer, stopAll } from "../../bench/processes.ts";
import { redisServer } from "../../test/support/redis-server.ts";
import type { Shape, Traffic } from "./arithmetic.ts";
import { typical } from "./measured.ts";
import { sizedModel, sizedQuestion } from "./upstream.ts";

export interface Run {
  readonly processes: number;
  readonly conversations: readonly Shape[];
  readonly stream: boolean;
  /** The upstream's base URL. */
  readonly upstream: string;
  /** Turns that each process has before anything is counted: one makes its connections, hundreds its compiled code. */
  readonly warmUpTurns?: number;
}

export interface Seen extends Traffic {
  readonly turns: number;
  /** Processor time of a turn, in microseconds: of its gateway, and of Redis. */
  readonly gatewayMicros: number;
  readonly redisMicros: number;
}

const key = "sk-scale";

/** Conversations that go on at the same time. */
const lanes = 12;

const turnsOf = (conversations: readonly Shape[]): number =>
  conversations.reduce((sum, { turns }) => sum + turns, 0);

/** Starts the gateways, warms them up, and hands them to `task`; they end with it. */
async function withGateways<T>(
  { processes, stream, upstream, warmUpTurns = 1 }: Run,
  store: Readonly<Record<string, string>>,
  task: (gateways: readonly StartedServer[]) => Promise<T>,
): Promise<T> {
  const settings = {
    API_MASTER_KEY: key,
    LOG_LEVEL: "warn",
    KIMI_WEB: "off",
    PROVIDERS: JSON.stringify([{ name: "sized", baseUrl: upstream, models: [sizedModel] }]),
    SESSION_CACHE_MAX: "100000",
    ...store,
  };
  const command = [process.execPath, "--no-env-file", "adapters/bun.ts"];
  const start = () => startServer(command, settings, { pin: [], firstRequest: { path: "/health" } });
  try {
    const gateways = await Promise.all(Array.from({ length: processes }, start));
    for (const [at, gateway] of gateways.entries()) {
      for (let turn = 0; turn < warmUpTurns; turn++)
        await say(gateway, `warm-up-${at}-${turn}`, typical, stream);
    }
    return await task(gateways);
  } finally {
    await stopAll();
  }
}

async function say(
  gateway: StartedServer | undefined,
  session: string,
  shape: Shape,
  stream: boolean,
): Promise<void> {
  const content = sizedQuestion(shape.questionBytes, shape.answerBytes);
  const response = await fetch(`${gateway?.origin}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "x-session-id": session },
    body: JSON.stringify({ model: sizedModel, stream, messages: [{ role: "user", content }] }),
  });
  const text = await response.text();
  const isSaved = response.headers.get("x-session-saved") !== "false" && !text.includes("x-session-saved");
  if (response.status !== 200 || !isSaved)
    throw new Error(`status ${response.status}: ${text.slice(0, 200)}`);
}

/** Has the conversations, each turn at another process than the one before; resolves to the processor time of a turn. */
async function converse(gateways: readonly StartedServer[], { conversations, stream }: Run): Promise<number> {
  const cpuMicros = () => gateways.reduce((sum, { meter }) => sum + (meter.cpuMicros() ?? Number.NaN), 0);
  const before = cpuMicros();
  const waiting = conversations.entries();
  const lane = async () => {
    for (const [at, shape] of waiting) {
      for (let turn = 0; turn < shape.turns; turn++) {
        await say(gateways[(at + turn) % gateways.length], `scale-${at}`, shape, stream);
      }
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return (cpuMicros() - before) / turnsOf(conversations);
}

/** What Redis says of itself, by the names of INFO. */
class Info {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
  number(name: string): number {
    return Number(new RegExp(`^${name}:([\\d.]+)`, "m").exec(this.text)?.[1] ?? 0);
  }
  calls(command: string): number {
    return Number(new RegExp(`^cmdstat_${command}:calls=(\\d+)`, "m").exec(this.text)?.[1] ?? 0);
  }
  get cpuMicros(): number {
    return 1e6 * (this.number("used_cpu_sys") + this.number("used_cpu_user"));
  }
}

/** Gateways on a Redis of their own, which writes to the disk once a second. */
export async function runOnRedis(run: Run): Promise<Seen> {
  await using redis = await redisServer("--appendfsync", "everysec");
  const client = new Bun.RedisClient(redis.url);
  const info = async () => new Info(await client.send("INFO", ["everything"]));
  try {
    return await withGateways(run, { SESSION_STORE: "redis", REDIS_URL: redis.url }, async (gateways) => {
      await client.send("FLUSHALL", []);
      const before = await info();
      const gatewayMicros = await converse(gateways, run);
      const after = await info();

      const grown = (name: string) => after.number(name) - before.number(name);
      const calls = (name: string) => after.calls(name) - before.calls(name);
      const keys: string[] = await client.send("KEYS", ["*"]);
      const lengths = await Promise.all(keys.map((each) => client.send("STRLEN", [each])));
      const turns = turnsOf(run.conversations);
      return {
        turns,
        // A script's own commands are other ones, so that each EVAL is one write.
        reads: calls("get"),
        writes: calls("eval"),
        // The first INFO's reply was not sent yet when it was written.
        readBytes: grown("total_net_output_bytes") - before.text.length,
        writtenBytes: grown("total_net_input_bytes"),
        // Before each value stands its version, a UUID.
        storedBytes: lengths.reduce((sum: number, length) => sum + Number(length) - 36, 0),
        gatewayMicros,
        redisMicros: (after.cpuMicros - before.cpuMicros) / turns,
      };
    });
  } finally {
    client.close();
  }
}

/** The processor time of a turn, in microseconds, with memory: of one process, as memory is not shared. */
export const microsOnMemory = (run: Run): Promise<number> =>
  withGateways({ ...run, processes: 1 }, { SESSION_STORE: "memory" }, (gateways) => converse(gateways, run));

/** The same of several processes on one SQLite file. */
export async function microsOnSqlite(run: Run): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), "scale-"));
  const store = { SESSION_STORE: "sqlite", SQLITE_PATH: join(folder, "sessions.sqlite") };
  const micros = await withGateways(run, store, (gateways) => converse(gateways, run));
  await rm(folder, { recursive: true });
  return micros;
}
