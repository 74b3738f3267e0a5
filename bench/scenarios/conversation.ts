import { apiKey, type Bench, type FreshSubject, type Measured, requestBody } from "../bench.ts";
import type { Row } from "../report.ts";
import { median } from "../statistics.ts";
import { replyText } from "../upstreams/control.ts";
import { atLeast, atMost, type Scenario } from "./scenario.ts";

/** Short, so that ten turns fit the site's prompt and the store is what is measured. */
const briefReply = { delayMs: 0, gapMs: 0, chunks: 1, chunkChars: 20 };
const turns = 10;
const mebibyte = 2 ** 20;

interface Turns {
  readonly prefix: string;
  readonly conversations: number;
  readonly requests: number;
  readonly connections: number;
  /** X-Session-Id unless the same work is wanted without a conversation. */
  readonly header?: string;
  readonly bodies?: readonly string[];
}

/** What a client sends that keeps its history itself. */
const toldBodies = Array.from({ length: turns }, (_, before) =>
  requestBody("site", false, before, replyText(briefReply.chunks * briefReply.chunkChars)),
);

function converse(bench: Bench, gateway: FreshSubject, work: Turns): Promise<Measured> {
  const { header = "x-session-id", bodies, prefix, conversations: count, requests, connections } = work;
  return bench.run(gateway, "site", {
    load: { kind: "closed", connections, requests },
    stream: false,
    rotate: { header, prefix, count, ...(bodies && { bodies }) },
  });
}

/** Proves that the gateway remembers, without which every number here would flatter it. */
async function expectMemory(bench: Bench, gateway: FreshSubject, key: string): Promise<void> {
  const answer = await fetch(`${gateway.origin}/v1/session`, {
    headers: { authorization: `Bearer ${apiKey}`, "x-session-id": key },
  });
  const { messages = [] } = answer.ok ? ((await answer.json()) as { messages?: unknown[] }) : {};
  if (messages.length < 2)
    bench.problems.push(`conversation: nothing is remembered (status ${answer.status})`);
}

async function startRemembering(bench: Bench, conversations: number): Promise<FreshSubject> {
  await bench.upstreams.site.set(briefReply);
  return bench.startGateway("site", { settings: { SESSION_CACHE_MAX: String(conversations) } });
}

/** Turns with the memory store against stateless requests, on one gateway; then what 10,000 conversations take. */
export const conversation: Scenario = {
  name: "conversation",
  async run(bench) {
    const stored = bench.size(10_000, 20);
    const rounds = bench.size(bench.options.rounds, 1);
    const gateway = await startRemembering(bench, stored);
    const requests = bench.size(10_000, 160);
    const stateless: Measured[] = [];
    const told: Measured[] = [];
    const kept: Measured[] = [];
    const connections = 16;
    for (let round = -1; round < rounds; round++) {
      const work = { prefix: `round${round}`, conversations: requests / turns, requests, connections };
      const without = await converse(bench, gateway, { ...work, header: "x-sessionless" });
      const withHistory = await converse(bench, gateway, {
        ...work,
        header: "x-sessionless",
        bodies: toldBodies,
      });
      const within = await converse(bench, gateway, work);
      if (round < 0) continue;
      stateless.push(without);
      told.push(withHistory);
      kept.push(within);
    }
    await expectMemory(bench, gateway, `round${rounds - 1}-1`);

    // The rounds have left as many behind as the store holds, so a second gateway shows what they take.
    await gateway.process.stop();
    const fresh = await startRemembering(bench, stored);
    const filling = { conversations: stored, requests: stored * turns, connections };
    await converse(bench, fresh, { ...filling, prefix: "none", header: "x-sessionless" });
    const beforeBytes = fresh.process.meter.rssBytes() ?? Number.NaN;
    await converse(bench, fresh, { ...filling, prefix: "kept" });
    const grownMebibytes = ((fresh.process.meter.rssBytes() ?? Number.NaN) - beforeBytes) / mebibyte;
    await fresh.process.stop();

    const rate = ({ requestsPerSecond }: Measured) => requestsPerSecond;
    const cpuMicros = ({ cpuMicrosEach = Number.NaN }: Measured) => cpuMicrosEach;
    const beside = (others: readonly Measured[], value: (sample: Measured) => number) => ({
      floor: median(others.map(value)),
      gateway: median(kept.map(value)),
    });
    const share = (others: readonly Measured[]) =>
      median(kept.map((each, round) => rate(each) / rate(others[round] ?? each)));
    return [
      {
        scenario: this.name,
        measure: "turns a second (floor: stateless)",
        unit: "",
        values: beside(stateless, rate),
        verdict: atLeast(share(stateless), 0.6),
      },
      {
        scenario: this.name,
        measure: "turns a second (floor: stateless, the history sent along)",
        unit: "",
        values: beside(told, rate),
        note: `${share(told).toFixed(2)} ×`,
      },
      {
        scenario: this.name,
        measure: "processor time of a turn (floor: stateless)",
        unit: "µs",
        values: beside(stateless, cpuMicros),
      },
      {
        scenario: this.name,
        measure: "processor time of a turn (floor: stateless, the history sent along)",
        unit: "µs",
        values: beside(told, cpuMicros),
      },
      {
        scenario: this.name,
        measure: `growth by ${stored} conversations of ${turns} turns`,
        unit: "MiB",
        values: { gateway: grownMebibytes },
        verdict: atMost(grownMebibytes, 100, "MiB"),
      },
    ];
  },
};

/** That a turn costs the same with many conversations stored, and with a long one behind it. */
export const growth: Scenario = {
  name: "conversation-growth",
  async run(bench) {
    const stored = bench.size(10_000, 50);
    const long = bench.size(1000, 20);
    const requests = bench.size(500, 20);
    const rounds = bench.size(bench.options.rounds, 1);
    const empty = await startRemembering(bench, stored);
    const full = await startRemembering(bench, stored);
    const short = { conversations: requests / turns, requests, connections: 1 };
    const longWork = { prefix: "long", conversations: 1, connections: 1 };
    const turnMs = async (gateway: FreshSubject, work: Turns) =>
      (await converse(bench, gateway, work)).latencyMs.p50;

    await converse(bench, full, {
      prefix: "stored",
      conversations: stored,
      requests: stored,
      connections: 16,
    });
    await converse(bench, full, { ...longWork, requests: long });
    const fewMs: number[] = [];
    const manyMs: number[] = [];
    const longMs: number[] = [];
    for (let round = -1; round < rounds; round++) {
      const prefix = `round${round}`;
      const few = await turnMs(empty, { ...short, prefix });
      const many = await turnMs(full, { ...short, prefix });
      const after = await turnMs(full, { ...longWork, requests: bench.size(50, 10) });
      if (round < 0) continue;
      fewMs.push(few);
      manyMs.push(many);
      longMs.push(after);
    }
    await expectMemory(bench, full, "long-0");
    await Promise.all([empty.process.stop(), full.process.stop()]);
    const row = (measure: string, milliseconds: readonly number[]): Row => ({
      scenario: this.name,
      measure,
      unit: "ms",
      values: { floor: median(fewMs), gateway: median(milliseconds) },
      note: `${median(milliseconds.map((each, round) => each / (fewMs[round] ?? 0))).toFixed(2)} ×`,
    });
    return [
      row(`turn with ${stored} stored (floor: few)`, manyMs),
      row(`turn after ${long} (floor: after up to ${turns})`, longMs),
    ];
  },
};
