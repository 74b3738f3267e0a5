/**
 * `npm run bench`: measures the gateway side by side with a hand-written floor, prints a table and writes it as
 * JSON to bench/results. How to read it: docs/performance.md.
 */
import { parseArgs } from "node:util";
import { againstPorts, createBench, lanes, modelOf } from "./bench.ts";
import { hasWrk } from "./load/wrk.ts";
import { pinning, stopAll } from "./processes.ts";
import { machine, type Report, type Row, table } from "./report.ts";
import { coldStart, singleFileStart } from "./scenarios/cold-start.ts";
import { conversation, growth } from "./scenarios/conversation.ts";
import { messagesStreams, responsesStreams } from "./scenarios/dialect-streams.ts";
import { chunkGaps, firstChunk, openLoop } from "./scenarios/latency.ts";
import { silentStreams, tenThousandStreams, thousandStreams } from "./scenarios/many-streams.ts";
import type { Scenario } from "./scenarios/scenario.ts";
import { storeTurns } from "./scenarios/store-turns.ts";
import { throughput } from "./scenarios/throughput.ts";
import { uptime } from "./scenarios/uptime.ts";

const scenarios: readonly Scenario[] = [
  throughput({ name: "site-16", lane: "site", stream: false, connections: 16, least: 0.55 }),
  throughput({ name: "site-64", lane: "site", stream: false, connections: 64, least: 0.55 }),
  throughput({ name: "openai-16", lane: "openai", stream: false, connections: 16, least: 0.55 }),
  throughput({ name: "openai-64", lane: "openai", stream: false, connections: 64, least: 0.55 }),
  throughput({ name: "site-streams", lane: "site", stream: true, connections: 16, least: 0.6 }),
  throughput({ name: "openai-streams", lane: "openai", stream: true, connections: 16, least: 0.6 }),
  messagesStreams,
  responsesStreams,
  ...lanes.map(firstChunk),
  ...lanes.map(openLoop),
  chunkGaps,
  ...lanes.map(thousandStreams),
  ...lanes.map(silentStreams),
  tenThousandStreams,
  conversation,
  growth,
  storeTurns,
  coldStart,
  singleFileStart,
  uptime,
];

const usage = `npm run bench -- [options]
  --only NAME     scenarios whose name contains NAME; may be given again. Names:
                  ${scenarios.map(({ name }) => name).join(", ")}
  --rounds N      rounds of each comparison (default 7)
  --smoke         every scenario, tiny: tells wrong answers, judges no time
  --against URL   compares another gateway as well; its upstream must be the site
                  http://127.0.0.1:${againstPorts.site} (page /chat/, model ${modelOf.site}),
                  the API http://127.0.0.1:${againstPorts.openai}/v1 (model ${modelOf.openai}), or both
  --key KEY       the API key of that gateway
  --pin           keeps the measured process on one processor and all others on the second`;

const { values: flags } = parseArgs({
  options: {
    only: { type: "string", multiple: true },
    rounds: { type: "string", default: "7" },
    smoke: { type: "boolean", default: false },
    against: { type: "string" },
    key: { type: "string", default: "sk-bench" },
    pin: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

const chosen = scenarios.filter(({ name, onlyByName }) =>
  flags.only ? flags.only.some((part) => name.includes(part)) : !onlyByName,
);
const rounds = Number(flags.rounds);
if (flags.help || chosen.length === 0 || !Number.isInteger(rounds) || rounds < 1) {
  console.log(usage);
  process.exit(flags.help ? 0 : 1);
}
if (!hasWrk())
  console.log(
    "wrk is not installed: the benchmark's own generator stands in, and takes more of the machine.",
  );

const { smoke } = flags;
const rows: Row[] = [];
const problems: string[] = [];
try {
  const bench = await createBench({
    smoke,
    rounds,
    pin: pinning(flags.pin),
    key: flags.key,
    ...(flags.against === undefined ? {} : { against: new URL(flags.against).origin }),
  });
  for (const scenario of chosen) {
    const startedAt = performance.now();
    try {
      rows.push(...(await scenario.run(bench)));
    } catch (error) {
      bench.problems.push(`${scenario.name}: ${(error as Error).message}`);
    }
    console.error(`${scenario.name}: ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
  }
  problems.push(...bench.problems);
} finally {
  await stopAll();
}

const report: Report = {
  at: new Date().toISOString(),
  machine: machine(),
  bun: Bun.version,
  rounds,
  smoke,
  rows,
  problems,
};
console.log(
  `\n${report.at.slice(0, 16).replace("T", " ")} UTC, ${report.machine}, Bun ${report.bun}\n\n${table(report)}`,
);
const file = `${import.meta.dir}/results/${report.at.replaceAll(":", "-")}.json`;
await Bun.write(file, `${JSON.stringify(report, null, 2)}\n`);
console.log(`\nWritten to ${file}`);
if (problems.length > 0) {
  console.error(`\nWrong answers or failures:\n  ${[...new Set(problems)].join("\n  ")}`);
  process.exit(1);
}
process.exit(0);
