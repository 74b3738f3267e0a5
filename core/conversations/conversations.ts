/**
 * What a model may read of earlier turns, and how a finished turn is kept. A turn with a key costs one read and, when
 * no other turn interferes, one write; one without costs nothing.
 */
import { replyEvent } from "../dialects/shared/chat-completions-message.ts";
import { ApiError } from "../errors.ts";
import type {
  Answer,
  AnswerRecord,
  ChatMessage,
  Clock,
  ConversationRef,
  ConversationSummary,
  HeldBy,
  Logger,
  SessionStore,
} from "../types.ts";
import { sleep } from "../util/time.ts";
import { type ConversationRecord, type LastTurn, markBytes } from "./record.ts";
import { createRecordStore, type Place, type StoredRecord } from "./record-store.ts";
import { fingerprint, ownerOf, type SessionKey, storeKey as storeKeyOf } from "./session-key.ts";
import { type BegunAnswer, SharedAnswer } from "./shared-answer.ts";
import { Transcript } from "./transcript.ts";
import { newConversation, planTurn, type TurnPlan } from "./turn-plan.ts";

export interface ConversationsOptions {
  readonly store: SessionStore;
  readonly clock: Clock;
  readonly log: Logger;
  /** How long a conversation is remembered after its last finished turn, in milliseconds. */
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

/** Where an answer comes from: an upstream, the same request that is already under way here, or the store. */
export type AnswerSource = "provider" | "running" | "store";

export type TurnAnswer<Begun extends BegunAnswer> = BegunAnswer & {
  readonly source: AnswerSource;
  /** What is known of the upstream's answer; undefined for one from the store. */
  readonly begun: Begun | undefined;
};

export interface Turn<Begun extends BegunAnswer> {
  /** What the model may read: system texts, remembered turns and the new messages. */
  readonly transcript: Transcript;
  readonly conversation: ConversationRef;
  /** Who keeps what the client refers to by ids; absent where it refers to nothing. */
  readonly heldBy?: HeldBy | undefined;
  /**
   * The answer, once it has begun. `ask` is called if an upstream must be asked; the signal that it gets aborts once no
   * request waits any more. Close it after `finish`: until then retries can join it.
   */
  answer(ask: (signal: AbortSignal) => Promise<Begun>, signal: AbortSignal): Promise<TurnAnswer<Begun>>;
  /**
   * Keeps the whole answer as it was delivered; to be called before its last bytes go out. `record` makes of it what is
   * kept by its id. Resolves to false if the turn could not be kept. Never rejects.
   */
  finish(answer: Answer, record: () => AnswerRecord | undefined): Promise<boolean>;
  /**
   * Keeps a summary of the older messages, for turns to come; to be called after `finish`. Absent where no turns are
   * kept. Never rejects.
   */
  readonly keepSummary?: ((summary: ConversationSummary) => Promise<void>) | undefined;
}

/** What is remembered of a conversation. */
export interface RememberedConversation {
  /** In Chat Completions' shape, system texts first. */
  readonly messages: readonly ChatMessage["native"][];
  readonly startedAtMs: number;
  readonly finishedAtMs: number;
  readonly expiresAtMs: number;
  /** The client sends its history itself, so none is kept for it. */
  readonly keepsOwnHistory: boolean;
  /** The running summary of its older messages, if there is one. */
  readonly summary?: string | undefined;
}

export interface Conversations<Begun extends BegunAnswer> {
  /** Throws ApiError session_store_unavailable or idempotency_key_reused. */
  open(call: ConversationCall): Promise<Turn<Begun>>;
  /** Throws ApiError session_store_unavailable. */
  show(key: SessionKey): Promise<RememberedConversation | undefined>;
  /** Throws ApiError session_store_unavailable. */
  forget(key: SessionKey): Promise<void>;
}

/** How long an answer can be had again by repeating its request. */
const replayMs = 5 * 60_000;
/** A write can meet as many others as there are turns of the conversation at once. */
const maxWrites = 200;
const longestPauseMs = 100;
/** Turns that interfere bring a summary of their own. */
const maxSummaryWrites = 5;

/** What tells whether two requests are the same. */
type Identity = Pick<LastTurn, "request" | "idempotencyKey">;

const identify = async ({ body, idempotencyKey }: ConversationCall): Promise<Identity> => ({
  request: await fingerprint(body),
  idempotencyKey: idempotencyKey === undefined ? undefined : await fingerprint(idempotencyKey),
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

async function* nothing(): AsyncGenerator<never, undefined> {}

const placeOf = async (key: SessionKey): Promise<Place> => ({
  storeKey: await storeKeyOf(key),
  owner: await ownerOf(key.apiKey),
});

/** A turn of which nothing is known and nothing is kept. */
export class StatelessTurn<Begun extends BegunAnswer> implements Turn<Begun> {
  readonly transcript: Transcript;
  readonly conversation: ConversationRef;
  readonly heldBy?: HeldBy | undefined;

  constructor(transcript: Transcript, openedMs: number, heldBy?: HeldBy) {
    this.transcript = transcript;
    this.conversation = newConversation(openedMs);
    this.heldBy = heldBy;
  }

  answer(ask: (signal: AbortSignal) => Promise<Begun>, signal: AbortSignal): Promise<TurnAnswer<Begun>> {
    return ask(signal).then((begun) => {
      const { first, rest, close } = begun;
      return { source: "provider", begun, first, rest, close };
    });
  }

  finish(_answer: Answer, _record: () => AnswerRecord | undefined): Promise<boolean> {
    return Promise.resolve(true);
  }
}

/** A turn that was finished before: its request has been sent once more. */
const replayedTurn = <Begun extends BegunAnswer>(
  messages: readonly ChatMessage[],
  { head, system, turns }: ConversationRecord,
  last: LastTurn,
): Turn<Begun> => {
  const reply = turns.at(-1);
  return {
    transcript: head.keepsOwnHistory
      ? new Transcript(messages)
      : new Transcript(turns.slice(0, -1), [], system),
    conversation: { id: head.id, startedAtMs: head.startedAtMs },
    async answer() {
      const first = reply ? [replyEvent(reply, last)] : [];
      return { source: "store", begun: undefined, first, rest: nothing(), close() {} };
    },
    finish: async () => true,
  };
};

/** An answer under way, and what tells whether another request asks for the same one. */
interface RunningTurn<Begun extends BegunAnswer> {
  readonly identity: Identity;
  readonly answer: SharedAnswer<Begun>;
  saving: Promise<boolean> | undefined;
}

/** Opens conversations over a store. */
export function createConversations<Begun extends BegunAnswer>(
  options: ConversationsOptions,
): Conversations<Begun> {
  const { store, clock, log, ttlMs, maxBytes } = options;
  const limits = { ttlMs, maxBytes: maxBytes - markBytes };
  const records = createRecordStore(store, clock, log);
  const running = new Map<string, readonly RunningTurn<Begun>[]>();

  const addRunning = (storeKey: string, turn: RunningTurn<Begun>) => {
    running.set(storeKey, [...(running.get(storeKey) ?? []), turn]);
  };

  const removeRunning = (storeKey: string, turn: RunningTurn<Begun>) => {
    const others = running.get(storeKey)?.filter((other) => other !== turn) ?? [];
    if (others.length > 0) running.set(storeKey, others);
    else running.delete(storeKey);
  };

  const pause = (writes: number): Promise<void> =>
    sleep(Math.random() * Math.min(longestPauseMs, 2 ** writes), { clock });

  /** Writes the turn after what was stored when it began; if another turn was faster, after what is stored by now. */
  const save = async (
    place: Place,
    opened: StoredRecord,
    plan: TurnPlan,
    answer: Answer,
    isSame: (earlier: Identity) => boolean,
  ): Promise<"saved" | "deleted" | "too_long" | "too_many_writes"> => {
    let stored = opened;
    for (let writes = 1; writes <= maxWrites; writes++) {
      const kept = plan.keep(answer, stored.record, stored.generation, clock.now());
      const version = await records.write(place, kept, stored.version);
      if (version !== undefined) return kept.isWhole ? "saved" : "too_long";
      await pause(writes);
      stored = await records.read(place);
      // Deleted since the turn began: the deletion wins. What has merely expired is written anew.
      if (stored.generation !== undefined && stored.generation !== opened.generation) return "deleted";
      // The same request, made once more at another instance, was faster: remembered twice it would be two turns.
      if (stored.record?.head.last && isSame(stored.record.head.last)) return "saved";
    }
    return "too_many_writes";
  };

  const saveSummary = async (
    place: Place,
    keepSummary: NonNullable<TurnPlan["keepSummary"]>,
    summary: ConversationSummary,
  ): Promise<void> => {
    try {
      for (let writes = 1; writes <= maxSummaryWrites; writes++) {
        const stored = await records.read(place);
        const kept = keepSummary(summary, stored.record, clock.now());
        if (kept === undefined) return;
        if ((await records.write(place, kept, stored.version)) !== undefined) return;
        await pause(writes);
      }
      log.warn("summary.not_saved", { store: store.name, reason: "too_many_writes" });
    } catch (error) {
      log.warn("summary.not_saved", { store: store.name, reason: (error as Error).message });
    }
  };

  const reportUnsaved = (reason: string) => log.warn("session.not_saved", { store: store.name, reason });

  /** Drops the stored turns ahead of the new one, where the rules want that; resolves to what is stored by then. */
  const dropStored = async (place: Place, stored: StoredRecord, plan: TurnPlan): Promise<StoredRecord> => {
    if (plan.instead === undefined) return stored;
    const kept = plan.instead(stored.generation);
    try {
      const version = await records.write(place, kept, stored.version);
      return version === undefined ? stored : { ...stored, record: kept.record, version };
    } catch (error) {
      // The turn itself will be written too, and says so where that fails.
      reportUnsaved((error as Error).message);
      return stored;
    }
  };

  const keyedTurn = (
    place: Place,
    identity: Identity,
    isSame: (earlier: Identity) => boolean,
    plan: TurnPlan,
    opened: StoredRecord,
  ): Turn<Begun> => {
    const { storeKey } = place;
    let turn: RunningTurn<Begun> | undefined;
    const { keepSummary } = plan;

    const keep = async (answer: Answer): Promise<boolean> => {
      let outcome: string;
      try {
        outcome = await save(place, opened, plan, answer, isSame);
      } catch (error) {
        outcome = (error as Error).message;
      }
      if (turn) removeRunning(storeKey, turn);
      if (outcome !== "saved") reportUnsaved(outcome);
      return outcome === "saved";
    };

    const start = (ask: (signal: AbortSignal) => Promise<Begun>): RunningTurn<Begun> => {
      const answer = new SharedAnswer(ask, () => {
        if (started.saving === undefined) removeRunning(storeKey, started);
      });
      const started: RunningTurn<Begun> = { identity, answer, saving: undefined };
      addRunning(storeKey, started);
      return started;
    };

    return {
      transcript: plan.transcript,
      conversation: plan.conversation,
      async answer(ask, signal) {
        const joinable = running
          .get(storeKey)
          ?.find((other) => other.answer.isJoinable && isSame(other.identity));
        turn = joinable ?? start(ask);
        const begun = await turn.answer.join(signal);
        const { first, rest, close } = begun;
        return { source: joinable ? "running" : "provider", begun, first, rest, close };
      },
      finish(answer) {
        if (turn === undefined) return keep(answer);
        turn.saving ??= keep(answer);
        return turn.saving;
      },
      keepSummary: keepSummary && ((summary) => saveSummary(place, keepSummary, summary)),
    };
  };

  const openKeyed = async (call: ConversationCall, key: SessionKey): Promise<Turn<Begun>> => {
    const { messages, retryCount } = call;
    const place = await placeOf(key);
    const identity = await identify(call);
    const stored = await records.read(place);
    const isSame = (earlier: Identity) => repeats(identity, retryCount, earlier);
    const { record } = stored;
    const last = record?.head.last;
    if (record && last && clock.now() - record.head.finishedAtMs < replayMs && isSame(last))
      return replayedTurn(messages, record, last);
    const { namespace } = key;
    const plan = planTurn({ namespace, messages, identity }, record, limits, clock.now());
    const opened = await dropStored(place, stored, plan);
    return keyedTurn(place, identity, isSame, plan, opened);
  };

  return {
    open: (call) =>
      call.key === undefined
        ? Promise.resolve(new StatelessTurn(new Transcript(call.messages), clock.now()))
        : openKeyed(call, call.key),

    async show(key) {
      const { record } = await records.read(await placeOf(key));
      if (record === undefined) return undefined;
      const { startedAtMs, finishedAtMs, expiresAtMs, keepsOwnHistory = false, summary } = record.head;
      const messages = keepsOwnHistory ? [] : [...record.system, ...record.turns].map(({ native }) => native);
      return {
        messages,
        startedAtMs,
        finishedAtMs,
        expiresAtMs,
        keepsOwnHistory,
        summary: summary?.text,
      };
    },

    async forget(key) {
      const place = await placeOf(key);
      const { record } = await records.read(place);
      // A mark for what is not there would only take room, unless its first turn is under way, here or at another instance.
      if (record !== undefined || running.has(place.storeKey) || store.shared) await records.forget(place);
    },
  };
}
