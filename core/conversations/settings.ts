/** The settings of what is remembered of a conversation. */
import { custom, integer, number, onOff, optionalNumber, type Values } from "../config/values.ts";

export interface ConversationSettings {
  /** How long a conversation is remembered after its last finished turn. */
  readonly ttlMs: number;
  /** The most that is kept of one conversation, in bytes of UTF-8. */
  readonly maxBytes: number;
  /** Whether a server that is open to everyone remembers under names that others could guess. */
  readonly areOpen: boolean;
  /** The request headers that name a conversation, the one that counts most first. */
  readonly headers: readonly string[];
}

/** What is kept of answers that clients go on from by their ids. */
export interface ResponseSettings {
  /** How long one is kept; undefined where it depends on the store. */
  readonly ttlMs: number | undefined;
  /** The most that one may have with all that came before it, in bytes of UTF-8. */
  readonly maxBytes: number;
}

/** For a store that outlives the process: as long as OpenAI keeps them. */
export const sharedResponseTtlMs = 30 * 24 * 3_600_000;

export const defaultSessionHeaders = "X-Session-Id";

/** Headers that every request has, the same in each chat, or that hold secrets. */
const otherHeaders =
  /^(authorization|proxy-authorization|x-api-key|cookie|host|origin|referer|user-agent|accept.*|content-.*|connection|transfer-encoding|x-session-user|idempotency-key|x-request-id|x-stainless-.*)$/i;

const readSessionHeaders = (value: string): readonly string[] => {
  const names = value.split(",").map((name) => name.trim());
  if (!names.every((name) => /^[\w!#$%&'*+.^`|~-]+$/.test(name) && !otherHeaders.test(name)))
    throw new Error(
      "must be a comma list of request headers that hold the id of a chat, such as X-Session-Id,X-OpenWebUI-Chat-Id",
    );
  return names;
};

export const conversationEntries = {
  SESSION_CACHE_TTL: number(3600, 1, 31_536_000, "seconds"),
  SESSION_HEADERS: custom(defaultSessionHeaders, readSessionHeaders),
  SESSION_MAX_BYTES: integer(256 * 1024, 1024, 16 * 1024 * 1024, "bytes"),
  OPEN_SESSIONS: onOff("off"),
  RESPONSES_TTL: optionalNumber(1, 31_536_000, "seconds"),
  RESPONSES_MAX_BYTES: integer(1024 * 1024, 1024, 16 * 1024 * 1024, "bytes"),
};

export const readResponses = (values: Values<typeof conversationEntries>): ResponseSettings => ({
  ttlMs: values.RESPONSES_TTL === undefined ? undefined : values.RESPONSES_TTL * 1000,
  maxBytes: values.RESPONSES_MAX_BYTES,
});

export const readConversations = (values: Values<typeof conversationEntries>): ConversationSettings => ({
  ttlMs: values.SESSION_CACHE_TTL * 1000,
  maxBytes: values.SESSION_MAX_BYTES,
  areOpen: values.OPEN_SESSIONS,
  headers: values.SESSION_HEADERS,
});
