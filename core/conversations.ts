/**
 * What the model is told of earlier turns, and how a finished turn is kept. A turn with a key costs one read and, when
 * nobody interferes, one write; one without costs nothing.
 */
import {
  type ConversationRecord,
  decodeRecord,
  emptyRecord,
  encodeRecord,
  type LastTurn,
  type RecordHead,
  replyParts,
} from "./conversation-record.ts";
import { ApiError } from "./errors.ts";
import { recentRecords } from "./recent-records.ts";
import type { SessionKey } from "./session-key.ts";
import { sha256 } from "./sha256.ts";
import { type SharedAnswer, sharedAnswer } from "./shared-answer.ts";
import { newConversation, planTurn, type TurnPlan } from "./turn-rules.ts";
import type {
  Answer,
  ChatMessage,
  Clock,
  ConversationRef,
  Logger,
  MaybePromise,
  SessionStore,
  StoredValue,
  StreamParts,
} from "./types.ts";

export interface ConversationsOptions {
  readonly store: SessionStore;
  readonly clock: Clock;
  readonly log: Logger;
  /** How long a conversation is remembered after its last finished turn. */
  readonly ttlMs: number;
  /** The most that is kept of one conversation, in bytes of UTF-8. */
  readonly maxBytes: number;
}

/** What a request says about the conversation it belongs to. */
export interface ConversationCall {
  /** Undefined for a stateless call. */
  readonly key: SessionKey | undefined;
  readonly messages: readonly ChatMessage[];
  /** The request's body as it was sent; a retry has the same. */
  readonly body: string;
  readonly idempotencyKey?: string | undefined;
  /** `x-stainless-retry-count`, or 0. */
  readonly retryCount: number;
}

export type StartAnswer = (signal: AbortSignal) => AsyncIterable<StreamParts>;

export interface Turn {
  /** What the provider is told: system texts, remembered turns and the new messages. */
  readonly messages: readonly ChatMessage[];
  readonly conversation: ConversationRef;
  /**
   * Who answers: the provider; the same request, which is already under way in this process; or the store, from the
   * same request that was finished before. Known once `answer` has been called.
   */
  readonly source: "provider" | "running" | "store";
  /**
   * The parts of the answer. `start` asks the provider, if it must be asked; the signal that it gets aborts once nobody
   * waits any more. Must be left by `return`, after `finish` where it is called: until then retries can join in.
   */
  answer(start: StartAnswer, signal: AbortSignal): AsyncIterable<StreamParts>;
  /**
   * Keeps the whole answer as it was delivered; to be called before its last bytes go out. Resolves to false if the
   * turn could not be kept. Never rejects.
   */
  finish(answer: Answer): MaybePromise<boolean>;
}

/** What is remembered of a conversation. */
export interface RememberedConversation {
  /** In Chat Completions' shape, system texts first. */
  readonly messages: readonly Readonly<Record<string, unknown>>[];
  readonly startedAtMs: number;
  readonly finishedAtMs: number;
  readonly expiresAtMs: number;
  /** The client sends its history itself, so none is kept for it. */
  readonly keepsOwnHistory: boolean;
}

export interface Conversations {
  /** Throws ApiError session_store_unavailable or idempotency_key_reused. */
  open(call: ConversationCall): MaybePromise<Turn>;
  /** Throws ApiError session_store_unavailable. */
  show(key: SessionKey): Promise<RememberedConversation | undefined>;
  /** Throws ApiError session_store_unavailable. */
  forget(key: SessionKey): Promise<void>;
}

/** What was found under a conversation's key. */
interface Found {
  readonly record: ConversationRecord | undefined;
  /** What a conditional write must name. */
  readonly version: string | null;
  readonly generation: string | undefined;
}

/** An answer under way, and what tells whether another request asks for the same one. */
interface RunningTurn {
  readonly identity: Identity;
  readonly answer: SharedAnswer;
  saving: Promise<boolean> | undefined;
}

const minuteMs = 60_000;
/** How long an answer can be had again by repeating its request. */
const replayMs = 5 * minuteMs;
/** How long a deletion leaves a trace: longer than any platform lets a request run. */
const deletionTtlMs = 60 * minuteMs;
/** For a client, before it asks a broken store again. */
const storeRetryAfterMs = 2_000;
/** A write can meet as many others as there are turns of the conversation at once. */
const maxWrites = 200;
const longestPauseMs = 100;
/** How much of the conversations used last is held parsed, in characters of their records; parsed they take many times that. */
const recentRecordsLength = 256 * 1024;

/** What a conversation is stored under. The array's JSON keeps its parts apart, whatever they contain. */
const storeKeyOf = ({ namespace, apiKey, value }: SessionKey): string =>
  `chat:${sha256(JSON.stringify([namespace, apiKey, value]))}`;

/**
 * 53 bits of a text and its length: cyrb53, https://github.com/bryc/code. Enough to tell requests of one conversation
 * apart, at a tenth of what a cryptographic hash costs; nobody could forge one but the conversation's owner.
 */
function fingerprint(text: string): string {
  let low = 0xdeadbeef;
  let high = 0x41c6ce57;
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    low = Math.imul(low ^ unit, 2654435761);
    high = Math.imul(high ^ unit, 1597334677);
  }
  low = Math.imul(low ^ (low >>> 16), 2246822507) ^ Math.imul(high ^ (high >>> 13), 3266489909);
  high = Math.imul(high ^ (high >>> 16), 2246822507) ^ Math.imul(low ^ (low >>> 13), 3266489909);
  return `${text.length}-${(4294967296 * (2097151 & high) + (low >>> 0)).toString(36)}`;
}

/** What tells whether two requests are the same. */
type Identity = Pick<LastTurn, "request" | "idempotencyKey">;

const identify = ({ body, idempotencyKey }: ConversationCall): Identity => ({
  request: fingerprint(body),
  idempotencyKey: idempotencyKey === undefined ? undefined : fingerprint(idempotencyKey),
});

/** Whether a request repeats an earlier one. Throws ApiError idempotency_key_reused. */
const repeats = (identity: Identity, retryCount: number, earlier: Identity): boolean => {
  const isSameBody = identity.request === earlier.request;
  if (identity.idempotencyKey !== undefined && identity.idempotencyKey === earlier.idempotencyKey) {
    if (isSameBody) return true;
    const message = "The Idempotency-Key was used for another request of this conversation.";
    throw new ApiError("idempotency_key_reused", message);
  }
  return isSameBody && retryCount > 0;
};

/** Opens conversations over a store. */
export function conversations(options: ConversationsOptions): Conversations {
  const { store, clock, log, ttlMs, maxBytes } = options;
  const running = new Map<string, readonly RunningTurn[]>();
  const recent = recentRecords(recentRecordsLength);

  const unavailable = (cause: unknown): ApiError => {
    log.error("session.store_failed", { store: store.name, error: (cause as Error).message });
    const message = "The store of the conversations can't be reached. Please try again.";
    return new ApiError("session_store_unavailable", message, { retryAfterMs: storeRetryAfterMs, cause });
  };

  const read = async (storeKey: string): Promise<StoredValue | undefined> => {
    try {
      return await store.get(storeKey);
    } catch (cause) {
      throw unavailable(cause);
    }
  };

  const look = async (storeKey: string): Promise<Found> => {
    const stored = await read(storeKey);
    if (stored === undefined) return { record: undefined, version: null, generation: undefined };
    const { value, version } = stored;
    const record = recent.find(storeKey, version) ?? decodeRecord(value);
    if (record === undefined) log.warn("session.unreadable", { store: store.name });
    // The store's own expiry may be late.
    if (record === undefined || record.head.expiresAtMs <= clock.now())
      return { record: undefined, version, generation: undefined };
    const { isDeleted, generation } = record.head;
    return { record: isDeleted ? undefined : record, version, generation };
  };

  const pause = (writes: number): Promise<void> =>
    new Promise((resolve) => {
      clock.schedule(resolve, Math.random() * Math.min(longestPauseMs, 2 ** writes));
    });

  /** Writes the turn after what was found; again, after what is there by then, if somebody was faster. */
  const write = async (
    storeKey: string,
    opened: Found,
    plan: TurnPlan,
    answer: Answer,
    isSame: (earlier: Identity) => boolean,
  ): Promise<"saved" | "deleted" | "too_long"> => {
    let found = opened;
    for (let writes = 1; writes <= maxWrites; writes++) {
      const kept = plan.keep(answer, found.record, found.generation, clock.now());
      const { record, text, isWhole } = kept;
      const version = await store.set(storeKey, text, { ttlMs: kept.ttlMs, ifVersion: found.version });
      if (version !== undefined) {
        recent.keep(storeKey, { value: text, version }, record);
        return isWhole ? "saved" : "too_long";
      }
      await pause(writes);
      found = await look(storeKey);
      // Deleted since the turn began: the deletion wins. What has merely expired is written anew.
      if (found.generation !== undefined && found.generation !== opened.generation) return "deleted";
      // The same request, made once more at another instance, was faster: remembered twice it would be two turns.
      if (found.record?.head.last && isSame(found.record.head.last)) return "saved";
    }
    throw new Error("Too many turns of one conversation at once");
  };

  /** Drops the stored turns ahead of the new one, where the rules want that; resolves to what is there by then. */
  const dropStored = async (storeKey: string, found: Found, plan: TurnPlan): Promise<Found> => {
    if (plan.instead === undefined) return found;
    const { record, text, ttlMs } = plan.instead(found.generation);
    try {
      const version = await store.set(storeKey, text, { ttlMs, ifVersion: found.version });
      if (version === undefined) return found;
      recent.keep(storeKey, { value: text, version }, record);
      return { ...found, record, version };
    } catch (error) {
      // The turn itself will be written too, and says so where that fails.
      log.warn("session.not_saved", { store: store.name, reason: (error as Error).message });
      return found;
    }
  };

  const release = (storeKey: string, turn: RunningTurn) => {
    const others = running.get(storeKey)?.filter((other) => other !== turn) ?? [];
    if (others.length > 0) running.set(storeKey, others);
    else running.delete(storeKey);
  };

  const run = (storeKey: string, identity: Identity, start: StartAnswer): RunningTurn => {
    const onEmpty = () => {
      if (turn.saving === undefined) release(storeKey, turn);
    };
    const turn: RunningTurn = { identity, answer: sharedAnswer(start, onEmpty), saving: undefined };
    const others = running.get(storeKey);
    running.set(storeKey, others ? [...others, turn] : [turn]);
    return turn;
  };

  const replay = (call: ConversationCall, record: ConversationRecord, last: LastTurn): Turn => {
    const { head, system, turns } = record;
    const reply = turns.at(-1);
    return {
      messages: head.keepsOwnHistory ? call.messages : [...system, ...turns.slice(0, -1)],
      conversation: { id: head.id, startedAtMs: head.startedAtMs },
      source: "store",
      async *answer() {
        if (reply) yield* replyParts(reply, last);
      },
      finish: () => true,
    };
  };

  const openRemembered = async (key: SessionKey, call: ConversationCall): Promise<Turn> => {
    const identity = identify(call);
    const isSame = (earlier: Identity) => repeats(identity, call.retryCount, earlier);
    const storeKey = storeKeyOf(key);
    const found = await look(storeKey);
    const { record } = found;
    const last = record?.head.last;
    if (record && last && clock.now() - record.head.finishedAtMs < replayMs && isSame(last))
      return replay(call, record, last);

    const { namespace } = key;
    const { messages } = call;
    const plan = planTurn({ namespace, messages, identity }, record, { ttlMs, maxBytes }, clock.now());
    const opened = await dropStored(storeKey, found, plan);
    let source: Turn["source"] = "provider";
    let turn: RunningTurn | undefined;

    const save = async (answer: Answer): Promise<boolean> => {
      let outcome: string;
      try {
        outcome = await write(storeKey, opened, plan, answer, isSame);
      } catch (error) {
        outcome = (error as Error).message;
      }
      if (turn) release(storeKey, turn);
      if (outcome !== "saved") log.warn("session.not_saved", { store: store.name, reason: outcome });
      return outcome === "saved";
    };

    return {
      messages: plan.messages,
      conversation: plan.conversation,
      get source() {
        return source;
      },
      answer(start, signal) {
        for (const other of running.get(storeKey) ?? []) {
          if (!other.answer.isJoinable || !isSame(other.identity)) continue;
          source = "running";
          turn = other;
          return other.answer.join(signal);
        }
        turn = run(storeKey, identity, start);
        return turn.answer.join(signal);
      },
      finish(answer) {
        if (turn === undefined) return save(answer);
        turn.saving ??= save(answer);
        return turn.saving;
      },
    };
  };

  return {
    open(call) {
      if (call.key !== undefined) return openRemembered(call.key, call);
      return {
        messages: call.messages,
        conversation: newConversation(clock.now()),
        source: "provider",
        answer: (start, signal) => start(signal),
        finish: () => true,
      };
    },

    async show(key) {
      const storeKey = storeKeyOf(key);
      const { record } = await look(storeKey);
      if (record === undefined) return undefined;
      const { startedAtMs, finishedAtMs, expiresAtMs, keepsOwnHistory = false } = record.head;
      const messages = keepsOwnHistory ? [] : [...record.system, ...record.turns].map(({ native }) => native);
      return { messages, startedAtMs, finishedAtMs, expiresAtMs, keepsOwnHistory };
    },

    async forget(key) {
      const storeKey = storeKeyOf(key);
      const nowMs = clock.now();
      const trace: RecordHead = {
        id: "",
        startedAtMs: nowMs,
        finishedAtMs: nowMs,
        expiresAtMs: nowMs + deletionTtlMs,
        droppedMessages: 0,
        generation: crypto.randomUUID(),
        isDeleted: true,
      };
      recent.drop(storeKey);
      try {
        await store.set(storeKey, encodeRecord(emptyRecord(trace)).text, { ttlMs: deletionTtlMs });
      } catch (cause) {
        throw unavailable(cause);
      }
    },
  };
}
