/** Why a reply ended, in the words of vendors, which keep adding some. */
import type { FinishReason } from "../../types.ts";

/** OpenAI's own words, and Anthropic's for tools. */
const words: ReadonlyMap<string, FinishReason> = new Map([
  ["stop", "stop"],
  ["length", "length"],
  ["tool_calls", "tool_calls"],
  ["content_filter", "content_filter"],
  ["function_call", "function_call"],
  ["tool_use", "tool_calls"],
  ["tool_call", "tool_calls"],
]);

const failures =
  /error|network|max_time|abort|cancel|fail|malformed|unexpected_tool_call|time_?(limit|out)|insufficient_(system_)?resource|unavailable|overload/;
const stops = /^(stop|eos|end|complete|finished|done)(_|d?$)/;
const filters =
  /filter|safety|sensitiv|recitation|prohibited|block|spii|moderat|refus|guardrail|policy|violat/;
const limits = /length|tokens?(_|$)|context/;

/**
 * What a `finish_reason` means: "failure" is one that a whole reply should not have, and undefined a word that nothing
 * is known of.
 */
export function readFinishReason(reason: string): FinishReason | "failure" | undefined {
  const known = words.get(reason);
  if (known !== undefined) return known;
  const word = reason
    .trim()
    .toLowerCase()
    .replaceAll(/[\s-]+/g, "_");
  if (failures.test(word)) return "failure";
  if (filters.test(word)) return "content_filter";
  if (stops.test(word)) return "stop";
  return words.get(word) ?? (limits.test(word) ? "length" : undefined);
}
