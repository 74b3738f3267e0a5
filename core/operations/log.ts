/** Structured log lines: JSON, and a short form of it for a terminal. */
import type { Clock, LogFields, Logger } from "../types.ts";
import type { Secrets } from "../util/secrets.ts";
import { systemClock } from "../util/time.ts";

/** The least level first; `silent` is above all that is ever logged. */
export const logLevels = ["debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof logLevels)[number];

export interface LoggerOptions {
  /** The least level that is written; default "info". */
  readonly level?: LogLevel;
  /** Takes one line of JSON, without a line break; by default the console. */
  readonly write?: (line: string) => void;
  readonly clock?: Pick<Clock, "now">;
}

/** A terminal obeys control characters, and clients choose the names of models. */
const prettyValue = (value: LogFields[string]): string =>
  typeof value === "string" && /[\s"\p{Cc}]/u.test(value)
    ? JSON.stringify(value).replace(/\p{Cc}/gu, "\ufffd")
    : String(value);

const colors = { red: 31, green: 32, yellow: 33 } as const;

const painted = (text: string, color: keyof typeof colors, isColored: boolean): string =>
  isColored ? `\u001b[${colors[color]}m${text}\u001b[39m` : text;

/** A line of JSON in a shorter form, for people at a terminal: of a request the first words tell what came of it. */
export function prettyLine(line: string, { isColored = false } = {}): string {
  const { time, level, event, ...fields } = JSON.parse(line);
  const { method, route, status, ms, ...others } = fields as LogFields;
  const isRequest = event === "request.finished" && status !== undefined;
  const color = level === "error" ? "red" : level === "warn" || Number(status) >= 400 ? "yellow" : "green";
  const facts = Object.entries(isRequest ? others : (fields as LogFields));
  const text = facts.map(([name, value]) => `${name}=${prettyValue(value)}`).join(" ");
  const head = isRequest
    ? `${painted(prettyValue(status), color, isColored)} ${prettyValue(method)} ${prettyValue(route)} ${prettyValue(ms)} ms`
    : `${painted(level.padEnd(5), color, isColored)} ${event}`;
  return `${time.slice(11, 23)} ${head} ${text}`.trimEnd();
}

/**
 * A logger that writes lines of JSON with `time` (ISO 8601), `level`, `event` and the event's fields, and drops what is
 * below `level`. Throws what `write` throws.
 *
 * @example
 * ```ts
 * import { createHandler, createLogger } from "kimi-ai-2api";
 *
 * const log = createLogger({ level: "warn", write: (line) => process.stderr.write(`${line}\n`) });
 * const handler = createHandler({ log });
 * ```
 */
export function createLogger({
  level = "info",
  write = console.log,
  clock = systemClock,
}: LoggerOptions = {}): Logger {
  type Level = "debug" | "info" | "warn" | "error";
  const writes = (name: Level) => logLevels.indexOf(name) >= logLevels.indexOf(level);
  const at = (name: Level) =>
    !writes(name)
      ? () => {}
      : (event: string, fields: LogFields = {}) => {
          const time = new Date(clock.now()).toISOString();
          write(JSON.stringify({ time, level: name, event, ...fields }));
        };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error"), writes };
}

/** The gateway's own words and the operator's, and times: none of them holds what a client or an upstream wrote. */
const ownFields: ReadonlySet<string> = new Set([
  "route",
  "code",
  "key",
  "provider",
  "session",
  "store",
  "until",
  "since",
  "next",
]);

/** Chosen by clients, and short: by chance they may have a few characters in common with a secret. */
const identifiers: ReadonlySet<string> = new Set(["requestId", "method"]);

/** A logger that shows no secret, whoever wrote the text that holds it. */
export function withoutSecrets(log: Logger, secrets: Secrets): Logger {
  const shown = (name: string, text: string): string => {
    if (ownFields.has(name)) return text;
    return identifiers.has(name) ? secrets.hideWhole(text) : secrets.hide(text);
  };
  const cleaned = (fields: LogFields): LogFields => {
    const clean: Record<string, LogFields[string]> = {};
    for (const name in fields) {
      const value = fields[name];
      clean[name] = typeof value === "string" ? shown(name, value) : value;
    }
    return clean;
  };
  const at =
    (level: "debug" | "info" | "warn" | "error") =>
    (event: string, fields: LogFields = {}): void => {
      if (log.writes?.(level) !== false) log[level](event, cleaned(fields));
    };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} };
