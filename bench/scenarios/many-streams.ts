import { type Bench, type Lane, longReply, type Measured, type Subject } from "../bench.ts";
import { openFilesLimit } from "../process-meter.ts";
import type { UpstreamCounts } from "../upstreams/control.ts";
import { atLeast, atMost, type Scenario } from "./scenario.ts";

const mebibyte = 2 ** 20;

interface Crowd {
  readonly result: Measured;
  readonly counts: UpstreamCounts;
  /** Resident bytes before the streams, and the most during them. */
  readonly idleBytes: number;
  readonly peakBytes: number;
  /** The proportional set size at its highest. */
  readonly peakPssBytes: number;
}

/** Opens `count` streams at once on a fresh process, whose upstream answers after `delayMs`. */
async function crowd(
  bench: Bench,
  lane: Lane,
  subject: Subject,
  count: number,
  delayMs: number,
): Promise<Crowd> {
  const upstream = bench.upstreams[lane];
  const stream = true;
  // Compiled code and grown heaps are not to be counted as memory of streams.
  await upstream.set({ ...longReply, delayMs: 0 });
  const warmUp = bench.size(2000, 20);
  await bench.run(subject, lane, { load: { kind: "closed", connections: 16, requests: warmUp }, stream });
  await upstream.set({ ...longReply, delayMs });
  const meter = subject.process?.meter;
  const idleBytes = meter?.rssBytes() ?? Number.NaN;
  let peakBytes = idleBytes;
  let peakPssBytes = 0;
  let samples = 0;
  const sampling = setInterval(() => {
    peakBytes = Math.max(peakBytes, meter?.rssBytes() ?? Number.NaN);
    // The kernel walks all pages for it and holds the process up meanwhile.
    if (samples++ % 10 === 5) peakPssBytes = Math.max(peakPssBytes, meter?.pssBytes() ?? Number.NaN);
  }, 100);
  const result = await bench.run(subject, lane, { load: { kind: "burst", connections: count }, stream });
  clearInterval(sampling);
  peakBytes = Math.max(peakBytes, meter?.rssBytes() ?? Number.NaN);
  const counts = await upstream.counts();
  await subject.process?.stop();
  return { result, counts, idleBytes, peakBytes, peakPssBytes };
}

/** 1,000 streams at once through what `npm start` runs, which no limit of the HTTP client may send in waves. */
export function thousandStreams(lane: Lane): Scenario {
  const name = `${lane}-1000-streams`;
  return {
    name,
    async run(bench) {
      const count = bench.size(1000, 50);
      const delayMs = bench.size(2000, 100);
      const floor = await crowd(bench, lane, await bench.startFloor(lane), count, delayMs);
      const started = await bench.startGateway(lane, { command: ["npm", "start"] });
      const gateway = await crowd(bench, lane, started, count, delayMs);
      const kibibytesEach = ({ peakBytes, idleBytes }: Crowd) => (peakBytes - idleBytes) / 1024 / count;
      const values = (value: (crowd: Crowd) => number) => ({ floor: value(floor), gateway: value(gateway) });
      if (gateway.counts.peak < count) {
        bench.problems.push(
          `${name}: ${gateway.counts.peak} of ${count} streams reached the upstream together`,
        );
      }
      return [
        {
          scenario: name,
          measure: "at the upstream together",
          unit: "",
          values: values(({ counts }) => counts.peak),
          verdict: atLeast(gateway.counts.peak, count, "streams"),
        },
        {
          scenario: name,
          measure: "first text p99",
          unit: "ms",
          values: values(({ result }) => result.firstTextMs.p99),
          verdict: atMost(gateway.result.firstTextMs.p99, 2400, "ms"),
        },
        {
          scenario: name,
          measure: "memory each",
          unit: "KiB",
          values: values(kibibytesEach),
          verdict: atMost(kibibytesEach(gateway), 40, "KiB"),
        },
        {
          scenario: name,
          measure: "PSS at its highest",
          unit: "MiB",
          values: values(({ peakPssBytes }) => peakPssBytes / mebibyte),
        },
      ];
    },
  };
}

/** 10,000 streams at once, each with 10 s of silence. */
export const tenThousandStreams: Scenario = {
  name: "site-10000-streams",
  async run(bench) {
    // Each stream is two sockets of the gateway's.
    const possible = Math.floor((openFilesLimit() - 200) / 2);
    const count = Math.min(bench.size(10_000, 200), possible);
    const gateway = await bench.startGateway("site", { command: ["npm", "start"] });
    const { result, counts, peakBytes } = await crowd(bench, "site", gateway, count, bench.size(10_000, 100));
    const failed = Object.values(result.errors).reduce((total, each) => total + each, 0);
    const finished = result.requests - failed;
    return [
      {
        scenario: this.name,
        measure: `finished of ${count}`,
        unit: "",
        values: { gateway: finished },
        verdict: atLeast(finished, count, "streams"),
      },
      {
        scenario: this.name,
        measure: "at the upstream together",
        unit: "",
        values: { gateway: counts.peak },
        ...(count < possible ? {} : { note: `open files limit ${openFilesLimit()}` }),
      },
      {
        scenario: this.name,
        measure: "first text p99",
        unit: "ms",
        values: { gateway: result.firstTextMs.p99 },
      },
      {
        scenario: this.name,
        measure: "memory at its highest",
        unit: "MiB",
        values: { gateway: peakBytes / mebibyte },
        verdict: atMost(peakBytes / mebibyte, 500, "MiB"),
      },
    ];
  },
};

/** 2,000 streams at once, each with 5 s of silence, in which it has its headers, its role chunk and comment lines. */
export function silentStreams(lane: Lane): Scenario {
  const name = `${lane}-silent-streams`;
  return {
    name,
    async run(bench) {
      const possible = Math.floor((openFilesLimit() - 200) / 2);
      const count = Math.min(bench.size(2000, 50), possible);
      const settings = { STREAM_COMMIT_MS: "500", STREAM_KEEPALIVE_MS: "1000" };
      const gateway = await bench.startGateway(lane, { command: ["npm", "start"], settings });
      const { result, counts, peakBytes, idleBytes } = await crowd(
        bench,
        lane,
        gateway,
        count,
        bench.size(5000, 100),
      );
      if (counts.peak < count) {
        bench.problems.push(`${name}: ${counts.peak} of ${count} streams reached the upstream together`);
      }
      if (result.requests < count) {
        bench.problems.push(`${name}: ${result.requests} of ${count} streams finished`);
      }
      return [
        {
          scenario: name,
          measure: `finished of ${count}`,
          unit: "",
          values: { gateway: result.requests },
          verdict: atLeast(result.requests, count, "streams"),
          ...(count < possible ? {} : { note: `open files limit ${openFilesLimit()}` }),
        },
        {
          scenario: name,
          measure: "first text p99",
          unit: "ms",
          values: { gateway: result.firstTextMs.p99 },
        },
        {
          scenario: name,
          measure: "memory each",
          unit: "KiB",
          values: { gateway: (peakBytes - idleBytes) / 1024 / count },
        },
      ];
    },
  };
}
