/** What several places ask of messages. */
import type { ChatMessage } from "../types.ts";

/** Whether a message is what newer clients call a developer's, and older ones the system's. */
export const isSystem = ({ role }: ChatMessage): boolean => role === "system" || role === "developer";

/** All messages but the first `count` of those that are no system texts. */
export const withoutOldest = (messages: readonly ChatMessage[], count: number): readonly ChatMessage[] => {
  if (count === 0) return messages;
  const system: ChatMessage[] = [];
  let start = 0;
  for (let passed = 0; passed < count && start < messages.length; start++) {
    const message = messages[start] as ChatMessage;
    if (isSystem(message)) system.push(message);
    else passed++;
  }
  return system.concat(messages.slice(start));
};
