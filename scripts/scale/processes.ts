/** Several gateways, each a process of its own, on one real Redis, and what Redis and Linux say of it afterwards. */
import { type StartedServer, startServer, stopAll } from "../../bench/processes.ts";
import { redisServer } from "../../test/support/redis-server.ts";
import type { Shape, Traffic } from "./arithmetic.ts";
import { sizedModel, sizedQuestion } from "./upstream.ts";

export interface Run {
  readonly processes: number;
  readonly conversations: readonly Shape[];
  readonly stream: boolean;
  /** The upstream's base URL. */
  readonly upstream: string;
  /** Conversations that go on at the same time. */
  readonly lanes?: number;
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

/** Has the conversations, each turn at another process than the one before. */
export async function runProcesses({
  processes,
  conversations,
  stream,
  upstream,
  lanes = 12,
  warmUpTurns = 1,
}: Run): Promise<Seen> {
  // As docs/scale.md says: what is written reaches the disk within a second.
  await using redis = await redisServer("--appendfsync", "everysec");
  const settings = {
    API_MASTER_KEY: key,
    LOG_LEVEL: "warn",
    KIMI_WEB: "off",
    PROVIDERS: JSON.stringify([{ name: "sized", baseUrl: upstream, models: [sizedModel] }]),
    SESSION_STORE: "redis",
    REDIS_URL: redis.url,
  };
  const command = [process.execPath, "--no-env-file", "adapters/bun.ts"];
  const client = new Bun.RedisClient(redis.url);
  const info = async () => new Info(await client.send("INFO", ["everything"]));

  const say = async (gateway: StartedServer | undefined, session: string, shape: Shape) => {
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
  };

  try {
    const gateways = await Promise.all(
      Array.from({ length: processes }, () =>
        startServer(command, settings, { pin: [], firstRequest: { path: "/health" } }),
      ),
    );
    const warmUp = { turns: 1, questionBytes: 200, answerBytes: 1500 };
    for (const [at, gateway] of gateways.entries()) {
      for (let turn = 0; turn < warmUpTurns; turn++) await say(gateway, `warm-up-${at}-${turn}`, warmUp);
    }
    await client.send("FLUSHALL", []);

    const cpuBefore = gateways.map(({ meter }) => meter.cpuMicros() ?? Number.NaN);
    const before = await info();
    const waiting = conversations.entries();
    const lane = async () => {
      for (const [at, shape] of waiting) {
        for (let turn = 0; turn < shape.turns; turn++) {
          await say(gateways[(at + turn) % processes], `scale-${at}`, shape);
        }
      }
    };
    await Promise.all(Array.from({ length: lanes }, lane));
    const after = await info();
    const cpuMicros = gateways.reduce(
      (sum, { meter }, at) => sum + (meter.cpuMicros() ?? Number.NaN) - (cpuBefore[at] ?? 0),
      0,
    );

    const grown = (name: string) => after.number(name) - before.number(name);
    const calls = (name: string) => after.calls(name) - before.calls(name);
    const keys: string[] = await client.send("KEYS", ["*"]);
    const lengths = await Promise.all(keys.map((each) => client.send("STRLEN", [each])));
    const turns = conversations.reduce((sum, shape) => sum + shape.turns, 0);
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
      gatewayMicros: cpuMicros / turns,
      redisMicros: (after.cpuMicros - before.cpuMicros) / turns,
    };
  } finally {
    client.close();
    await stopAll();
  }
}
