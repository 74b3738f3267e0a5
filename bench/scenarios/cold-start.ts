import { apiKey, requestBody, shortReply } from "../bench.ts";
import { type FirstRequest, projectFolder } from "../processes.ts";
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

/** The server of the Docker image: one file, compiled ahead. */
const compiled = ["sh", "-c", "bun dist/server/bun.js"];

/** From the start of a process to its first answer: as `npm start` starts it from sources, and as an image does. */
export const coldStart: Scenario = {
  name: "cold-start",
  async run(bench) {
    await bench.upstreams.site.set(shortReply);
    await Bun.$`bun scripts/build.ts server`.cwd(projectFolder).quiet();
    const rows: Row[] = [];
    for (const [measure, firstRequest] of Object.entries(firsts)) {
      const times = { floor: [] as number[], sources: [] as number[], compiled: [] as number[] };
      const settings = { BUN_CONFIG_MAX_HTTP_REQUESTS: "65000" };
      for (let round = 0; round < bench.size(11, 1); round++) {
        for (const [name, start] of [
          ["floor", () => bench.startFloor("site", { firstRequest })],
          ["sources", () => bench.startGateway("site", { firstRequest })],
          ["compiled", () => bench.startGateway("site", { firstRequest, command: compiled, settings })],
        ] as const) {
          const { process } = await start();
          times[name].push(process.firstAnswerMs);
          await process.stop();
        }
      }
      for (const [name, what] of [
        ["sources", ""],
        ["compiled", ", compiled"],
      ] as const) {
        const values = { floor: median(times.floor), gateway: median(times[name]) };
        const share = values.gateway / values.floor;
        rows.push({
          scenario: this.name,
          measure: `start to ${measure}${what}`,
          unit: "ms",
          values,
          ...(measure === "first answer" ? { verdict: atMost(share, 3) } : { note: `${share.toFixed(2)} ×` }),
        });
      }
    }
    return rows;
  },
};

/** Imports the single file and has it answer once; prints the processor time that this took, in microseconds. */
const importAndAnswer = `
  const before = process.cpuUsage();
  const { default: gateway } = await import(process.argv[1]);
  const response = await gateway.fetch(new Request("http://127.0.0.1/health"), {});
  if (!response.ok) throw new Error(await response.text());
  const { user, system } = process.cpuUsage(before);
  console.log(user + system);`;

/** What a cold start of a function costs beside that of Node itself: dist/handler.js to its first answer. */
export const singleFileStart: Scenario = {
  name: "single-file-start",
  async run(bench) {
    await Bun.$`bun scripts/build.ts single-file`.cwd(projectFolder).quiet();
    const file = `${projectFolder}/dist/handler.js`;
    const env = { PATH: process.env.PATH, LOG_LEVEL: "silent", API_MASTER_KEY: apiKey };
    const times: number[] = [];
    for (let round = 0; round < bench.size(11, 1); round++) {
      const output = await Bun.$`node --input-type=module -e ${importAndAnswer} ${file}`.env(env).text();
      times.push(Number(output) / 1000);
    }
    const cpuMs = median(times);
    return [
      {
        scenario: this.name,
        measure: "dist/handler.js imported and first answer given, on Node: processor time",
        unit: "ms",
        values: { gateway: cpuMs },
        verdict: atMost(cpuMs, 60, "ms"),
      },
    ];
  },
};
