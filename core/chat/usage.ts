/** Token counts of an answer whose upstream gave none. */
import type { Answer, ChatMessage, Usage } from "../types.ts";
import { estimateTokens } from "../util/estimate-tokens.ts";
import { withoutOldest } from "../util/messages.ts";

/** Estimates the counts from what the model got, the oldest `droppedMessages` left out, and what it replied. */
export function estimateUsage(
  messages: readonly ChatMessage[],
  droppedMessages: number,
  { replies }: Answer,
): Usage {
  let promptTokens = 0;
  for (const { text } of withoutOldest(messages, droppedMessages)) promptTokens += estimateTokens(text);
  let completionTokens = 0;
  for (const { text, reasoning, toolCalls } of replies) {
    completionTokens += estimateTokens(text) + estimateTokens(reasoning);
    for (const { name, arguments: json } of toolCalls)
      completionTokens += estimateTokens(name) + estimateTokens(json);
  }
  return { promptTokens, completionTokens, totalTokens: promptTokens + completionTokens };
}
