import { apiKey, requestBody, shortReply } from "../bench.ts";
import type { FirstRequest } from "../processes.ts";
import type { Row } from "../report.ts";
import { median } from "../statistics.ts";
import { atMost, type Scenario } from "./scenario.ts";

const firsts: Readonly<Record<string, FirstRequest>> = {
  "first answer": { path: "/health" },
  // The gateway has to fetch the site's page for it.
  "first completion": {
    path: "/v1/chat/completions",
    headers: { authorization: `Bearer ${apiKey}` },
    body: requestBody("site", false),
  },
};

/** From the start of a process to its first answer, as `npm start` starts it. */
export const coldStart: Scenario = {
  name: "cold-start",
  async run(bench) {
    await bench.upstreams.site.set(shortReply);
    const rows: Row[] = [];
    for (const [measure, firstRequest] of Object.entries(firsts)) {
      const times = { floor: [] as number[], gateway: [] as number[] };
      for (let round = 0; round < bench.size(11, 1); round++) {
        for (const [name, start] of [
          ["floor", bench.startFloor],
          ["gateway", bench.startGateway],
        ] as const) {
          const { process } = await start("site", { firstRequest });
          times[name].push(process.firstAnswerMs);
          await process.stop();
        }
      }
      const values = { floor: median(times.floor), gateway: median(times.gateway) };
      const share = values.gateway / values.floor;
      rows.push({
        scenario: this.name,
        measure: `start to ${measure}`,
        unit: "ms",
        values,
        ...(measure === "first answer" ? { verdict: atMost(share, 3) } : { note: `${share.toFixed(2)} ×` }),
      });
    }
    return rows;
  },
};
