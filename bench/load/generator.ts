/**
 * The load generator, a process of its own: it takes jobs over IPC, one at a time, and sends back what it saw.
 * Staying alive between jobs keeps it compiled and warm.
 */

import { percentiles } from "../statistics.ts";
import { type Answer, connect, type HttpConnection } from "./http-connection.ts";
import type { Job, LoadResult } from "./jobs.ts";
import { requestBytes } from "./request-bytes.ts";

/** Connections are opened so many at a time, lest the kernel's listen queue overflows and drops some for a second. */
const connectBatch = 64;

/** Returns what gives the bytes of the request with a given number. */
function requests({ url, headers, body, rotate }: Job): (number: number) => Uint8Array {
  const { host, pathname: path } = new URL(url);
  if (rotate) {
    const { header, prefix, count, bodies = [body] } = rotate;
    return (number) =>
      requestBytes(host, {
        path,
        headers: { ...headers, [header]: `${prefix}-${number % count}` },
        body: bodies[Math.floor(number / count) % bodies.length],
      });
  }
  const bytes = requestBytes(host, { path, headers, body });
  return () => bytes;
}

/** The ends of streams: of Chat Completions, of Messages, and of Responses. */
const streamEnds = ["data: [DONE]\n\n", 'data: {"type":"message_stop"}\n\n', '"metadata":{}}}\n\n'];

const hasEnded = (stream: string): boolean => streamEnds.some((end) => stream.endsWith(end));

/** The reply's text, put together from the events of a stream or out of the one object. */
function textOf(body: string, stream: boolean): string {
  if (!stream) return JSON.parse(body).choices[0].message.content;
  if (!hasEnded(body)) throw new Error("the stream has no end");
  const events = [...body.matchAll(/^data: (\{.*)$/gm)].map(([, json = ""]) => JSON.parse(json));
  return events
    .map(
      ({ choices, delta }) =>
        choices?.[0]?.delta.content ?? (typeof delta === "string" ? delta : (delta?.text ?? "")),
    )
    .join("");
}

async function run(job: Job): Promise<LoadResult> {
  const { hostname, port } = new URL(job.url);
  const open = () => connect(hostname, Number(port));
  const bytesOf = requests(job);
  const answers: Answer[] = [];
  const errors: Record<string, number> = {};
  let sent = 0;
  let checked = 0;

  function complain(message: string): void {
    errors[message] = (errors[message] ?? 0) + 1;
  }

  function check(answer: Answer): void {
    checked++;
    try {
      const text = textOf(Buffer.from(answer.body, "latin1").toString(), job.stream);
      if (text !== job.expectedText) complain(`wrong reply of ${text.length} characters`);
    } catch (error) {
      complain(`unreadable answer: ${(error as Error).message}`);
    }
  }

  /** Returns false when the connection is of no more use. */
  async function send(connection: HttpConnection): Promise<boolean> {
    const number = sent++;
    const keepBody = number % job.checkEvery === 0;
    try {
      const answer = await connection.request(bytesOf(number), {
        keepBody,
        timeReads: job.timeReads ?? false,
      });
      if (answer.status !== 200) complain(`status ${answer.status}`);
      else if (keepBody) check(answer);
      else if (job.stream && !hasEnded(answer.ending)) complain("the stream has no end");
      // The body is checked, the rest of the answer is a few numbers.
      answers.push(keepBody ? { ...answer, body: "" } : answer);
      return true;
    } catch (error) {
      complain((error as Error).message);
      return false;
    }
  }

  async function openMany(connections: number): Promise<HttpConnection[]> {
    const opened: HttpConnection[] = [];
    while (opened.length < connections) {
      const batch = Math.min(connectBatch, connections - opened.length);
      opened.push(...(await Promise.all(Array.from({ length: batch }, open))));
    }
    return opened;
  }

  let startedAt = performance.now();
  const { load } = job;
  if (load.kind === "burst") {
    const connections = await openMany(load.connections);
    startedAt = performance.now();
    await Promise.all(connections.map(send));
    for (const connection of connections) connection.close();
  } else if (load.kind === "closed") {
    const connections = await openMany(load.connections);
    startedAt = performance.now();
    const goesOn = () =>
      "requests" in load ? sent < load.requests : performance.now() - startedAt < load.durationMs;
    const worker = async (first: HttpConnection) => {
      let connection = first;
      while (goesOn()) {
        if (!(await send(connection))) {
          connection = await open();
          await Bun.sleep(1);
        }
      }
      connection.close();
    };
    await Promise.all(connections.map(worker));
  } else {
    const idle = await openMany(8);
    startedAt = performance.now();
    const running: Promise<void>[] = [];
    const total = Math.round((load.ratePerSecond * load.durationMs) / 1000);
    const one = async () => {
      let connection = idle.pop();
      while (connection?.isOpen === false) connection = idle.pop();
      connection ??= await open();
      if (await send(connection)) idle.push(connection);
    };
    for (let index = 0; index < total; index++) {
      const waitMs = startedAt + (index * 1000) / load.ratePerSecond - performance.now();
      if (waitMs > 0) await Bun.sleep(waitMs);
      running.push(one());
    }
    await Promise.all(running);
    for (const connection of idle) connection.close();
  }

  const durationMs = performance.now() - startedAt;
  const reads = answers.flatMap((answer) => answer.eventsPerRead);
  return {
    requests: answers.length,
    durationMs,
    requestsPerSecond: (answers.length * 1000) / durationMs,
    latencyMs: percentiles(answers.map((answer) => answer.totalMs)),
    firstTextMs: percentiles(answers.map((answer) => answer.firstTextMs)),
    gapMs: percentiles(answers.flatMap((answer) => answer.gapsMs)),
    gathered: reads.length > 0 ? reads.filter((events) => events > 1).length / reads.length : 0,
    checked,
    errors,
  };
}

process.on("message", async (job: Job) => {
  try {
    process.send?.({ result: await run(job) });
  } catch (error) {
    process.send?.({ error: (error as Error).message });
  }
});
process.send?.({ ready: true });
