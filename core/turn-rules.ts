/** The rules of memory, apart from where it is kept: what the model is told, and what is written down afterwards. */
import {
  type ConversationRecord,
  encodeBounded,
  encodeLines,
  type LastTurn,
  type RecordHead,
  replyMessage,
  skipLines,
} from "./conversation-record.ts";
import type { Answer, ChatMessage, ConversationRef } from "./types.ts";

/** How long it is known that a client keeps its history itself, in milliseconds. */
const ownHistoryTtlMs = 30 * 24 * 3_600_000;

export interface TurnRequest {
  /** `user` alone can come to mean "remember nothing"; X-Session-Id always continues. */
  readonly namespace: "session" | "user";
  readonly messages: readonly ChatMessage[];
  /** What is kept with the reply so that a retry of the request is known. */
  readonly identity: Pick<LastTurn, "request" | "idempotencyKey">;
}

export interface TurnLimits {
  readonly ttlMs: number;
  readonly maxBytes: number;
}

/** What to write in place of what was found. */
export interface KeptTurn {
  readonly text: string;
  readonly ttlMs: number;
  /** Whether the new turn is in it. */
  readonly isWhole: boolean;
}

export interface TurnPlan {
  readonly messages: readonly ChatMessage[];
  readonly conversation: ConversationRef;
  /** `found` is what is stored by now: another turn may have been faster. */
  keep(
    answer: Answer,
    found: ConversationRecord | undefined,
    generation: string | undefined,
    nowMs: number,
  ): KeptTurn;
}

const alphabet = "abcdefghijklmnopqrstuvwxyz0123456789";

/** A conversation that nobody has seen yet. */
export const newConversation = (startedAtMs: number): ConversationRef => {
  let id = "";
  for (const byte of crypto.getRandomValues(new Uint8Array(9))) id += alphabet[byte % alphabet.length];
  return { id, startedAtMs };
};

const isSystem = ({ role }: ChatMessage): boolean => role === "system" || role === "developer";

const systemOf = ({ head, messages }: ConversationRecord) => messages.slice(0, head.systemMessages);
const turnsOf = ({ head, messages }: ConversationRecord) => messages.slice(head.systemMessages);

/** Whether a client's own history goes on from the turns that are stored. */
const extendsStored = (history: readonly ChatMessage[], record: ConversationRecord): boolean =>
  turnsOf(record).every(({ role, text }, index) => {
    const own = history[record.head.droppedMessages + index];
    return own?.role === role && own.text === text;
  });

const lastTurn = (answer: Answer, identity: TurnRequest["identity"]): { last?: LastTurn } => {
  const [reply, ...others] = answer.replies;
  // Of several replies one is remembered, which is not what a retry asks for.
  if (reply?.finishReason === undefined || others.length > 0) return {};
  const { finishReason } = reply;
  return { last: { ...identity, finishReason, ...(answer.usage && { usage: answer.usage }) } };
};

/** Plans a turn after what is remembered, if anything is. */
export function planTurn(
  { namespace, messages, identity }: TurnRequest,
  record: ConversationRecord | undefined,
  { ttlMs, maxBytes }: TurnLimits,
  nowMs: number,
): TurnPlan {
  const system = messages.filter(isSystem);
  const turns = system.length === 0 ? messages : messages.filter((message) => !isSystem(message));
  const carriesHistory = turns.some(({ role }) => role === "assistant");

  const isUnremembered = (found: ConversationRecord | undefined): boolean =>
    namespace === "user" && (carriesHistory || found?.head.keepsOwnHistory === true);

  const told = (): readonly ChatMessage[] => {
    if (record === undefined || isUnremembered(record)) return messages;
    if (!carriesHistory)
      return [...(system.length > 0 ? system : systemOf(record)), ...turnsOf(record), ...turns];
    return system.length > 0 ? messages : [...systemOf(record), ...messages];
  };

  const goesOn =
    record !== undefined && !record.head.keepsOwnHistory && (!carriesHistory || extendsStored(turns, record));
  const conversation: ConversationRef = goesOn
    ? { id: record.head.id, startedAtMs: record.head.startedAtMs }
    : newConversation(nowMs);

  return {
    messages: told(),
    conversation,

    keep(answer, found, generation, finishedAtMs) {
      const reply = answer.replies[0] && replyMessage(answer.replies[0]);
      const newTurns = reply ? [...turns, reply] : turns;
      const isMarker = isUnremembered(found);
      const lifeMs = isMarker ? ownHistoryTtlMs : ttlMs;
      const head: Omit<RecordHead, "systemMessages"> = {
        ...conversation,
        finishedAtMs,
        expiresAtMs: finishedAtMs + lifeMs,
        droppedMessages: 0,
        ...(generation !== undefined && { generation }),
        ...lastTurn(answer, identity),
      };

      if (isMarker) {
        const kept = reply ? [reply] : [];
        const draft = { head: { ...head, keepsOwnHistory: true }, system: [], turns: kept } as const;
        const { text } = encodeBounded({ ...draft, turnLines: encodeLines(kept) }, maxBytes);
        return { text, ttlMs: lifeMs, isWhole: true };
      }

      const storedSystem = found && system.length === 0 ? systemOf(found) : system;
      if (found === undefined || carriesHistory) {
        const draft = { head, system: storedSystem, turns: newTurns, turnLines: encodeLines(newTurns) };
        return { ...encodeBounded(draft, maxBytes), ttlMs };
      }
      const { id, startedAtMs, systemMessages, droppedMessages } = found.head;
      const draft = {
        head: { ...head, id, startedAtMs, droppedMessages },
        system: storedSystem,
        turns: [...turnsOf(found), ...newTurns],
        turnLines: skipLines(found.lines, systemMessages) + encodeLines(newTurns),
      };
      return { ...encodeBounded(draft, maxBytes), ttlMs };
    },
  };
}
