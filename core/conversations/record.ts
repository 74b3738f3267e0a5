/**
 * How a conversation is written down: a JSON array with an element a line, the head first, then system texts, then
 * turns. JSON never has a line break within an element, so turns are appended and dropped without parsing the others.
 *
 *     [{"v":1,…},
 *     {"role":"system","content":"Be brief."},
 *     "What a user has said, and nothing else",
 *     ["What the assistant has said, and nothing else"],
 *     {"role":"assistant","content":null,"tool_calls":[…]}]
 */

import type { ChatMessage, FinishReason, Reply, Role, StreamPart, Usage } from "../types.ts";
import { MessageList, noMessages } from "./transcript.ts";

/** The turn finished last, and the request that it answered. */
export interface LastTurn {
  /** Fingerprint of the request's body. */
  readonly request: string;
  /** Fingerprint of its Idempotency-Key. */
  readonly idempotencyKey?: string | undefined;
  readonly finishReason: FinishReason;
  readonly usage?: Usage | undefined;
}

export interface RecordHead {
  /** The conversation as providers see it. */
  readonly id: string;
  readonly startedAtMs: number;
  readonly finishedAtMs: number;
  readonly expiresAtMs: number;
  /** How many messages have been dropped from the front of the turns, for want of room. */
  readonly droppedMessages: number;
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
  readonly turns: MessageList;
  /** The turns as later ones are told of them; the same list where that makes no difference. */
  readonly retold: MessageList;
  /** The lines of the messages beside them, as they are stored. */
  readonly systemLines: string;
  readonly turnLines: string;
  /** The lines of the newest turns, behind the others: apart, so that a new turn does not copy all that came before. */
  readonly newestLines: string;
  /** The turns' lines in UTF-8: kept, so that a new turn costs no counting of the old ones. */
  readonly turnBytes: number;
}

interface StoredHead extends RecordHead {
  readonly v: number;
  /** How many of the messages that follow are system texts. */
  readonly systemMessages: number;
  readonly turnBytes: number;
}

/** Raised whenever an older gateway could misread what a newer one writes. */
const formatVersion = 1;
const separator = ",\n";

const roles: ReadonlySet<unknown> = new Set<Role>([
  "system",
  "developer",
  "user",
  "assistant",
  "tool",
  "function",
]);

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null;

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
  return JSON.stringify(saysItAll ? native : message);
};

const textMessage = (role: Role, text: string): ChatMessage => ({
  role,
  text,
  native: { role, content: text },
});

const decodeMessage = (stored: unknown): ChatMessage => {
  if (typeof stored === "string") return textMessage("user", stored);
  if (Array.isArray(stored) && typeof stored[0] === "string") return textMessage("assistant", stored[0]);
  if (!isObject(stored) || !roles.has(stored.role)) throw new TypeError("a message has no role");
  if ("native" in stored) {
    const { text, native } = stored;
    if (typeof text !== "string" || !isObject(native)) throw new TypeError("a message has no text");
    return stored as unknown as ChatMessage;
  }
  const { content = "" } = stored;
  if (typeof content !== "string" && content !== null) throw new TypeError("a message has no text");
  return { role: stored.role as Role, text: content ?? "", native: stored };
};

const isHead = (value: unknown): value is StoredHead => {
  if (!isObject(value) || value.v !== formatVersion || typeof value.id !== "string") return false;
  const { startedAtMs, finishedAtMs, expiresAtMs, systemMessages, droppedMessages, turnBytes } = value;
  const numbers = [startedAtMs, finishedAtMs, expiresAtMs, systemMessages, droppedMessages, turnBytes];
  return numbers.every(Number.isFinite);
};

/** A head without what only its text has; field by field, which costs a fraction of leaving some out. */
const headOf = (stored: StoredHead): RecordHead => ({
  id: stored.id,
  startedAtMs: stored.startedAtMs,
  finishedAtMs: stored.finishedAtMs,
  expiresAtMs: stored.expiresAtMs,
  droppedMessages: stored.droppedMessages,
  keepsOwnHistory: stored.keepsOwnHistory,
  last: stored.last,
  generation: stored.generation,
  isDeleted: stored.isDeleted,
});

const encoder = new TextEncoder();
const byteLength = (text: string): number => encoder.encode(text).length;

/**
 * One text instead of the pieces it was put together from, which engines keep, at several times its size, until
 * somebody reads a character.
 */
const flat = (text: string): string => (text.charCodeAt(0) >= 0 ? text : "");

/** Up to this length a record's text costs less to copy and to parse than its parts to keep. */
export const maxShortLength = 4096;
/** In a longer one the newest turns' lines are joined with the others once they are more than this part of them. */
const newestShare = 1 / 8;

const encodeLines = (messages: readonly ChatMessage[]): string => {
  let lines = "";
  for (const message of messages) lines += separator + encodeMessage(message);
  return lines;
};

/** Where the line after the one at `start` begins. */
const nextLine = (lines: string, start: number): number => {
  const next = lines.indexOf(separator, start + separator.length);
  return next < 0 ? lines.length : next;
};

/** A record of nothing. */
export const emptyRecord = (head: RecordHead): ConversationRecord => ({
  head,
  system: [],
  systemLines: "",
  turns: noMessages,
  retold: noMessages,
  turnLines: "",
  newestLines: "",
  turnBytes: 0,
});

const hasReasoning = ({ native }: ChatMessage): boolean =>
  Boolean(native.reasoning_content ?? native.reasoning_details ?? native.annotations);

/**
 * A remembered message without what only its own turn needs: other upstreams refuse a message with such fields. Kept
 * with the record, so that each message is looked at once and not in each turn after it.
 */
const withoutReasoning = (message: ChatMessage): ChatMessage => {
  if (!hasReasoning(message)) return message;
  const { reasoning_content: _, reasoning_details: __, annotations: ___, ...native } = message.native;
  return { ...message, native };
};

/** `messages` as they are retold: themselves where none has anything to leave out. */
const retell = <Messages extends readonly ChatMessage[]>(messages: Messages): Messages | ChatMessage[] =>
  messages.some(hasReasoning) ? messages.map(withoutReasoning) : messages;

/** The record with other system texts. */
export const withSystem = (
  record: ConversationRecord,
  system: readonly ChatMessage[],
): ConversationRecord => ({ ...record, system, systemLines: encodeLines(system) });

/** The record with further turns, and the head that belongs to them. */
export function withTurns(
  record: ConversationRecord,
  turns: readonly ChatMessage[],
  head: RecordHead,
): ConversationRecord {
  const lines = encodeLines(turns);
  const retold = retell(turns);
  const all = record.turns.concat(turns);
  const isRetoldAsIs = record.retold === record.turns && retold === turns;
  return {
    head,
    system: record.system,
    systemLines: record.systemLines,
    turns: all,
    retold: isRetoldAsIs ? all : record.retold.concat(retold),
    turnLines: record.turnLines,
    newestLines: record.newestLines + lines,
    turnBytes: record.turnBytes + byteLength(lines),
  };
}

const encodeHead = ({ head, system, turnBytes }: ConversationRecord): string => {
  const stored: StoredHead = {
    v: formatVersion,
    systemMessages: system.length,
    turnBytes,
    id: head.id,
    startedAtMs: head.startedAtMs,
    finishedAtMs: head.finishedAtMs,
    expiresAtMs: head.expiresAtMs,
    droppedMessages: head.droppedMessages,
    keepsOwnHistory: head.keepsOwnHistory,
    last: head.last,
    generation: head.generation,
    isDeleted: head.isDeleted,
  };
  return JSON.stringify(stored);
};

/** A record with its text. */
export interface EncodedRecord {
  readonly record: ConversationRecord;
  readonly text: string;
}

/** Puts a record's text together: a short one as a whole, a long one as pieces, the largest shared with the text before. */
const joinLines = (record: ConversationRecord, encodedHead: string): EncodedRecord => {
  const { systemLines, turnLines, newestLines } = record;
  const head = `[${encodedHead}`;
  const text = `${head}${systemLines}${turnLines}${newestLines}]`;
  if (text.length <= maxShortLength) return { record, text: flat(text) };
  if (newestLines.length < turnLines.length * newestShare) {
    flat(head);
    return { record, text };
  }
  flat(text);
  // The record's lines become parts of that text, which engines don't copy.
  const turnsStart = head.length + systemLines.length;
  const joined = {
    ...record,
    systemLines: text.slice(head.length, turnsStart),
    turnLines: text.slice(turnsStart, -1),
    newestLines: "",
  };
  return { record: joined, text };
};

export const encodeRecord = (record: ConversationRecord): EncodedRecord =>
  joinLines(record, encodeHead(record));

/** Undefined for what can't be read: foreign, damaged or of a newer version. */
export function decodeRecord(text: string): ConversationRecord | undefined {
  try {
    const values: unknown = JSON.parse(text);
    if (!Array.isArray(values) || !isHead(values[0])) return undefined;
    const { systemMessages, turnBytes } = values[0];
    const system = values.slice(1, 1 + systemMessages).map(decodeMessage);
    const messages = values.slice(1 + systemMessages).map(decodeMessage);
    const retold = retell(messages);
    const turns = new MessageList(messages);
    const lines = text.slice(0, -1);
    const systemStart = nextLine(lines, 0);
    let turnsStart = systemStart;
    for (let line = 0; line < systemMessages; line++) turnsStart = nextLine(lines, turnsStart);
    return {
      head: headOf(values[0]),
      system,
      systemLines: lines.slice(systemStart, turnsStart),
      turns,
      retold: retold === messages ? turns : new MessageList(retold),
      turnLines: lines.slice(turnsStart),
      newestLines: "",
      turnBytes,
    };
  } catch {
    return undefined;
  }
}

/** The record without at least `excess` bytes of its oldest turns: a user's turn goes together with its reply. */
const withoutOldestTurns = (record: ConversationRecord, excess: number): ConversationRecord => {
  const { turns, retold, turnBytes, head } = record;
  let lines = record.turnLines;
  let newestLines = record.newestLines;
  let freed = 0;
  let start = 0;
  let dropped = 0;
  for (let previous: Role | undefined; dropped < turns.length; dropped++) {
    const { role } = turns.at(dropped) as ChatMessage;
    if (role === "user" && previous !== "user" && freed >= excess) break;
    previous = role;
    if (start === lines.length) {
      lines = newestLines;
      newestLines = "";
      start = 0;
    }
    const end = nextLine(lines, start);
    freed += byteLength(lines.slice(start, end));
    start = end;
  }
  // Lists and texts that share what is dropped keep it alive: that must not outweigh what is left. Lines that count as
  // new are copied when the record is put together.
  const isMost = freed * 2 > turnBytes;
  const cut = (list: MessageList) => (isMost ? new MessageList(list.slice(dropped)) : list.drop(dropped));
  const left = cut(turns);
  const leftLines = lines.slice(start);
  return {
    ...record,
    head: { ...head, droppedMessages: head.droppedMessages + dropped },
    turns: left,
    retold: retold === turns ? left : cut(retold),
    turnLines: isMost ? "" : leftLines,
    newestLines: isMost ? leftLines + newestLines : newestLines,
    turnBytes: turnBytes - freed,
  };
};

const sizeOf = (record: ConversationRecord): number =>
  byteLength(encodeHead(record)) + byteLength(record.systemLines) + record.turnBytes + "[]".length;

/** Some room for the digits by which a head grows when turns are dropped. */
const headSlackBytes = 16;

const withinBytes = (record: ConversationRecord, maxBytes: number): ConversationRecord => {
  const excess = sizeOf(record) - maxBytes;
  if (excess <= 0) return record;
  const shorter = withoutOldestTurns(record, excess + headSlackBytes);
  if (shorter.turns.length > 0) return shorter;
  // Without its reply there is nothing to give a retry.
  const head = { ...shorter.head, last: undefined };
  const onlySystem = { ...shorter, head };
  return sizeOf(onlySystem) <= maxBytes ? onlySystem : emptyRecord(head);
};

/**
 * A record in at most `maxBytes`, as what is left of it and as text: the oldest turns are dropped first, and if need be
 * all of them and the system texts too.
 */
export function encodeWithin(record: ConversationRecord, maxBytes: number): EncodedRecord {
  // No character has more than three bytes for one unit of length, so most heads and system texts need no counting.
  const head = encodeHead(record);
  const otherLength = head.length + record.systemLines.length + "[]".length;
  if (record.turnBytes + otherLength * 3 <= maxBytes) return joinLines(record, head);
  const bounded = withinBytes(record, maxBytes);
  return bounded === record ? joinLines(record, head) : encodeRecord(bounded);
}

/** A reply as the message that later turns are told. */
export function replyMessage(reply: Reply): ChatMessage {
  const { text, reasoning, refusal, toolCalls } = reply;
  const native = {
    role: "assistant",
    content: text === "" && (toolCalls.length > 0 || refusal !== undefined) ? null : text,
    ...(reasoning !== "" && { reasoning_content: reasoning }),
    ...(refusal !== undefined && { refusal }),
    ...(toolCalls.length > 0 && {
      tool_calls: toolCalls.map(({ id, name, arguments: json, fields }) => ({
        ...fields,
        id,
        type: "function",
        function: { name, arguments: json },
      })),
    }),
    ...reply.messageFields,
  };
  return { role: "assistant", text, native };
}

interface NativeReply {
  readonly role: string;
  readonly content?: string | null;
  readonly reasoning_content?: string;
  readonly refusal?: string;
  readonly tool_calls?: readonly {
    readonly id: string;
    readonly type: string;
    /** Absent in the call of a custom tool. */
    readonly function?: { readonly name: string; readonly arguments: string };
  }[];
}

const hasFields = (fields: object): boolean => Object.keys(fields).length > 0;

/** The parts of a reply that `replyMessage` made a message of. */
export function* replyParts({ native }: ChatMessage, last: LastTurn): Generator<StreamPart> {
  const { role, content, reasoning_content, refusal, tool_calls, ...fields } =
    native as unknown as NativeReply;
  if (reasoning_content) yield { type: "reasoning-delta", delta: reasoning_content };
  if (content) yield { type: "text-delta", delta: content };
  if (refusal !== undefined) yield { type: "refusal-delta", delta: refusal };
  for (const [index, { id, type, function: call, ...more }] of (tool_calls ?? []).entries()) {
    if (call === undefined) {
      yield { type: "extension", scope: "message", fields: { tool_calls: [{ id, type, ...more }] } };
      continue;
    }
    const part = { type: "tool-call-delta", index, id, name: call.name, delta: call.arguments } as const;
    yield hasFields(more) ? { ...part, fields: more } : part;
  }
  if (hasFields(fields)) yield { type: "extension", scope: "message", fields };
  yield { type: "finish", reason: last.finishReason };
  if (last.usage) yield { type: "usage", usage: last.usage };
}
