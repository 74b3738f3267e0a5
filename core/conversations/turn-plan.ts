/** The rules of memory, apart from where it is kept: what the model may read, and what is written down afterwards. */
import { replyMessage } from "../dialects/shared/chat-completions-message.ts";
import type { Answer, ChatMessage, ConversationRef, ConversationSummary } from "../types.ts";
import { isSystem } from "../util/messages.ts";
import {
  type ConversationRecord,
  type EncodedRecord,
  emptyRecord,
  encodeRecord,
  type LastTurn,
  type RecordHead,
} from "./record.ts";
import { Transcript } from "./transcript.ts";

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
export interface KeptTurn extends EncodedRecord {
  readonly ttlMs: number;
  /** Whether the new turn had room in it. */
  readonly isWhole: boolean;
}

export interface TurnPlan {
  readonly transcript: Transcript;
  readonly conversation: ConversationRef;
  /**
   * What takes the place of the stored turns even if this one comes to nothing: else the next chat of a client that has
   * just shown its own history would see them.
   */
  readonly instead: ((generation: string | undefined) => KeptTurn) | undefined;
  /**
   * Writes a summary down beside the finished turn; undefined where the conversation is another one by now, or has no room
   * for it. Absent where the client keeps its history itself.
   */
  readonly keepSummary:
    | ((
        summary: ConversationSummary,
        found: ConversationRecord | undefined,
        nowMs: number,
      ) => KeptTurn | undefined)
    | undefined;
  /** `found` is what is stored by now: another turn may have been faster. */
  keep(
    answer: Answer,
    found: ConversationRecord | undefined,
    generation: string | undefined,
    nowMs: number,
  ): KeptTurn;
}

/** A conversation that no upstream has seen yet. */
export const newConversation = (startedAtMs: number): ConversationRef => ({
  id: crypto.randomUUID().replaceAll("-", "").slice(0, 9),
  startedAtMs,
});

const isAssistant = ({ role }: ChatMessage): boolean => role === "assistant";

const isUser = ({ role }: ChatMessage): boolean => role === "user";

const hasReasoning = ({ native }: ChatMessage): boolean =>
  Boolean(native.reasoning_content ?? native.reasoning_details ?? native.annotations);

/** A remembered message without what only its own turn needs: other upstreams refuse a message with such fields. */
const withoutReasoning = (message: ChatMessage): ChatMessage => {
  if (!hasReasoning(message)) return message;
  const { reasoning_content: _, reasoning_details: __, annotations: ___, ...native } = message.native;
  return { ...message, native };
};

/**
 * The remembered turns as a model reads them. A model that waits for its tools' results reads its reasoning again, which
 * some insist on; once that is over, it is left out.
 */
const retell = (turns: readonly ChatMessage[], next: readonly ChatMessage[]): readonly ChatMessage[] => {
  const goesOnFrom = next.some(isUser) ? turns.length : Math.max(turns.findLastIndex(isUser), 0);
  return turns.map((message, index) => (index < goesOnFrom ? withoutReasoning(message) : message));
};

/** Whether a client's own history goes on from the turns that are stored. */
const extendsStored = (history: readonly ChatMessage[], { turns, head }: ConversationRecord): boolean =>
  turns.every(({ role, text }, index) => {
    const own = history[head.droppedMessages + index];
    return own?.role === role && own.text === text;
  });

/** Of several replies one is remembered, which is not what a retry asks for. */
const lastTurn = ({ replies, usage }: Answer, identity: TurnRequest["identity"]): LastTurn | undefined => {
  const finishReason = replies[0]?.finishReason;
  if (finishReason === undefined || replies.length > 1) return undefined;
  return { request: identity.request, idempotencyKey: identity.idempotencyKey, finishReason, usage };
};

/** The mark of a client that keeps its history itself. */
const marker = (
  { id, startedAtMs }: ConversationRef,
  generation: string | undefined,
  nowMs: number,
): KeptTurn => {
  const record = emptyRecord({
    id,
    startedAtMs,
    finishedAtMs: nowMs,
    expiresAtMs: nowMs + ownHistoryTtlMs,
    droppedMessages: 0,
    keepsOwnHistory: true,
    generation,
  });
  return { ...encodeRecord(record), ttlMs: ownHistoryTtlMs, isWhole: true };
};

const none: readonly ChatMessage[] = [];

/** Plans a turn after what is remembered, if anything is. */
export function planTurn(
  { namespace, messages, identity }: TurnRequest,
  record: ConversationRecord | undefined,
  { ttlMs, maxBytes }: TurnLimits,
  nowMs: number,
): TurnPlan {
  const hasSystem = messages.some(isSystem);
  const system = hasSystem ? messages.filter(isSystem) : none;
  const turns = hasSystem ? messages.filter((message) => !isSystem(message)) : messages;
  const carriesHistory = turns.some(isAssistant);
  /** Whether the turn is one of a client that keeps its history itself, and is not to be remembered. */
  const isUnremembered = (found: ConversationRecord | undefined): boolean =>
    namespace === "user" && (carriesHistory || found?.head.keepsOwnHistory === true);

  let transcript = new Transcript(messages);
  if (record !== undefined && !isUnremembered(record)) {
    const toldSystem = hasSystem ? system : record.system;
    if (!carriesHistory) transcript = new Transcript(turns, retell(record.turns, turns), toldSystem);
    else if (!hasSystem) transcript = new Transcript(messages, [], toldSystem);
  }

  const goesOn =
    record !== undefined && !record.head.keepsOwnHistory && (!carriesHistory || extendsStored(turns, record));
  /** Messages of the conversation once this turn's own are added, those that had no more room among them. */
  const toldMessages = (goesOn ? record.head.droppedMessages + record.turns.length : 0) + turns.length;
  const summary = carriesHistory ? undefined : record?.head.summary;
  const conversation: ConversationRef = goesOn
    ? {
        id: record.head.id,
        startedAtMs: record.head.startedAtMs,
        ...(summary && {
          summary: { text: summary.text, recentMessages: toldMessages - summary.coveredMessages },
        }),
      }
    : newConversation(nowMs);

  const dropsStored =
    namespace === "user" && carriesHistory && record !== undefined && !record.head.keepsOwnHistory;
  return {
    transcript,
    conversation,
    instead: dropsStored ? (generation) => marker(conversation, generation, nowMs) : undefined,

    keepSummary:
      carriesHistory || isUnremembered(record)
        ? undefined
        : (made, found, atMs) => {
            if (found === undefined || found.head.id !== conversation.id) return undefined;
            const { text } = made;
            const coveredMessages = toldMessages - made.recentMessages;
            const changed = { ...found, head: { ...found.head, summary: { text, coveredMessages } } };
            const encoded = encodeRecord(changed, maxBytes);
            if (encoded.record.turns.length < found.turns.length) return undefined;
            return { ...encoded, ttlMs: found.head.expiresAtMs - atMs, isWhole: true };
          },

    keep(answer, found, generation, finishedAtMs) {
      const isMarker = isUnremembered(found);
      const goesOnFrom = isMarker || carriesHistory ? undefined : found;
      const lifeMs = isMarker ? ownHistoryTtlMs : ttlMs;
      const head: RecordHead = {
        id: goesOnFrom?.head.id ?? conversation.id,
        startedAtMs: goesOnFrom?.head.startedAtMs ?? conversation.startedAtMs,
        finishedAtMs,
        expiresAtMs: finishedAtMs + lifeMs,
        droppedMessages: goesOnFrom?.head.droppedMessages ?? 0,
        summary: goesOnFrom?.head.summary,
        keepsOwnHistory: isMarker ? true : undefined,
        generation,
        last: lastTurn(answer, identity),
      };
      const reply = answer.replies[0] && replyMessage(answer.replies[0]);
      const kept = isMarker ? none : turns;
      const keptSystem = isMarker ? none : hasSystem ? system : (found?.system ?? none);
      const before = goesOnFrom?.turns ?? [];
      const record = {
        head,
        system: keptSystem,
        turns: [...before, ...kept, ...(reply ? [reply] : [])],
        ...(goesOnFrom?.written && { written: goesOnFrom.written }),
      };
      const { record: left, text } = encodeRecord(record, maxBytes);
      return { record: left, text, ttlMs: lifeMs, isWhole: isMarker || left.turns.length > 0 };
    },
  };
}
