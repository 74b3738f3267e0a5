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
  readonly idempotencyKey?: string;
  readonly finishReason: FinishReason;
  readonly usage?: Usage;
}

export interface RecordHead {
  /** The conversation as providers see it. */
  readonly id: string;
  readonly startedAtMs: number;
  readonly finishedAtMs: number;
  readonly expiresAtMs: number;
  /** How many of the messages are system texts. */
  readonly systemMessages: number;
  /** How many messages have been dropped from the front of the turns, for want of room. */
  readonly droppedMessages: number;
  /** The client keeps its history itself; all that is here is the last reply, for a retry. */
  readonly keepsOwnHistory?: true;
  /** Absent where the reply had no room, or there were several. */
  readonly last?: LastTurn;
  /** Made anew by each deletion, so that a turn that began before it can tell. */
  readonly generation?: string;
  /** Nothing but the trace of a deletion. */
  readonly isDeleted?: true;
}

export interface ConversationRecord {
  readonly head: RecordHead;
  /** System texts first. */
  readonly messages: readonly ChatMessage[];
  /** The messages' lines as they are stored. */
  readonly lines: string;
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

const isHead = (value: unknown): value is RecordHead & { readonly v: number } =>
  isObject(value) &&
  value.v === formatVersion &&
  typeof value.id === "string" &&
  [
    value.startedAtMs,
    value.finishedAtMs,
    value.expiresAtMs,
    value.systemMessages,
    value.droppedMessages,
  ].every(Number.isFinite);

/** Messages as lines; "" for none. */
export const encodeLines = (messages: readonly ChatMessage[]): string => {
  let lines = "";
  for (const message of messages) lines += separator + encodeMessage(message);
  return lines;
};

/** The lines after the first `count`. */
export function skipLines(lines: string, count: number): string {
  let start = 0;
  for (let skipped = 0; skipped < count; skipped++) {
    start = lines.indexOf(separator, start + separator.length);
    if (start < 0) return "";
  }
  return lines.slice(start);
}

/** A record as text. */
export const encodeRecord = (head: RecordHead, lines: string): string =>
  `[${JSON.stringify({ v: formatVersion, ...head })}${lines}]`;

const encoder = new TextEncoder();
const byteLength = (text: string): number => encoder.encode(text).length;

/** How many messages to drop so that at least `excess` bytes go: a user's turn goes together with its reply. */
const countToDrop = (turns: readonly ChatMessage[], lines: string, excess: number): number => {
  let freed = 0;
  let start = 0;
  for (const [index, { role }] of turns.entries()) {
    const beginsTurn = role === "user" && turns[index - 1]?.role !== "user";
    if (beginsTurn && freed >= excess) return index;
    const next = lines.indexOf(separator, start + separator.length);
    const end = next < 0 ? lines.length : next;
    freed += byteLength(lines.slice(start, end));
    start = end;
  }
  return turns.length;
};

/** What is to be written down; `lines` belong to the messages beside them. */
export interface RecordDraft {
  readonly head: Omit<RecordHead, "systemMessages">;
  readonly system: readonly ChatMessage[];
  readonly turns: readonly ChatMessage[];
  readonly turnLines: string;
}

/**
 * A record of at most `maxBytes`: the oldest turns are dropped first, and if need be all of them and the system texts
 * too; `isWhole` tells whether the newest turn is in it.
 */
export function encodeBounded(
  { head, system, turns, turnLines }: RecordDraft,
  maxBytes: number,
): { readonly text: string; readonly isWhole: boolean } {
  const systemMessages = system.length;
  const systemLines = encodeLines(system);
  const text = encodeRecord({ ...head, systemMessages }, systemLines + turnLines);
  // No character has more than three bytes for one unit of length, so most texts need no counting.
  if (text.length * 3 <= maxBytes) return { text, isWhole: true };
  const excess = byteLength(text) - maxBytes;
  if (excess <= 0) return { text, isWhole: true };

  // A few more for the digits by which `droppedMessages` grows.
  const dropped = countToDrop(turns, turnLines, excess + 8);
  const { last, ...rest } = { ...head, systemMessages, droppedMessages: head.droppedMessages + dropped };
  if (dropped < turns.length) {
    const shorter = encodeRecord(
      { ...rest, ...(last && { last }) },
      systemLines + skipLines(turnLines, dropped),
    );
    return { text: shorter, isWhole: true };
  }
  const onlySystem = encodeRecord(rest, systemLines);
  const hasRoom = byteLength(onlySystem) <= maxBytes;
  return { text: hasRoom ? onlySystem : encodeRecord({ ...rest, systemMessages: 0 }, ""), isWhole: false };
}

/** Undefined for what can't be read: foreign, damaged or of a newer version. */
export function decodeRecord(text: string): ConversationRecord | undefined {
  try {
    const [head, ...stored]: unknown[] = JSON.parse(text);
    if (!isHead(head)) return undefined;
    const lineBreak = text.indexOf(separator);
    return {
      head,
      messages: stored.map(decodeMessage),
      lines: lineBreak < 0 ? "" : text.slice(lineBreak, -1),
    };
  } catch {
    return undefined;
  }
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
      tool_calls: toolCalls.map(({ id, name, arguments: json }) => ({
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
  readonly tool_calls?: readonly { id: string; function: { name: string; arguments: string } }[];
}

/** The parts of a reply that `replyMessage` made a message of. */
export function* replyParts({ native }: ChatMessage, last: LastTurn): Generator<StreamPart> {
  const { role, content, reasoning_content, refusal, tool_calls, ...fields } =
    native as unknown as NativeReply;
  if (reasoning_content) yield { type: "reasoning-delta", delta: reasoning_content };
  if (content) yield { type: "text-delta", delta: content };
  if (refusal !== undefined) yield { type: "refusal-delta", delta: refusal };
  for (const [index, { id, function: call }] of (tool_calls ?? []).entries()) {
    yield { type: "tool-call-delta", index, id, name: call.name, delta: call.arguments };
  }
  if (Object.keys(fields).length > 0) yield { type: "extension", scope: "message", fields };
  yield { type: "finish", reason: last.finishReason };
  if (last.usage) yield { type: "usage", usage: last.usage };
}
