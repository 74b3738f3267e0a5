import type { Job, LoadResult } from "./jobs.ts";

const script = `${import.meta.dir}/wrk.lua`;
const none = { p50: 0, p99: 0, max: 0 };

/** Whether wrk can be used; Debian and Ubuntu have it as a package. */
export function hasWrk(): boolean {
  return Bun.which("wrk") !== null;
}

/** Runs a closed loop of plain requests by wrk, which costs a fraction of what a generator in JavaScript does. */
export async function runWrk(job: Job, prefix: readonly string[]): Promise<LoadResult> {
  if (job.load.kind !== "closed" || !("durationMs" in job.load))
    throw new Error("wrk runs closed loops only");
  const seconds = Math.max(1, Math.round(job.load.durationMs / 1000));
  const wrk = Bun.spawn(
    [...prefix, "wrk", "-t1", `-c${job.load.connections}`, `-d${seconds}s`, "-s", script, job.url],
    {
      env: { ...process.env, WRK_BODY: job.body, WRK_AUTHORIZATION: job.headers.authorization ?? "" },
      stderr: "inherit",
    },
  );
  const output = await new Response(wrk.stdout).text();
  const line = output.trim().split("\n").at(-1) ?? "";
  if ((await wrk.exited) !== 0 || !line.startsWith("{")) throw new Error(`wrk failed: ${output}`);
  const { requests, durationMs, p50, p99, max, ...failures } = JSON.parse(line) as Record<string, number> & {
    requests: number;
    durationMs: number;
    p50: number;
    p99: number;
    max: number;
  };
  return {
    requests,
    durationMs,
    requestsPerSecond: (requests * 1000) / durationMs,
    latencyMs: { p50, p99, max },
    firstTextMs: none,
    gapMs: none,
    gathered: 0,
    checked: 0,
    errors: Object.fromEntries(Object.entries(failures).filter(([, count]) => count > 0)),
  };
}
