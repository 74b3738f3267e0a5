/**
 * How a conversation is written down: a JSON array with an element a line, the head first, then system texts, then
 * turns.
 *
 *     [{"v":1,…},
 *     {"role":"system","content":"Be brief."},
 *     "What a user has said, and nothing else",
 *     ["What the assistant has said, and nothing else"],
 *     {"role":"assistant","content":null,"tool_calls":[…]}]
 */
import { liftMessage } from "../dialects/shared/chat-completions-message.ts";
import type { ChatMessage, FinishReason, Role, Usage } from "../types.ts";
import { isRecord } from "../util/json.ts";
import { roles } from "../util/roles.ts";
import { utf8Length } from "../util/utf8.ts";

/** The turn finished last, and the request that it answered. */
export interface LastTurn {
  /** Fingerprint of the request's body. */
  readonly request: string;
  /** Fingerprint of its Idempotency-Key. */
  readonly idempotencyKey?: string | undefined;
  readonly finishReason: FinishReason;
  readonly usage?: Usage | undefined;
}

/** The conversation's first messages in few words. */
export interface RecordSummary {
  readonly text: string;
  /** How many messages it covers, from the conversation's very first on; those dropped since are counted. */
  readonly coveredMessages: number;
}

export interface RecordHead {
  /** The conversation as providers see it. */
  readonly id: string;
  readonly startedAtMs: number;
  readonly finishedAtMs: number;
  readonly expiresAtMs: number;
  /** How many messages have been dropped from the front of the turns, for want of room. */
  readonly droppedMessages: number;
  /** What an earlier turn was told to keep of messages that no longer fit a prompt. */
  readonly summary?: RecordSummary | undefined;
  /** The client keeps its history itself; all that is here is the last reply, for a retry. */
  readonly keepsOwnHistory?: true | undefined;
  /** Absent where the reply had no room, or there were several. */
  readonly last?: LastTurn | undefined;
  /** Made anew by each deletion, so that a turn that began before it can tell. */
  readonly generation?: string | undefined;
  /** Nothing but the trace of a deletion. */
  readonly isDeleted?: true | undefined;
}

export interface ConversationRecord {
  readonly head: RecordHead;
  readonly system: readonly ChatMessage[];
  readonly turns: readonly ChatMessage[];
  /** The first turns as they are written, so that a new turn costs no writing and counting of the old ones. */
  readonly written?: WrittenTurns;
}

interface WrittenTurns {
  /** A line for each message. */
  readonly lines: readonly string[];
  /** In UTF-8, each line with the separator before it. */
  readonly bytes: number;
}

interface StoredHead extends RecordHead {
  /** Whose record it is: the end of its key. Absent in what older gateways have written. */
  readonly of?: string;
  readonly v: number;
  /** How many of the messages that follow are system texts. */
  readonly systemMessages: number;
  /** The bytes of the turns' lines. Not read any more, but older gateways on the same store want it. */
  readonly turnBytes: number;
}

/** Raised whenever an older gateway could misread what a newer one writes. */
const formatVersion = 1;
const separator = ",\n";

const hasTextAlone = (native: ChatMessage["native"]): boolean => {
  for (const name in native) if (name !== "role" && name !== "content") return false;
  return true;
};

/** As short as it can be: most messages are texts of the user or the assistant, and a store holds the more of them. */
const encodeMessage = (message: ChatMessage): string => {
  const { role, text, attachments, native } = message;
  if (native.content === text && native.role === role && attachments === undefined && hasTextAlone(native)) {
    if (role === "user") return JSON.stringify(text);
    if (role === "assistant") return `[${JSON.stringify(text)}]`;
  }
  const saysItAll =
    native.role === role &&
    (native.content ?? "") === text &&
    attachments === undefined &&
    !("native" in native);
  return JSON.stringify(saysItAll ? native : { role, text, attachments, native });
};

const textMessage = (role: Role, text: string): ChatMessage => ({
  role,
  text,
  native: { role, content: text },
});

const decodeMessage = (stored: unknown): ChatMessage => {
  if (typeof stored === "string") return textMessage("user", stored);
  if (Array.isArray(stored) && typeof stored[0] === "string") return textMessage("assistant", stored[0]);
  if (!isRecord(stored) || !roles.has(stored.role)) throw new TypeError("a message has no role");
  const role = stored.role as Role;
  if ("native" in stored) {
    const { text, native, attachments = [] } = stored;
    if (typeof text !== "string" || !isRecord(native)) throw new TypeError("a message has no text");
    if (!Array.isArray(attachments)) throw new TypeError("a message's attachments are no list");
    // Once they were types alone.
    const lifted = attachments.map((entry) => (typeof entry === "string" ? { type: entry } : entry));
    return liftMessage(role, text, native, lifted);
  }
  const { content = "" } = stored;
  if (typeof content !== "string" && content !== null) throw new TypeError("a message has no text");
  return liftMessage(role, content ?? "", stored);
};

const isHead = (value: unknown): value is StoredHead => {
  if (!isRecord(value) || value.v !== formatVersion || typeof value.id !== "string") return false;
  const { startedAtMs, finishedAtMs, expiresAtMs, systemMessages, droppedMessages } = value;
  return [startedAtMs, finishedAtMs, expiresAtMs, systemMessages, droppedMessages].every(Number.isFinite);
};

/** A record of nothing. */
export const emptyRecord = (head: RecordHead): ConversationRecord => ({ head, system: [], turns: [] });

/** How much of a key its record has. */
const markLength = 16;
const markOf = (storeKey: string): string => storeKey.slice(-markLength);

/** What a record takes more where it is stored, in bytes. */
export const markBytes = markLength + '"of":"",'.length;

/** A record's text with the mark of the key that it is stored under. */
export const withMark = (text: string, storeKey: string): string =>
  `[{"of":${JSON.stringify(markOf(storeKey))},${text.slice("[{".length)}`;

/**
 * Undefined for what can't be read: foreign, damaged or of a newer version; and for another conversation's, should a store
 * or a client of one ever hand that out.
 */
export function decodeRecord(text: string, storeKey: string): ConversationRecord | undefined {
  try {
    const values: unknown = JSON.parse(text);
    if (!Array.isArray(values) || !isHead(values[0])) return undefined;
    const { of = markOf(storeKey), v: _, systemMessages, turnBytes: __, ...head } = values[0];
    if (of !== markOf(storeKey)) return undefined;
    const messages = values.slice(1).map(decodeMessage);
    return { head, system: messages.slice(0, systemMessages), turns: messages.slice(systemMessages) };
  } catch {
    return undefined;
  }
}

const bytesOf = (lines: readonly string[]): number =>
  lines.reduce((bytes, line) => bytes + utf8Length(line) + separator.length, 0);

/** How many of the first messages go so that `excess` bytes are free: a user's turn goes together with its reply. */
function countDropped(turns: readonly ChatMessage[], lines: readonly string[], excess: number): number {
  let freed = 0;
  let previous: Role | undefined;
  for (const [index, { role }] of turns.entries()) {
    if (role === "user" && previous !== "user" && freed >= excess) return index;
    previous = role;
    freed += bytesOf(lines.slice(index, index + 1));
  }
  return turns.length;
}

/** A record with its text. */
export interface EncodedRecord {
  readonly record: ConversationRecord;
  readonly text: string;
}

/** Some room for the digits by which a head grows when turns are dropped. */
const headSlackBytes = 16;

/**
 * A record in at most `maxBytes` bytes of UTF-8, as what is left of it and as text: the oldest turns are dropped first,
 * and if need be all of them and the system texts too.
 */
export function encodeRecord(record: ConversationRecord, maxBytes = Number.POSITIVE_INFINITY): EncodedRecord {
  const { system, turns, written: before = { lines: [], bytes: 0 } } = record;
  const newLines = turns.slice(before.lines.length).map(encodeMessage);
  const written = { lines: before.lines.concat(newLines), bytes: before.bytes + bytesOf(newLines) };
  const systemLines = system.map(encodeMessage);
  const headText = encodeHead(record, written.bytes);
  const excess = utf8Length(headText) + bytesOf(systemLines) + written.bytes + "[]".length - maxBytes;
  if (excess > 0 && system.length + turns.length > 0)
    return encodeRecord(withoutOldest({ ...record, written }, excess), maxBytes);
  const text = `[${[headText, ...systemLines].concat(written.lines).join(separator)}]`;
  return { record: { ...record, written }, text };
}

/** The record without at least `excess` bytes of its oldest turns; where there are none, without its system texts. */
function withoutOldest(
  { head, system, turns, written }: Required<ConversationRecord>,
  excess: number,
): ConversationRecord {
  if (turns.length === 0) return emptyRecord(head);
  const dropped = countDropped(turns, written.lines, excess + headSlackBytes);
  const shorter = { ...head, droppedMessages: head.droppedMessages + dropped };
  // Without its reply there is nothing to give a retry.
  if (dropped === turns.length) return { head: { ...shorter, last: undefined }, system, turns: [] };
  const lines = written.lines.slice(dropped);
  const bytes = written.bytes - bytesOf(written.lines.slice(0, dropped));
  return { head: shorter, system, turns: turns.slice(dropped), written: { lines, bytes } };
}

const encodeHead = ({ head, system }: ConversationRecord, turnBytes: number): string => {
  const stored: StoredHead = { ...head, v: formatVersion, systemMessages: system.length, turnBytes };
  return JSON.stringify(stored);
};
