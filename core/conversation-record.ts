/**
 * How a conversation is written down: a JSON array with an element a line, the head first, then system texts, then
 * turns. JSON never has a line break within an element, so turns are appended and dropped without parsing the others.
 */
import type { ChatMessage, FinishReason, Reply, Role, StreamPart, Usage } from "./types.ts";

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
  readonly turns: readonly ChatMessage[];
  /** The lines of the messages beside them, as they are stored. */
  readonly systemLines: string;
  readonly turnLines: string;
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

/** Mostly the native message alone says it all. */
const encodeMessage = (message: ChatMessage): string => {
  const { role, text, attachments, native } = message;
  const saysItAll =
    native.role === role &&
    (native.content ?? "") === text &&
    attachments === undefined &&
    !("native" in native);
  return JSON.stringify(saysItAll ? native : message);
};

const decodeMessage = (stored: unknown): ChatMessage => {
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

const encoder = new TextEncoder();
const byteLength = (text: string): number => encoder.encode(text).length;

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
  turns: [],
  turnLines: "",
  turnBytes: 0,
});

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
  return {
    head,
    system: record.system,
    systemLines: record.systemLines,
    turns: [...record.turns, ...turns],
    turnLines: record.turnLines + lines,
    turnBytes: record.turnBytes + byteLength(lines),
  };
}

const encodeHead = ({ head, system, turnBytes }: ConversationRecord): string =>
  `{"v":${formatVersion},"systemMessages":${system.length},"turnBytes":${turnBytes},${JSON.stringify(head).slice(1)}`;

/** A record as text. */
export const encodeRecord = (record: ConversationRecord): string =>
  `[${encodeHead(record)}${record.systemLines}${record.turnLines}]`;

/** Undefined for what can't be read: foreign, damaged or of a newer version. */
export function decodeRecord(text: string): ConversationRecord | undefined {
  try {
    const [stored, ...rest]: unknown[] = JSON.parse(text);
    if (!isHead(stored)) return undefined;
    const { v: _, systemMessages, turnBytes, ...head } = stored;
    const messages = rest.map(decodeMessage);
    const lines = text.slice(nextLine(text, 0), -1);
    let turnStart = 0;
    for (let line = 0; line < systemMessages; line++) turnStart = nextLine(lines, turnStart);
    return {
      head,
      system: messages.slice(0, systemMessages),
      systemLines: lines.slice(0, turnStart),
      turns: messages.slice(systemMessages),
      turnLines: lines.slice(turnStart),
      turnBytes,
    };
  } catch {
    return undefined;
  }
}

/** The record without at least `excess` bytes of its oldest turns: a user's turn goes together with its reply. */
const withoutOldest = (record: ConversationRecord, excess: number): ConversationRecord => {
  const { turns, turnLines, turnBytes, head } = record;
  let freed = 0;
  let start = 0;
  let dropped = 0;
  for (const [index, { role }] of turns.entries()) {
    const beginsTurn = role === "user" && turns[index - 1]?.role !== "user";
    if (beginsTurn && freed >= excess) break;
    const end = nextLine(turnLines, start);
    freed += byteLength(turnLines.slice(start, end));
    start = end;
    dropped++;
  }
  return {
    ...record,
    head: { ...head, droppedMessages: head.droppedMessages + dropped },
    turns: turns.slice(dropped),
    turnLines: turnLines.slice(start),
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
  const shorter = withoutOldest(record, excess + headSlackBytes);
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
export function encodeWithin(
  record: ConversationRecord,
  maxBytes: number,
): { readonly record: ConversationRecord; readonly text: string } {
  const text = encodeRecord(record);
  // No character has more than three bytes for one unit of length, so most heads and system texts need no counting.
  if (record.turnBytes + (text.length - record.turnLines.length) * 3 <= maxBytes) return { record, text };
  const bounded = withinBytes(record, maxBytes);
  return { record: bounded, text: bounded === record ? text : encodeRecord(bounded) };
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
