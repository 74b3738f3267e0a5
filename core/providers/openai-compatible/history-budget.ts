/** Leaves out the oldest turns of a chat that is longer than its model takes. */

import type { ChatMessage } from "../../types.ts";
import { estimateTokens } from "../../util/estimate-tokens.ts";
import { isSystem } from "../../util/messages.ts";

/** What the framing of a message costs, and about what an image does; OpenAI's own figures. */
const messageTokens = 4;
const attachmentTokens = 800;

const estimateMessage = ({ text, attachments, native }: ChatMessage): number =>
  messageTokens +
  estimateTokens(text) +
  (attachments === undefined ? 0 : attachments.length * attachmentTokens) +
  (native.tool_calls == null ? 0 : estimateTokens(JSON.stringify(native.tool_calls)));

/**
 * Instructions and the newest turn stay in any case: whether they fit, the upstream knows better than an estimate. A
 * turn is a user message with all that follows it. Nothing is estimated beyond what the budget reaches.
 */
export function fitHistory(messages: readonly ChatMessage[], maxTokens: number): readonly ChatMessage[] {
  let tokens = 0;
  for (const message of messages) if (isSystem(message)) tokens += estimateMessage(message);

  let keptFrom: number | undefined;
  for (let index = messages.length - 1; index >= 0; index--) {
    const message = messages[index] as ChatMessage;
    if (isSystem(message)) continue;
    tokens += estimateMessage(message);
    if (tokens > maxTokens && keptFrom !== undefined) {
      const from = keptFrom;
      return messages.filter((kept, position) => position >= from || isSystem(kept));
    }
    if (message.role === "user") keptFrom = index;
  }
  return messages;
}
