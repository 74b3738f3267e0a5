import { shortReply } from "../bench.ts";
import type { Scenario } from "./scenario.ts";

const minutes = 10;

/** That neither speed nor memory changes with uptime: minute 1 and minute 10 of a steady load. */
export const uptime: Scenario = {
  name: "uptime",
  onlyByName: true,
  async run(bench) {
    await bench.upstreams.site.set(shortReply);
    const gateway = await bench.startGateway("site");
    const cpuEach: number[] = [];
    const mebibytes: number[] = [];
    for (let minute = 0; minute < minutes; minute++) {
      const load = { kind: "open", ratePerSecond: 1000, durationMs: bench.size(60_000, 100) } as const;
      const { cpuMicrosEach } = await bench.run(gateway, "site", { load, stream: false });
      cpuEach.push(cpuMicrosEach ?? Number.NaN);
      mebibytes.push((gateway.process.meter.rssBytes() ?? Number.NaN) / 2 ** 20);
    }
    await gateway.process.stop();
    const row = (measure: string, unit: string, samples: readonly number[]) => ({
      scenario: this.name,
      measure: `${measure} in minute ${minutes} (floor: minute 1)`,
      unit,
      values: { floor: samples[0] ?? Number.NaN, gateway: samples.at(-1) ?? Number.NaN },
    });
    return [row("processor time each", "µs", cpuEach), row("memory", "MiB", mebibytes)];
  },
};
