/** Where the servers of Bun, Deno and Node write their log: standard output. */
import process from "node:process";
import { type LoggerOptions, prettyLine } from "../core/operations/log.ts";

/**
 * Writes what was logged in one turn of the event loop at once: a write costs more than the line, twice over in Deno
 * and Node. The end of the process, a crash included, writes what is left; only a death by force can lose that turn.
 * Whether a terminal reads it is looked at no earlier: Bun takes 8 ms to find out, and answers would wait for it.
 */
export function logOutput(): Pick<LoggerOptions, "write"> {
  let lines: string[] = [];
  const flush = () => {
    if (lines.length === 0) return;
    const logged = lines;
    lines = [];
    const text = (process.stdout.isTTY ? logged.map(prettyLine) : logged).join("\n");
    console.log(text);
  };
  process.on("exit", flush);
  process.on("uncaughtExceptionMonitor", flush);
  return {
    write(line) {
      if (lines.push(line) === 1) setImmediate(flush);
    },
  };
}
