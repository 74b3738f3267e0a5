/**
 * What turns cost, measured here, and the arithmetic of docs/scale.md checked against three processes on one Redis:
 *
 *     npm run scale               # measures, and writes docs/scale.md's tables anew; three minutes
 *     npm run scale -- --check    # the arithmetic alone; ends with exit code 1 if it is off
 */
import { readFileSync, writeFileSync } from "node:fs";
import { cpus, loadavg, release } from "node:os";
import { requireRedis } from "../test/support/redis-server.ts";
import {
  factorOff,
  recordOverhead,
  type Shape,
  simulate,
  type Traffic,
  tolerance,
} from "./scale/arithmetic.ts";
import { type Measured, measured, measuredPath, typical } from "./scale/measured.ts";
import { microsOnMemory, microsOnSqlite, runOnRedis } from "./scale/processes.ts";
import { measureRecord, measureResponses, measureStores } from "./scale/stores.ts";
import { startSizedUpstream } from "./scale/upstream.ts";

/** Conversations of many lengths, the same ones each time. */
function mixed(count: number): Shape[] {
  let state = 1;
  const between = (least: number, most: number) => {
    state = (state * 48_271) % 2_147_483_647;
    return least + (state % (most - least + 1));
  };
  return Array.from({ length: count }, () => ({
    turns: between(1, 15),
    questionBytes: between(20, 600),
    answerBytes: between(20, 3000),
  }));
}

type Compared = Record<keyof Traffic, { readonly expected: number; readonly found: number }>;

const compare = (expected: Traffic, found: Traffic): Compared => ({
  reads: { expected: expected.reads, found: found.reads },
  writes: { expected: expected.writes, found: found.writes },
  readBytes: { expected: expected.readBytes, found: found.readBytes },
  writtenBytes: { expected: expected.writtenBytes, found: found.writtenBytes },
  storedBytes: { expected: expected.storedBytes, found: found.storedBytes },
});

/** What docs/scale.md's arithmetic says of a run of three processes, beside what Redis has seen of it. */
export async function checkArithmetic(conversations = 40): Promise<Compared> {
  const upstream = startSizedUpstream();
  const shapes = mixed(conversations);
  const found = await runOnRedis({
    processes: 3,
    conversations: shapes,
    stream: false,
    upstream: upstream.baseUrl,
  });
  await upstream.stop();
  return compare(simulate(shapes, measured()), found);
}

function report(compared: Compared): boolean {
  let isRight = true;
  for (const [what, { expected, found }] of Object.entries(compared)) {
    const factor = factorOff(expected, found);
    isRight &&= factor <= tolerance;
    console.log(
      `${what.padEnd(13)} expected ${Math.round(expected)}, found ${Math.round(found)}: ${factor.toFixed(3)} ×`,
    );
  }
  return isRight;
}

/** A column of a line of docs/performance.md's table, as a number. */
function fromPerformance(scenario: string, measure: string): number {
  const page = readFileSync(new URL("../docs/performance.md", import.meta.url), "utf8");
  const cells = page.split("\n").map((line) => line.split("|").map((cell) => cell.trim()));
  const value = cells.find((row) => row[1] === scenario && row[2]?.startsWith(measure))?.[4];
  if (value === undefined) throw new Error(`docs/performance.md has no line "${scenario}", "${measure}"`);
  return Number(value.replaceAll(",", ""));
}

const redisVersion = (): string =>
  /v=([\d.]+)/.exec(Bun.spawnSync(["redis-server", "--version"]).stdout.toString())?.[1] ?? "";

async function measure(): Promise<Measured> {
  const load = loadavg()[0] ?? 0;
  const upstream = startSizedUpstream();
  const { baseUrl } = upstream;
  const few = { ...typical, turns: 1 };
  const record = recordOverhead(
    [few, await measureRecord(baseUrl, few)],
    [typical, await measureRecord(baseUrl, typical)],
  );
  const responseBytes = await measureResponses(baseUrl, typical);
  const stores = await measureStores(baseUrl, typical, 200);
  const conversations = Array.from({ length: 500 }, () => typical);
  const run = { processes: 3, conversations, upstream: baseUrl, warmUpTurns: 500 };
  // The least of three: what else runs on the machine only adds to it.
  const leastOf = async (measure: () => Promise<number>): Promise<number> =>
    Math.round(Math.min(await measure(), await measure(), await measure()));
  const redisMicros = async (stream: boolean) => (await runOnRedis({ ...run, stream })).gatewayMicros;
  const onRedis = await runOnRedis({ ...run, stream: false });
  const micros = {
    memory: await leastOf(() => microsOnMemory({ ...run, stream: false })),
    sqlite: await leastOf(() => microsOnSqlite({ ...run, stream: false })),
    redis: await leastOf(() => redisMicros(false)),
    redisStreamed: await leastOf(() => redisMicros(true)),
    redisItself: Math.round(onRedis.redisMicros),
  };
  await upstream.stop();
  const withoutWire = simulate(conversations, { record, wire: { readBytes: 0, writtenBytes: 0 } });
  const wireOf = (what: "readBytes" | "writtenBytes") =>
    Math.round((onRedis[what] - withoutWire[what]) / onRedis.turns);
  return {
    date: new Date().toISOString().slice(0, 10),
    machine: `${cpus().length} × ${cpus()[0]?.model.trim()}, Linux ${release().split("-")[0]}, Bun ${Bun.version}, Redis ${redisVersion()}`,
    load: Math.round(load),
    record,
    wire: { readBytes: wireOf("readBytes"), writtenBytes: wireOf("writtenBytes") },
    responseBytes,
    stores,
    micros,
    // The process itself among it: of ten thousand streams, each takes more than of a thousand.
    streamKibibytes: Math.round(
      (fromPerformance("site-10000-streams", "memory at its highest") * 1024) /
        fromPerformance("site-10000-streams", "finished of"),
    ),
  };
}

if (import.meta.main) {
  requireRedis();
  if (!process.argv.includes("--check")) {
    writeFileSync(measuredPath, `${JSON.stringify(await measure(), undefined, 2)}\n`);
    console.log("scripts/scale/measured.json written");
    Bun.spawnSync([process.execPath, `${import.meta.dir}/docs.ts`], {
      stdio: ["ignore", "inherit", "inherit"],
    });
  }
  const isRight = report(await checkArithmetic());
  console.log(isRight ? "The arithmetic holds." : `Something is off by more than ${tolerance} ×.`);
  process.exit(isRight ? 0 : 1);
}
