/** Conversations over a store that counts and can fail, with a model that replies as it is told. */
import { addEvent, emptyAnswer } from "../../core/chat/collect-answer.ts";
import {
  type AnswerSource,
  type ConversationCall,
  createConversations,
} from "../../core/conversations/conversations.ts";
import { ApiError } from "../../core/errors.ts";
import type {
  ChatMessage,
  ChatRequest,
  Clock,
  ConversationRef,
  ConversationSummary,
  JsonObject,
  LogFields,
  Role,
  SessionStore,
  StreamPart,
  UpstreamEvent,
} from "../../core/types.ts";
import { type CountingStore, countingStore } from "../fakes/counting-store.ts";
import { fakeClock, hurriedClock } from "../fakes/fake-clock.ts";

export const message = (role: Role, text: string): ChatMessage => ({
  role,
  text,
  native: { role, content: text },
});
export const user = (text: string) => message("user", text);
export const assistant = (text: string) => message("assistant", text);
export const system = (text: string) => message("system", text);

/** An event with fields of the message that parts don't model. */
export const messageFields = (fields: JsonObject): UpstreamEvent => ({
  parts: [],
  native: {
    format: "chat-completions",
    isWhole: false,
    event: { choices: [{ index: 0, delta: fields }] },
  },
});

/** Texts with the first letter of their role: "u:Hi". */
export const asTexts = (messages: readonly ChatMessage[]): string[] =>
  messages.map(({ role, text }) => `${role[0]}:${text}`);

export interface Said {
  /** What the model was told; undefined if it was not asked. */
  readonly told: string[] | undefined;
  readonly reply: string;
  readonly conversation: ConversationRef;
  readonly source: AnswerSource;
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
  /** What is summarised of the messages told, once the turn is over. */
  readonly summary?: ConversationSummary;
  /** Runs before the summary is kept. */
  readonly beforeSummary?: () => unknown;
  /** What the model answers; an Error is thrown. */
  readonly reply?: string | Error | readonly (StreamPart | UpstreamEvent)[];
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
    createConversations({ store, clock, ttlMs, maxBytes, log: logger }),
    createConversations({ store, clock, ttlMs, maxBytes, log: logger }),
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
    async function* model(signal: AbortSignal): AsyncGenerator<readonly UpstreamEvent[]> {
      const messages = turn.transcript.messages();
      told = asTexts(messages);
      asked.push({ messages, conversation: turn.conversation });
      await request.meanwhile?.();
      if (signal.aborted) throw signal.reason;
      const { reply = `reply ${asked.length}` } = request;
      if (reply instanceof Error) throw reply;
      const steps =
        typeof reply === "string"
          ? ([
              { type: "text-delta", delta: reply },
              { type: "finish", reason: "stop" },
            ] as const)
          : reply;
      for (const step of steps) yield ["parts" in step ? step : { parts: [step] }];
    }
    const ask = async (signal: AbortSignal) => {
      const rest = model(signal);
      const { value: first = [] } = await rest.next();
      return { first, rest, close: () => void rest.return(undefined) };
    };
    const begun = await turn.answer(ask, request.signal ?? new AbortController().signal);
    try {
      const answer = emptyAnswer();
      for (const event of begun.first) addEvent(answer, event);
      for await (const events of begun.rest) for (const event of events) addEvent(answer, event);
      const isSaved = await turn.finish(answer, () => undefined);
      if (request.summary) {
        await request.beforeSummary?.();
        await turn.keepSummary?.(request.summary);
      }
      const { conversation } = turn;
      return { told, reply: answer.replies[0]?.text ?? "", conversation, source: begun.source, isSaved };
    } finally {
      begun.close();
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
