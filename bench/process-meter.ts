/** CPU time and memory of a process and its descendants, from Linux's /proc; elsewhere everything is unknown. */
import { readdirSync, readFileSync } from "node:fs";

export interface ProcessMeter {
  /** Microseconds of processor time so far; undefined where it can't be told. */
  cpuMicros(): number | undefined;
  /** Resident bytes now. */
  rssBytes(): number | undefined;
  /** Resident bytes with shared pages divided among those who share them. Slower to read than RSS. */
  pssBytes(): number | undefined;
}

const pageBytes = 4096;
/** USER_HZ, which is 100 on every Linux that Bun runs on. */
const microsPerTick = 10_000;

function readProc(path: string): string | undefined {
  try {
    return readFileSync(`/proc/${path}`, "utf8");
  } catch {
    return undefined;
  }
}

/** A process and all its descendants, parents first. */
export function processFamily(pid: number): number[] {
  const found = [pid];
  for (const parent of found) {
    let threads: string[] = [];
    try {
      threads = readdirSync(`/proc/${parent}/task`);
    } catch {}
    for (const thread of threads) {
      const children = readProc(`${parent}/task/${thread}/children`)?.trim();
      if (children) found.push(...children.split(" ").map(Number));
    }
  }
  return found;
}

/** What only starts the server, and then waits for it, does not count as the server's memory. */
function isLauncher(pid: number): boolean {
  return /^(npm|sh|dash|bash)\b/.test(readProc(`${pid}/comm`) ?? "");
}

export function meterProcess(pid: number): ProcessMeter {
  const sum = (pids: readonly number[], measure: (pid: number) => number | undefined) => {
    const measured = pids.map(measure).filter((value) => value !== undefined);
    return measured.length > 0 ? measured.reduce((total, value) => total + value, 0) : undefined;
  };
  const memory = (measure: (pid: number) => number | undefined) =>
    sum(
      processFamily(pid).filter((each) => !isLauncher(each)),
      measure,
    );
  return {
    cpuMicros: () =>
      sum(processFamily(pid), (each) => {
        // The second field, the program's name, may hold blanks; it ends with the last parenthesis.
        const fields = readProc(`${each}/stat`)?.split(") ").at(-1)?.split(" ");
        return fields && (Number(fields[11]) + Number(fields[12])) * microsPerTick;
      }),
    rssBytes: () =>
      memory((each) => {
        const resident = readProc(`${each}/statm`)?.split(" ")[1];
        return resident === undefined ? undefined : Number(resident) * pageBytes;
      }),
    pssBytes: () =>
      memory((each) => {
        const kilobytes = readProc(`${each}/smaps_rollup`)?.match(/^Pss:\s+(\d+)/m)?.[1];
        return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
      }),
  };
}

/** The most files this process and those it starts may hold open. */
export function openFilesLimit(): number {
  const limit = readProc("self/limits")?.match(/^Max open files\s+(\d+)/m)?.[1];
  return limit === undefined ? 1024 : Number(limit);
}
