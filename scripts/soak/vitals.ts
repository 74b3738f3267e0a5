/** What a gateway must have given back when its clients are gone: memory, sockets, places at the upstream. */
import { readdirSync, readlinkSync } from "node:fs";
import { meterProcess } from "../../bench/process-meter.ts";

export interface Vitals {
  readonly rssBytes: number;
  readonly sockets: number;
  readonly otherFiles: number;
}

/** Resident memory and open files, from Linux's /proc; NaN elsewhere. */
export function vitalsOf(pid: number): Vitals {
  const links: string[] = [];
  try {
    for (const fd of readdirSync(`/proc/${pid}/fd`)) {
      try {
        links.push(readlinkSync(`/proc/${pid}/fd/${fd}`));
      } catch {
        // Closed meanwhile.
      }
    }
  } catch {
    return { rssBytes: Number.NaN, sockets: Number.NaN, otherFiles: Number.NaN };
  }
  const sockets = links.filter((link) => link.startsWith("socket:")).length;
  const rssBytes = meterProcess(pid).rssBytes() ?? Number.NaN;
  return { rssBytes, sockets, otherFiles: links.length - sockets };
}

export interface Metrics {
  /** The sum of a metric's samples whose labels include all of these. */
  sum(name: string, ...labels: string[]): number;
}

export async function readMetrics(origin: string, apiKey: string): Promise<Metrics> {
  const response = await fetch(`${origin}/metrics`, { headers: { authorization: `Bearer ${apiKey}` } });
  const lines = (await response.text()).split("\n");
  return {
    sum: (name, ...labels) =>
      lines
        .filter((line) => line.startsWith(`${name}{`) && labels.every((label) => line.includes(label)))
        .reduce((total, line) => total + Number(line.slice(line.lastIndexOf(" ") + 1)), 0),
  };
}
