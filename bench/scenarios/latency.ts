import { type Lane, longReply, type Measured, shortReply } from "../bench.ts";
import { addedAtMost, compare, difference, medians, type Scenario } from "./scenario.ts";

/** One stream at a time: how much later the first text comes than from the floor. */
export function firstChunk(lane: Lane): Scenario {
  const name = `${lane}-first-chunk`;
  return {
    name,
    async run(bench) {
      await bench.upstreams[lane].set(longReply);
      const samples = await bench.interleave(await bench.subjects(lane), (subject) =>
        bench.run(subject, lane, {
          load: { kind: "closed", connections: 1, requests: bench.size(500, 10) },
          stream: true,
        }),
      );
      const value = (sample: Measured) => sample.firstTextMs.p50;
      return [
        {
          scenario: name,
          measure: "first text, one at a time",
          unit: "ms",
          values: medians(samples, value),
          verdict: addedAtMost(compare(samples, ["floor", "gateway"], value, difference), 0.3),
        },
      ];
    },
  };
}

/** 100 requests a second, sent on time whether or not earlier ones were answered. */
export function openLoop(lane: Lane): Scenario {
  const name = `${lane}-open-loop`;
  return {
    name,
    async run(bench) {
      await bench.upstreams[lane].set(shortReply);
      const samples = await bench.interleave(await bench.subjects(lane), (subject) =>
        bench.run(subject, lane, {
          load: { kind: "open", ratePerSecond: 100, durationMs: bench.size(2000, 200) },
          stream: false,
        }),
      );
      const row = (percentile: "p50" | "p99", budget: number) => {
        const value = (sample: Measured) => sample.latencyMs[percentile];
        return {
          scenario: name,
          measure: `latency ${percentile} at 100 requests/s`,
          unit: "ms",
          values: medians(samples, value),
          verdict: addedAtMost(compare(samples, ["floor", "gateway"], value, difference), budget),
        };
      };
      return [row("p50", 0.3), row("p99", 1.5)];
    },
  };
}

/** An upstream that sends 100 events 10 ms apart: each must be passed on at once, neither held back nor gathered. */
export const chunkGaps: Scenario = {
  name: "openai-chunk-gaps",
  async run(bench) {
    const { openai } = bench.upstreams;
    await openai.set({ ...longReply, gapMs: 10, chunks: bench.size(100, 10) });
    const direct = { name: "direct", origin: openai.origin } as const;
    const subjects = [direct, ...(await bench.subjects("openai"))];
    const samples = await bench.interleave(subjects, (subject) =>
      bench.run(subject, "openai", {
        load: { kind: "closed", connections: 8, requests: 8 },
        stream: true,
        timeReads: true,
      }),
    );
    const gap = (sample: Measured) => sample.gapMs.p99;
    const gathered = (sample: Measured) => sample.gathered * 100;
    return [
      {
        scenario: this.name,
        measure: "gap between chunks p99",
        unit: "ms",
        values: medians(samples, gap),
        verdict: addedAtMost(compare(samples, ["direct", "gateway"], gap, difference), 2),
      },
      {
        scenario: this.name,
        measure: "reads with more than one event",
        unit: "%",
        values: medians(samples, gathered),
        verdict: addedAtMost(compare(samples, ["direct", "gateway"], gathered, difference), 5, "%"),
      },
    ];
  },
};
