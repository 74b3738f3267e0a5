/** The settings of how long an answer may take, and of its stream. */
import * as v from "valibot";
import { integer, number, type Values } from "../config/values.ts";

export interface ChatSettings {
  /** How long a request may wait for the first text of its answer, whatever it tries, and then for each further one. */
  readonly requestTimeoutMs: number;
  /** How long all of it may take; Infinity for no limit. */
  readonly totalTimeoutMs: number;
  readonly stream: {
    /** How long headers wait for the first part of an answer, so that a failure keeps its status; by default as long as the provider says. */
    readonly commitMs: number | undefined;
    /** The longest that they may wait, whatever the provider says. */
    readonly longestCommitMs: number;
    /** Silence after which a stream gets a comment line. */
    readonly keepAliveMs: number;
  };
}

const hourMs = 3_600_000;

export const chatEntries = {
  API_REQUEST_TIMEOUT: number(180, 1, 86_400, "seconds"),
  API_TOTAL_TIMEOUT: v.optional(number(0, 1, 604_800, "seconds")),
  PLATFORM_TIME_LIMIT: v.optional(number(0, 6, 86_400, "seconds")),
  STREAM_COMMIT_MS: v.optional(integer(5000, 0, hourMs, "milliseconds")),
  STREAM_KEEPALIVE_MS: integer(8000, 100, hourMs, "milliseconds"),
};

/** An answer or an error has to be out before the platform cuts the call, and its clock started before ours. */
const platformMarginMs = 5000;

/** `timeLimitMs`: after how long the platform cuts a request, unless PLATFORM_TIME_LIMIT says otherwise. */
export function readChat(values: Values<typeof chatEntries>, timeLimitMs = Infinity): ChatSettings {
  const { PLATFORM_TIME_LIMIT: limitSeconds } = values;
  const limitMs = limitSeconds === undefined ? timeLimitMs : limitSeconds * 1000;
  const { API_TOTAL_TIMEOUT: totalSeconds = Infinity } = values;
  const totalTimeoutMs = Math.min(totalSeconds * 1000, limitMs - platformMarginMs);
  return {
    requestTimeoutMs: Math.min(values.API_REQUEST_TIMEOUT * 1000, totalTimeoutMs),
    totalTimeoutMs,
    stream: {
      commitMs: values.STREAM_COMMIT_MS,
      longestCommitMs: Math.max(limitMs / 2, 0),
      keepAliveMs: values.STREAM_KEEPALIVE_MS,
    },
  };
}
