/** Where the servers of Bun, Deno and Node write their log: standard output. */
import { constants, fstatSync, openSync, write, writeSync } from "node:fs";
import process from "node:process";
import { createLogger, type LoggerOptions, prettyLine } from "../core/operations/log.ts";

const stdout = 1;
/** How much waits for a reader that is slow or gone; further lines are dropped. */
const maxPendingChars = 4 * 1024 * 1024;
const retryMs = 100;
/** How long the end of the process waits for a reader. */
const stalledMs = 1000;

/** A pipe is opened once more, since only an opening of our own may be made not to block. Linux can do that. */
const openOutput = (): number => {
  try {
    if (fstatSync(stdout).isFIFO())
      return openSync("/proc/self/fd/1", constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    // Another system, or a pipe of another user.
  }
  return stdout;
};

const isFull = (error: unknown): boolean => (error as { code?: unknown }).code === "EAGAIN";

/**
 * Writes what was logged in one turn of the event loop at once: a write costs more than the line, twice over in Deno
 * and Node. The end of the process, a crash included, writes what is left; only a death by force can lose that turn.
 *
 * A log that nobody reads must not stop the server, and one whose reader is gone must not end it. `process.stdout` and
 * `console` do either, depending on the runtime; a write in the background does neither. Lines that can't be written are
 * dropped, and counted in a line of their own once that is over.
 */
export function logOutput(): Pick<LoggerOptions, "write"> {
  let lines: string[] = [];
  let pendingChars = 0;
  let dropped = 0;
  /** Since when a write is under way. */
  let writingSinceMs: number | undefined;
  let opened: number | undefined;
  const output = (): number => {
    opened ??= openOutput();
    return opened;
  };

  /** All that waits, as bytes. */
  const take = (): { bytes: Uint8Array; count: number } => {
    const count = lines.length;
    if (dropped > 0) {
      const log = createLogger({ write: (line) => lines.unshift(line) });
      log.warn("log.dropped", { lines: dropped });
      dropped = 0;
    }
    // Loaded no earlier: Bun takes 15 ms for it, and answers would wait.
    const { isatty } = process.getBuiltinModule("node:tty");
    const isColored = !process.env.NO_COLOR;
    const shown = isatty(stdout) ? lines.map((line) => prettyLine(line, { isColored })) : lines;
    lines = [];
    pendingChars = 0;
    return { bytes: new TextEncoder().encode(`${shown.join("\n")}\n`), count };
  };

  const flush = () => {
    if (lines.length === 0 || writingSinceMs !== undefined) return;
    writingSinceMs = performance.now();
    const { bytes, count } = take();
    const writeFrom = (offset: number) => {
      write(output(), bytes, offset, bytes.length - offset, null, (error, written) => {
        if (error !== null && isFull(error)) return setTimeout(writeFrom, retryMs, offset);
        if (error === null && offset + written < bytes.length) return writeFrom(offset + written);
        if (error !== null) dropped += count;
        writingSinceMs = undefined;
        flush();
      });
    };
    writeFrom(0);
  };

  const flushAtEnd = () => {
    if (writingSinceMs !== undefined) {
      if (performance.now() - writingSinceMs > stalledMs) return;
      // Its thread needs a moment; the event loop, which would tell, runs no more.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
    }
    if (lines.length === 0) return;
    const { bytes } = take();
    const startedMs = performance.now();
    for (let offset = 0; offset < bytes.length; ) {
      try {
        offset += writeSync(output(), bytes, offset);
      } catch (error) {
        if (!isFull(error) || performance.now() - startedMs > stalledMs) return;
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
      }
    }
  };
  process.on("exit", flushAtEnd);
  process.on("uncaughtExceptionMonitor", flushAtEnd);

  return {
    write(line) {
      if (pendingChars > maxPendingChars) {
        dropped++;
        return;
      }
      pendingChars += line.length;
      if (lines.push(line) === 1) setImmediate(flush);
    },
  };
}
