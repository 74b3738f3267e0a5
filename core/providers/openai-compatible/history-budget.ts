/** Leaves out the oldest turns of a chat that is longer than its model takes. */

import type { ChatMessage } from "../../types.ts";
import { estimateMessage } from "../../util/estimate-prompt.ts";
import { isSystem } from "../../util/messages.ts";

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
