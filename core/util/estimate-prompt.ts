/** About how many tokens a prompt has, with all that is not text in it. */
import type { ChatMessage, ChatPrompt } from "../types.ts";
import { estimateTokens } from "./estimate-tokens.ts";

/** What the framing of a message costs, and about what an image does; OpenAI's own figures. */
const messageTokens = 4;
const attachmentTokens = 800;

export const estimateMessage = ({ text, attachments, native }: ChatMessage): number =>
  messageTokens +
  estimateTokens(text) +
  (attachments === undefined ? 0 : attachments.length * attachmentTokens) +
  (native.tool_calls == null ? 0 : estimateTokens(JSON.stringify(native.tool_calls)));

/** Messages and tools. */
export function estimatePrompt({ messages, tools }: Pick<ChatPrompt, "messages" | "tools">): number {
  let tokens = 0;
  for (const message of messages) tokens += estimateMessage(message);
  for (const tool of tools) tokens += estimateTokens(JSON.stringify(tool));
  return tokens;
}
