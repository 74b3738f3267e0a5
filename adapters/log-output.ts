/** Where the servers of Bun, Deno and Node write their log: standard output. */
import process from "node:process";
import type { LoggerOptions } from "../core/log.ts";

/**
 * Writes what was logged in one turn of the event loop at once: a write costs more than the line, twice over in Deno
 * and Node. The end of the process, a crash included, writes what is left; only a death by force can lose that turn.
 */
export function logOutput(): Pick<LoggerOptions, "write" | "pretty"> {
  let lines: string[] = [];
  const flush = () => {
    if (lines.length === 0) return;
    const text = lines.join("\n");
    lines = [];
    console.log(text);
  };
  process.on("exit", flush);
  process.on("uncaughtExceptionMonitor", flush);
  return {
    pretty: process.stdout.isTTY === true,
    write(line) {
      if (lines.push(line) === 1) setImmediate(flush);
    },
  };
}
