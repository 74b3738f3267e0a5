/** Structured log lines: JSON for machines, a short form for a terminal. */
import type { Clock, LogFields, Logger } from "./types.ts";

const ranks = { debug: 0, info: 1, warn: 2, error: 3, silent: 4 } as const;

export interface LoggerOptions {
  readonly level: keyof typeof ranks;
  /** Takes one line, without a line break. */
  readonly write: (line: string) => void;
  /** For a person at a terminal. */
  readonly pretty?: boolean;
  readonly clock: Pick<Clock, "now">;
}

/** A terminal obeys control characters, and clients choose the names of models. */
const prettyValue = (value: LogFields[string]): string =>
  typeof value === "string" && /[\s"\p{Cc}]/u.test(value)
    ? JSON.stringify(value).replace(/\p{Cc}/gu, "\ufffd")
    : String(value);

const prettyLine = (time: string, level: string, event: string, fields: LogFields): string => {
  const facts = Object.entries(fields).filter(([, value]) => value !== undefined);
  const text = facts.map(([name, value]) => `${name}=${prettyValue(value)}`).join(" ");
  return `${time.slice(11, 23)} ${level.padEnd(5)} ${event} ${text}`;
};

/** A logger that drops what is below `level`. */
export function createLogger({ level, write, pretty = false, clock }: LoggerOptions): Logger {
  const at = (name: "debug" | "info" | "warn" | "error") =>
    ranks[name] < ranks[level]
      ? () => {}
      : (event: string, fields: LogFields = {}) => {
          const time = new Date(clock.now()).toISOString();
          write(
            pretty
              ? prettyLine(time, name, event, fields)
              : JSON.stringify({ time, level: name, event, ...fields }),
          );
        };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} };
