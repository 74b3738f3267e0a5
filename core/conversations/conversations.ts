/**
 * What the model is told of earlier turns, and how a finished turn is kept. A turn with a key costs one read and, when
 * nobody interferes, one write; one without costs nothing.
 */

import { LRUCache } from "lru-cache";
import { ApiError } from "../errors.ts";
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
} from "../types.ts";
import { andThen, orElse } from "../util/maybe-promise.ts";
import {
  type ConversationRecord,
  decodeRecord,
  emptyRecord,
  encodeRecord,
  type LastTurn,
  maxShortLength,
  type RecordHead,
  replyParts,
} from "./record.ts";
import { type SessionKey, storeKey as storeKeyOf } from "./session-key.ts";
import { type SharedAnswer, sharedAnswer } from "./shared-answer.ts";
import { noMessages, Transcript } from "./transcript.ts";
import { type KeptTurn, newConversation, planTurn, type TurnPlan } from "./turn-plan.ts";

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
  /** What the provider may be told: system texts, remembered turns and the new messages. */
  readonly transcript: Transcript;
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

/** A request that the provider is asked for, unless another one has asked for the same. */
interface OpenedTurn {
  readonly storeKey: string;
  readonly identity: Identity;
  isSame(earlier: Identity): boolean;
}

/** An answer under way, and what tells whether another request asks for the same one. */
interface RunningTurn {
  readonly identity: Identity;
  /** Undefined once nobody can join it any more. */
  answer: SharedAnswer | undefined;
  saving: MaybePromise<boolean> | undefined;
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
/** How much of the long conversations used last is held parsed, in characters of their records: up to 6 MiB, if they are all tiny messages. */
const recentRecordsLength = 256 * 1024;

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

/** A turn of which nothing is known and nothing is kept. */
class StatelessTurn implements Turn {
  readonly source = "provider";
  readonly transcript: Transcript;
  readonly conversation: ConversationRef;

  constructor(messages: readonly ChatMessage[], openedMs: number) {
    this.transcript = new Transcript(messages);
    this.conversation = newConversation(openedMs);
  }

  answer(start: StartAnswer, signal: AbortSignal): AsyncIterable<StreamParts> {
    return start(signal);
  }

  finish(): boolean {
    return true;
  }
}

/** Opens conversations over a store. */
export function conversations(options: ConversationsOptions): Conversations {
  const { store, clock, log, ttlMs, maxBytes } = options;
  const running = new Map<string, readonly RunningTurn[]>();
  /**
   * The long records written last, as they were before they became text: a turn parses only what another instance has
   * written meanwhile. The store's version says whether a record is still the stored one. Short ones are parsed in no
   * time; held, they would outlive several collections of garbage, and cost more.
   */
  const recent = new LRUCache<string, { readonly version: string; readonly record: ConversationRecord }>({
    maxSize: recentRecordsLength,
  });

  const unavailable = (cause: unknown): ApiError => {
    log.error("session.store_failed", { store: store.name, error: (cause as Error).message });
    const message = "The store of the conversations can't be reached. Please try again.";
    return new ApiError("session_store_unavailable", message, { retryAfterMs: storeRetryAfterMs, cause });
  };

  const read = (storeKey: string): MaybePromise<StoredValue | undefined> =>
    orElse(
      () => store.get(storeKey),
      (cause) => {
        throw unavailable(cause);
      },
    );

  const understand = (storeKey: string, stored: StoredValue | undefined): Found => {
    if (stored === undefined) return { record: undefined, version: null, generation: undefined };
    const { value, version } = stored;
    const atHand = recent.get(storeKey);
    const record = atHand?.version === version ? atHand.record : decodeRecord(value);
    if (record === undefined) log.warn("session.unreadable", { store: store.name });
    // The store's own expiry may be late.
    if (record === undefined || record.head.expiresAtMs <= clock.now())
      return { record: undefined, version, generation: undefined };
    const { isDeleted, generation } = record.head;
    return { record: isDeleted ? undefined : record, version, generation };
  };

  const look = (storeKey: string): MaybePromise<Found> =>
    andThen(read(storeKey), (stored) => understand(storeKey, stored));

  /** Resolves to the new version, or undefined if somebody was faster. */
  const put = (
    storeKey: string,
    { record, text, ttlMs }: KeptTurn,
    ifVersion: string | null,
  ): MaybePromise<string | undefined> =>
    andThen(store.set(storeKey, text, { ttlMs, ifVersion }), (version) => {
      if (version !== undefined && text.length > maxShortLength)
        recent.set(storeKey, { version, record }, { size: text.length });
      return version;
    });

  const pause = (writes: number): Promise<void> =>
    new Promise((resolve) => {
      clock.schedule(resolve, Math.random() * Math.min(longestPauseMs, 2 ** writes));
    });

  /** Writes the turn after what was found; again, after what is there by then, if somebody was faster. */
  const write = (
    storeKey: string,
    opened: Found,
    plan: TurnPlan,
    answer: Answer,
    isSame: (earlier: Identity) => boolean,
  ): MaybePromise<"saved" | "deleted" | "too_long"> => {
    const writeAfter = (found: Found, writes: number): MaybePromise<"saved" | "deleted" | "too_long"> => {
      const kept = plan.keep(answer, found.record, found.generation, clock.now());
      return andThen(put(storeKey, kept, found.version), (version) => {
        if (version === undefined) return writeAgain(writes);
        return kept.isWhole ? "saved" : "too_long";
      });
    };
    const writeAgain = async (writes: number) => {
      await pause(writes);
      const found = await look(storeKey);
      // Deleted since the turn began: the deletion wins. What has merely expired is written anew.
      if (found.generation !== undefined && found.generation !== opened.generation) return "deleted";
      // The same request, made once more at another instance, was faster: remembered twice it would be two turns.
      if (found.record?.head.last && isSame(found.record.head.last)) return "saved";
      if (writes === maxWrites) throw new Error("Too many turns of one conversation at once");
      return writeAfter(found, writes + 1);
    };
    return writeAfter(opened, 1);
  };

  /** Drops the stored turns ahead of the new one, where the rules want that; resolves to what is there by then. */
  const dropStored = (storeKey: string, found: Found, plan: TurnPlan): MaybePromise<Found> => {
    if (plan.instead === undefined) return found;
    const kept = plan.instead(found.generation);
    return orElse(
      () =>
        andThen(put(storeKey, kept, found.version), (version) =>
          version === undefined ? found : { ...found, record: kept.record, version },
        ),
      (error) => {
        // The turn itself will be written too, and says so where that fails.
        log.warn("session.not_saved", { store: store.name, reason: (error as Error).message });
        return found;
      },
    );
  };

  const release = (storeKey: string, turn: RunningTurn) => {
    // JavaScriptCore keeps what was in a map, with all that hangs on it, until its next full collection: several
    // kilobytes for each turn, which pass for old by then.
    turn.answer = undefined;
    const others = running.get(storeKey)?.filter((other) => other !== turn) ?? [];
    if (others.length > 0) running.set(storeKey, others);
    else running.delete(storeKey);
  };

  const enter = (storeKey: string, turn: RunningTurn) => {
    const others = running.get(storeKey);
    running.set(storeKey, others ? [...others, turn] : [turn]);
  };

  const replay = (call: ConversationCall, record: ConversationRecord, last: LastTurn): Turn => {
    const { head, system, turns } = record;
    const reply = turns.at(turns.length - 1);
    return {
      transcript: head.keepsOwnHistory
        ? new Transcript(call.messages)
        : new Transcript(turns.slice(0, turns.length - 1), noMessages, system),
      conversation: { id: head.id, startedAtMs: head.startedAtMs },
      source: "store",
      async *answer() {
        if (reply) yield* replyParts(reply, last);
      },
      finish: () => true,
    };
  };

  const askedTurn = ({ storeKey, identity, isSame }: OpenedTurn, plan: TurnPlan, opened: Found): Turn => {
    let turn: RunningTurn | undefined;

    const save = (answer: Answer): MaybePromise<boolean> =>
      andThen(
        orElse<string>(
          () => write(storeKey, opened, plan, answer, isSame),
          (error) => (error as Error).message,
        ),
        (outcome) => {
          if (turn) release(storeKey, turn);
          if (outcome !== "saved") log.warn("session.not_saved", { store: store.name, reason: outcome });
          return outcome === "saved";
        },
      );

    const asked = {
      transcript: plan.transcript,
      conversation: plan.conversation,
      source: "provider" as Turn["source"],
      answer(start: StartAnswer, signal: AbortSignal) {
        for (const other of running.get(storeKey) ?? []) {
          if (!other.answer?.isJoinable || !isSame(other.identity)) continue;
          asked.source = "running";
          turn = other;
          return other.answer.join(signal);
        }
        const shared = sharedAnswer(start, () => {
          if (own.saving === undefined) release(storeKey, own);
        });
        const own: RunningTurn = { identity, answer: shared, saving: undefined };
        enter(storeKey, own);
        turn = own;
        return shared.join(signal);
      },
      finish(answer: Answer) {
        if (turn === undefined) return save(answer);
        turn.saving ??= save(answer);
        return turn.saving;
      },
    };
    return asked;
  };

  const openAfter = (found: Found, key: SessionKey, storeKey: string, call: ConversationCall) => {
    const identity = identify(call);
    const isSame = (earlier: Identity) => repeats(identity, call.retryCount, earlier);
    const { record } = found;
    const last = record?.head.last;
    if (record && last && clock.now() - record.head.finishedAtMs < replayMs && isSame(last))
      return replay(call, record, last);

    const { namespace } = key;
    const { messages } = call;
    const plan = planTurn({ namespace, messages, identity }, record, { ttlMs, maxBytes }, clock.now());
    const asking = { storeKey, identity, isSame };
    return andThen(dropStored(storeKey, found, plan), (opened) => askedTurn(asking, plan, opened));
  };

  return {
    open(call) {
      const { key } = call;
      if (key !== undefined) {
        return andThen(storeKeyOf(key), (storeKey) =>
          andThen(look(storeKey), (found) => openAfter(found, key, storeKey, call)),
        );
      }
      return new StatelessTurn(call.messages, clock.now());
    },

    async show(key) {
      const storeKey = await storeKeyOf(key);
      const { record } = await look(storeKey);
      if (record === undefined) return undefined;
      const { startedAtMs, finishedAtMs, expiresAtMs, keepsOwnHistory = false } = record.head;
      const messages = keepsOwnHistory
        ? []
        : [...record.system, ...record.turns.slice()].map(({ native }) => native);
      return { messages, startedAtMs, finishedAtMs, expiresAtMs, keepsOwnHistory };
    },

    async forget(key) {
      const storeKey = await storeKeyOf(key);
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
      recent.delete(storeKey);
      try {
        await store.set(storeKey, encodeRecord(emptyRecord(trace)).text, { ttlMs: deletionTtlMs });
      } catch (cause) {
        throw unavailable(cause);
      }
    },
  };
}
