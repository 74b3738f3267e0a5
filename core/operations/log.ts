/** Structured log lines: JSON, and a short form of it for a terminal. */
import type { Clock, LogFields, Logger } from "../types.ts";

const ranks = { debug: 0, info: 1, warn: 2, error: 3, silent: 4 } as const;

export interface LoggerOptions {
  readonly level: keyof typeof ranks;
  /** Takes one line of JSON, without a line break. */
  readonly write: (line: string) => void;
  readonly clock: Pick<Clock, "now">;
}

/** A terminal obeys control characters, and clients choose the names of models. */
const prettyValue = (value: LogFields[string]): string =>
  typeof value === "string" && /[\s"\p{Cc}]/u.test(value)
    ? JSON.stringify(value).replace(/\p{Cc}/gu, "\ufffd")
    : String(value);

/** A line of JSON in a shorter form, for people at a terminal. */
export function prettyLine(line: string): string {
  const { time, level, event, ...fields } = JSON.parse(line);
  const facts = Object.entries(fields as LogFields);
  const text = facts.map(([name, value]) => `${name}=${prettyValue(value)}`).join(" ");
  return `${time.slice(11, 23)} ${level.padEnd(5)} ${event} ${text}`;
}

/** A logger that writes events of `level` and above. */
export function createLogger({ level, write, clock }: LoggerOptions): Logger {
  const at = (name: "debug" | "info" | "warn" | "error") =>
    ranks[name] < ranks[level]
      ? () => {}
      : (event: string, fields: LogFields = {}) => {
          const time = new Date(clock.now()).toISOString();
          write(JSON.stringify({ time, level: name, event, ...fields }));
        };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} };
