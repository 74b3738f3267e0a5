/** The settings of what is remembered of a conversation. */
import { integer, number, onOff, type Values } from "../config/values.ts";

export interface ConversationSettings {
  /** How long a conversation is remembered after its last finished turn. */
  readonly ttlMs: number;
  /** The most that is kept of one conversation, in bytes of UTF-8. */
  readonly maxBytes: number;
  /** Whether a server that is open to everyone remembers under names that others could guess. */
  readonly areOpen: boolean;
}

export const conversationEntries = {
  SESSION_CACHE_TTL: number(3600, 1, 31_536_000, "seconds"),
  SESSION_MAX_BYTES: integer(256 * 1024, 1024, 16 * 1024 * 1024, "bytes"),
  OPEN_SESSIONS: onOff("off"),
};

export const readConversations = (values: Values<typeof conversationEntries>): ConversationSettings => ({
  ttlMs: values.SESSION_CACHE_TTL * 1000,
  maxBytes: values.SESSION_MAX_BYTES,
  areOpen: values.OPEN_SESSIONS,
});
