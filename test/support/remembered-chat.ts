/** Conversations over a store that counts and can fail, with a model that replies as it is told. */
import { addPart, emptyAnswer, listParts } from "../../core/chat/collect-answer.ts";
import { type ConversationCall, conversations } from "../../core/conversations/conversations.ts";
import { ApiError } from "../../core/errors.ts";
import { memoryStore } from "../../core/stores/memory.ts";
import type {
  ChatMessage,
  ChatRequest,
  Clock,
  ConversationRef,
  LogFields,
  Role,
  SessionStore,
  StreamPart,
} from "../../core/types.ts";
import { type FakeClock, fakeClock } from "../fakes/fake-clock.ts";

export const message = (role: Role, text: string): ChatMessage => ({
  role,
  text,
  native: { role, content: text },
});
export const user = (text: string) => message("user", text);
export const assistant = (text: string) => message("assistant", text);
export const system = (text: string) => message("system", text);

/** Texts with the first letter of their role: "u:Hi". */
export const asTexts = (messages: readonly ChatMessage[]): string[] =>
  messages.map(({ role, text }) => `${role[0]}:${text}`);

/** A clock that only a test moves, but on which writers that wait for each other do so in no time. */
export const hurriedClock = (): FakeClock => ({
  ...fakeClock(),
  schedule(task) {
    queueMicrotask(task);
    return () => {};
  },
});

export interface Said {
  /** What the model was told; undefined if it was not asked. */
  readonly told: string[] | undefined;
  readonly reply: string;
  readonly conversation: ConversationRef;
  readonly source: "provider" | "running" | "store";
  readonly isSaved: boolean;
}

export interface Request extends Partial<Omit<ConversationCall, "key" | "messages">> {
  readonly session?: string;
  readonly user?: string;
  readonly apiKey?: string;
  readonly signal?: AbortSignal;
  /** Which of two instances of the gateway takes the request. */
  readonly instance?: 0 | 1;
  /** Runs while the model is at work. */
  readonly meanwhile?: () => unknown;
  /** What the model answers; an Error is thrown. */
  readonly reply?: string | Error | readonly StreamPart[];
}

export interface CountingStore extends SessionStore {
  reads: number;
  writes: number;
  /** Which operations fail. */
  failing: "none" | "reads" | "writes" | "all";
  readonly entries: Map<string, string>;
}

/** A memory store that counts, can fail, and shows what it holds; one that writes at once never makes anyone wait. */
export function countingStore(clock: Clock, { writesAtOnce = false } = {}): CountingStore {
  const inner = memoryStore({ maxEntries: 1000, clock });
  const fails = (...kinds: CountingStore["failing"][]) => {
    if (kinds.includes(counting.failing)) throw new Error("the store is broken");
  };
  const counting: CountingStore = {
    name: "counting",
    shared: false,
    reads: 0,
    writes: 0,
    failing: "none",
    entries: new Map(),
    get(key) {
      counting.reads++;
      fails("reads", "all");
      return inner.get(key);
    },
    set(key, value, options) {
      counting.writes++;
      fails("writes", "all");
      const version = inner.set(key, value, options) as string | undefined;
      if (version !== undefined) counting.entries.set(key, value);
      return writesAtOnce ? version : Promise.resolve(version);
    },
    delete(key) {
      inner.delete(key);
      counting.entries.delete(key);
    },
  };
  return counting;
}

export interface RememberedChatOptions {
  readonly clock?: Clock;
  readonly store?: SessionStore;
  readonly ttlMs?: number;
  readonly maxBytes?: number;
}

/** A gateway of two instances, reduced to its memory; what is shown was written by the other one. */
export function rememberedChat(options: RememberedChatOptions = {}) {
  const { clock = fakeClock(), ttlMs = 3_600_000, maxBytes = 256 * 1024 } = options;
  const store = options.store ?? countingStore(clock);
  const log: { event: string; fields: LogFields }[] = [];
  const record = (event: string, fields: LogFields = {}) => void log.push({ event, fields });
  const logger = { debug: record, info: record, warn: record, error: record };
  const instances = [
    conversations({ store, clock, ttlMs, maxBytes, log: logger }),
    conversations({ store, clock, ttlMs, maxBytes, log: logger }),
  ] as const;
  /** What the model was asked, in order. */
  const asked: Pick<ChatRequest, "messages" | "conversation">[] = [];

  const keyOf = ({ session, user, apiKey = "sk-1" }: Pick<Request, "session" | "user" | "apiKey">) =>
    session !== undefined
      ? ({ namespace: "session", value: session, apiKey } as const)
      : user !== undefined
        ? ({ namespace: "user", value: user, apiKey } as const)
        : undefined;

  const must = (request: Request) => {
    const key = keyOf(request);
    if (key === undefined) throw new Error("a key is needed");
    return key;
  };

  /** Makes one request and reads its answer to the end. */
  async function say(messages: readonly ChatMessage[], request: Request = {}): Promise<Said> {
    const turn = await instances[request.instance ?? 0].open({
      key: keyOf(request),
      messages,
      body: request.body ?? JSON.stringify(messages),
      idempotencyKey: request.idempotencyKey,
      retryCount: request.retryCount ?? 0,
    });
    let told: string[] | undefined;
    async function* model(signal: AbortSignal): AsyncGenerator<StreamPart> {
      const messages = turn.transcript.messages();
      told = asTexts(messages);
      asked.push({ messages, conversation: turn.conversation });
      await request.meanwhile?.();
      if (signal.aborted) throw signal.reason;
      const { reply = `reply ${asked.length}` } = request;
      if (reply instanceof Error) throw reply;
      if (typeof reply !== "string") return yield* reply;
      yield { type: "text-delta", delta: reply };
      yield { type: "finish", reason: "stop" };
    }
    const signal = request.signal ?? new AbortController().signal;
    const reader = turn.answer(model, signal)[Symbol.asyncIterator]();
    try {
      const answer = emptyAnswer();
      for (let some = await reader.next(); !some.done; some = await reader.next())
        for (const part of listParts(some.value)) addPart(answer, part);
      const isSaved = await turn.finish(answer);
      const { conversation, source } = turn;
      return { told, reply: answer.replies[0]?.text ?? "", conversation, source, isSaved };
    } finally {
      await reader.return?.();
    }
  }

  return {
    clock,
    store,
    log,
    asked,
    say,
    /** The error's code. */
    refusal: (messages: readonly ChatMessage[], request: Request = {}): Promise<string> =>
      say(messages, request).then(
        () => "none",
        (error) => (error instanceof ApiError ? error.code : String(error)),
      ),
    show: (request: Request) => instances[1].show(must(request)),
    forget: (request: Request) => instances[request.instance ?? 0].forget(must(request)),
    /** The texts that are remembered. */
    async remembered(request: Request): Promise<string[] | undefined> {
      const shown = await instances[1].show(must(request));
      return shown?.messages.map(({ role, content }) => `${String(role)[0]}:${content}`);
    },
  };
}

/** A remembered chat with its clock and its counting store in hand. */
export const countedChat = (options: { ttlMs?: number; maxBytes?: number } = {}) => {
  const clock = hurriedClock();
  const store: CountingStore = countingStore(clock);
  return { ...rememberedChat({ clock, store, ...options }), clock, store };
};

/** The failure of a model. */
export const broken = () => new ApiError("upstream_error", "The site failed.");
