/** The tables of docs/scale.md, from what `npm run scale` has measured and what hosts have published. */
import {
  gigabyteHours,
  keptAtOnce,
  recordBytes,
  secondsOfMonth,
  simulate,
  turnsASecond,
} from "./arithmetic.ts";
import { type Measured, typical } from "./measured.ts";
import { chunkChars } from "./upstream.ts";

type Rows = readonly (readonly string[])[];

/** Two digits that count: more would be a promise. */
const about = (value: number): string =>
  Number(value.toPrecision(2)).toLocaleString("en", { maximumFractionDigits: 1 });

const kilobytes = (bytes: number): string => `${about(bytes / 1000)} KB`;
const gigabytes = (bytes: number): string =>
  bytes < 1e9 ? `${about(bytes / 1e6)} MB` : `${about(bytes / 1e9)} GB`;
const dollars = (value: number): string => `$${value.toFixed(2)}`;

const gibibyte = 2 ** 30;
/** Of each conversation in Durable Objects, by Cloudflare: an empty database takes it. */
const emptyObjectBytes = 12_000;

/** A month of so many turns, in typical conversations whose answers take 20 s. */
const month = { turns: 1_000_000, conversations: 1_000_000 / typical.turns, secondsOfAnswer: 20 };

const bytesIn = (measured: Measured, store: string): number => measured.stores[store]?.bytes ?? Number.NaN;

const objectBytes = (measured: Measured): number => bytesIn(measured, "durable-object") + emptyObjectBytes;

export function turnRows(measured: Measured): Rows {
  const names = ["memory", "sqlite", "deno-kv", "redis", "redis-rest", "durable-object", "netlify-blobs"];
  return names.map((name) => {
    const cost = measured.stores[name];
    if (cost === undefined) throw new Error(`scripts/scale/measured.json has no store ${name}`);
    const { reads, writes, rowsRead, rowsWritten } = cost;
    const rows =
      rowsWritten === undefined ? "" : `; ${about(rowsRead ?? 0)} rows read, ${about(rowsWritten)} written`;
    const bytes =
      name === "memory"
        ? `${kilobytes(256 + 2 * recordBytes(measured.record, typical))} at most`
        : name === "durable-object"
          ? `${kilobytes(cost.bytes ?? 0)}, and 12 KB of the object itself`
          : kilobytes(cost.bytes ?? 0);
    return [`\`${name}\``, `${about(reads)} read, ${about(writes)} write${rows}`, bytes];
  });
}

export function timeRows({ micros, wire, record, streamKibibytes }: Measured): Rows {
  const { readBytes, writtenBytes } = simulate([typical], { record, wire });
  const milliseconds = (value: number) => `${(value / 1000).toFixed(2)} ms`;
  return [
    ["processor time of a turn, answered whole, with memory", milliseconds(micros.memory)],
    ["with SQLite, three processes on one file", milliseconds(micros.sqlite)],
    ["with Redis, three processes", milliseconds(micros.redis)],
    [
      `the same as a stream of ${typical.answerBytes / chunkChars} events`,
      milliseconds(micros.redisStreamed),
    ],
    ["Redis' processor time of a turn", milliseconds(micros.redisItself)],
    ["from Redis to the gateway in a turn, on average", kilobytes(readBytes / typical.turns)],
    ["from the gateway to Redis", kilobytes(writtenBytes / typical.turns)],
    [
      "a record: once, and each turn beside its texts",
      `${about(record.fixedBytes)} and ${about(record.turnBytes)} bytes`,
    ],
    ["memory of a waiting stream ([performance.md](performance.md))", `${about(streamKibibytes)} KiB`],
  ];
}

export function holdsRows(measured: Measured): Rows {
  const { micros } = measured;
  const [whole, streamed] = [turnsASecond(micros.redis), turnsASecond(micros.redisStreamed)];
  const redisTurns = turnsASecond(micros.redisItself);
  const streams = about(gibibyte / (measured.streamKibibytes * 1024));
  const held = (bytes: number, each: number) => about(bytes / each);
  const inMemory = held(2 ** 28, 256 + 2 * recordBytes(measured.record, typical));
  const objectRows = measured.stores["durable-object"]?.rowsWritten ?? Number.NaN;
  return [
    [
      "one process, `memory`",
      `${inMemory} in the 256 MiB of \`SESSION_CACHE_BYTES\`, but 1,024 until \`SESSION_CACHE_MAX\` is raised`,
      about(turnsASecond(micros.memory)),
      `${streams} in a GiB`,
      "the longest unused conversations are forgotten",
    ],
    [
      "one machine, `sqlite`",
      `${held(1e9, bytesIn(measured, "sqlite"))} in a GB of disk`,
      `${about(turnsASecond(micros.sqlite))} for each processor; one process writes at a time`,
      "the same for each",
      "the processor",
    ],
    [
      "N processes, one Redis",
      `${held(1e9, bytesIn(measured, "redis"))} in a GB of its memory; ${held(256e6, bytesIn(measured, "redis"))} in the compose file's 256 MB`,
      `N times ${about(whole)}, or ${about(streamed)} streamed; up to ${about(redisTurns)}: N = ${Math.ceil(redisTurns / whole)}`,
      "N times as many",
      "Redis' memory: with the compose file's policy the longest unused go, with `noeviction` new turns are not kept; then its one thread",
    ],
    [
      "N processes, a Redis Cluster of M masters",
      "M times as many",
      `up to M times ${about(redisTurns)}: a command touches one key`,
      "N times as many",
      "as above; not measured",
    ],
    [
      "Workers, Durable Objects",
      `${held(5e9, objectBytes(measured))} in the free plan's 5 GB`,
      `free plan: ${about(100_000 / objectRows)} turns a day, as ${about(objectRows)} rows of 100,000 are written in each`,
      "no limit is documented",
      "the free plan's rows; with a paid one nothing that was found",
    ],
    [
      "Vercel, Upstash",
      `${held(1e9, bytesIn(measured, "redis-rest"))} in a GB of the database`,
      "by instances, which Vercel starts as they are needed",
      "500 in an instance, by its 1,024 file descriptors; 30,000 in all",
      "the database's plan; the cost of waiting",
    ],
    [
      "Deno Deploy, Deno KV",
      "as the plan's gigabytes",
      "no limit is documented",
      "as the instance's memory",
      "not tried",
    ],
  ];
}

export function millionRows(measured: Measured): Rows {
  const { turns, conversations, secondsOfAnswer } = month;
  const { readBytes, writtenBytes } = simulate([typical], measured);
  const traffic = (conversations * (readBytes + writtenBytes)) / 1e9;
  const minutes = (micros: number) => about((turns * micros) / 60e6);
  const objectRequests = 2 * turns + conversations;
  const workers = 5 + ((objectRequests - 1e6) / 1e6) * 0.15;
  const secondsOfObject = 400_000 / 0.128 / objectRequests;
  const upstash = (2 * turns * 0.2) / 100_000;
  const upstashMonth = (conversations * bytesIn(measured, "redis-rest")) / 1e9;
  const vercel = gigabyteHours(turns, secondsOfAnswer, 2);
  const netlify = gigabyteHours(turns, secondsOfAnswer, 1);
  const credits = netlify * 5 + (turns / 10_000) * 2;
  return [
    [
      "a machine of your own, Redis",
      `${minutes(measured.micros.redis)} to ${minutes(measured.micros.redisStreamed)} minutes of processor time; 2 million commands, ${about(traffic)} GB between them and Redis`,
      "the smallest machine does",
    ],
    [
      "Upstash, from anywhere",
      `2 million commands; ${about(upstashMonth)} GB if kept for a month`,
      `$0.20 for 100,000 commands: ${dollars(upstash)}; $0.25 a GB after the first. Whether a script's own commands count was not found out: then ${dollars(2 * upstash)}`,
    ],
    [
      "Workers, Durable Objects",
      `1 million requests; ${about(objectRequests / 1e6)} million of objects, alarms among them; ${about((turns * (measured.stores["durable-object"]?.rowsWritten ?? 0)) / 1e6)} million rows written; ${about((conversations * objectBytes(measured)) / 1e9)} GB if kept for a month`,
      `$5 includes 10 million requests, 1 million of objects (then $0.15 a million), 50 million rows, 5 GB: ${dollars(workers)}, as long as a call keeps its object busy for less than ${about(secondsOfObject)} s (400,000 GB-s)`,
    ],
    [
      "Vercel, Upstash",
      `1 million invocations; ${about(vercel)} GB-hours with 2 GB and an answer at a time, a tenth of it with ten`,
      "1 million invocations and 1,440 GB-hours are in the Pro plan; more depends on the region. Upstash as above",
    ],
    [
      "Netlify, Blobs",
      `1 million requests; ${about(netlify)} GB-hours with 1 GB; 2 million requests to Blobs, and 1 to 10 more in each fiftieth turn`,
      `2 credits for 10,000 requests, 5 a GB-hour: ${about(credits)} credits (rates of its Enterprise plan); Pro has 5,000, then $20 for 1,000. No meter for Blobs is documented`,
    ],
    [
      "Deno Deploy, Deno KV",
      `1 million requests; 1 million reads of ${kilobytes(readBytes / typical.turns)}, 1 million writes of ${kilobytes(writtenBytes / typical.turns)}; ${minutes(measured.micros.redisStreamed)} minutes of processor time`,
      "its prices were not at hand",
    ],
  ];
}

export function keptRows(measured: Measured): Rows {
  const { turns, conversations } = month;
  const redis = bytesIn(measured, "redis");
  const kept = (begun: number, seconds: number, bytes: number) => {
    const count = keptAtOnce(begun, seconds);
    return [about(count), gigabytes(count * bytes)];
  };
  const response = measured.responseBytes * (redis / recordBytes(measured.record, typical));
  return [
    ["conversations, `SESSION_CACHE_TTL=3600`", ...kept(conversations, 3600, redis)],
    ["conversations, kept for 30 days", ...kept(conversations, secondsOfMonth, redis)],
    ["answers of the Responses API, `RESPONSES_TTL=3600`", ...kept(turns, 3600, response)],
    ["answers of the Responses API, 30 days as by default", ...kept(turns, secondsOfMonth, response)],
  ];
}

export const measuredWhere = ({ date, machine, load }: Measured): string =>
  `\nMeasured on ${date}: ${machine}; load average before it began: ${load}.\n`;
