import { type Lane, longReply, type Measured, shortReply } from "../bench.ts";
import { atLeast, compare, medians, ratio, type Scenario, warmUpSeconds } from "./scenario.ts";

interface Work {
  readonly name: string;
  readonly lane: Lane;
  readonly stream: boolean;
  readonly connections: number;
  /** The least share of the floor's requests a second. */
  readonly least: number;
}

/** Requests a second in a closed loop, and what each costs the process that answers. */
export function throughput({ name, lane, stream, connections, least }: Work): Scenario {
  return {
    name,
    async run(bench) {
      await bench.upstreams[lane].set(stream ? longReply : shortReply);
      const subjects = await bench.subjects(lane);
      // wrk can't tell a wrong reply from a right one, so some answers are read first.
      for (const subject of subjects) {
        await bench.run(subject, lane, {
          load: { kind: "closed", connections, requests: 2 * connections },
          stream,
        });
      }
      const durationMs = bench.size(1000, 200);
      const samples = await bench.interleave(
        subjects,
        (subject) =>
          bench.run(subject, lane, {
            load: { kind: "closed", connections, durationMs },
            stream,
            plain: !stream,
          }),
        { warmUps: warmUpSeconds },
      );
      const rate = (sample: Measured) => sample.requestsPerSecond;
      const cpu = (sample: Measured) => sample.cpuMicrosEach ?? Number.NaN;
      const what = stream ? "streams a second" : "requests a second";
      const cpuRatio = compare(samples, ["floor", "gateway"], cpu, ratio);
      return [
        {
          scenario: name,
          measure: what,
          unit: "",
          values: medians(samples, rate),
          verdict: atLeast(compare(samples, ["floor", "gateway"], rate, ratio), least),
        },
        {
          scenario: name,
          measure: "processor time each",
          unit: "µs",
          values: medians(samples, cpu),
          note: `${cpuRatio.toFixed(2)} ×`,
        },
        {
          scenario: name,
          measure: "latency p99",
          unit: "ms",
          values: medians(samples, (sample) => sample.latencyMs.p99),
        },
      ];
    },
  };
}
