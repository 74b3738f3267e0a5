/** What a provider is asked, for tests that call one directly. */
import { liftMessage } from "../../core/dialects/shared/chat-completions-message.ts";
import type {
  ChatMessage,
  ChatRequest,
  Logger,
  ProviderAnswer,
  ProviderContext,
  StreamPart,
  UpstreamEvent,
} from "../../core/types.ts";

/** A message as a client writes it. */
export type MessageBody = Readonly<Record<string, unknown>> & { readonly role: ChatMessage["role"] };

const messageOf = (native: MessageBody): ChatMessage => {
  const { role, content } = native;
  if (!Array.isArray(content)) return liftMessage(role, typeof content === "string" ? content : "", native);
  const text = content.map((part) => part.text ?? "").join("");
  const attachments = content.filter((part) => part.type !== "text").map(({ type }) => ({ type }));
  return liftMessage(role, text, native, attachments);
};

export interface RequestBody {
  readonly model?: string;
  readonly messages?: readonly MessageBody[];
  readonly stream?: boolean;
  readonly [field: string]: unknown;
}

/** A Chat Completions body as its dialect reads it; a text is a lone user message. */
export function chatRequest(from: string | RequestBody, model = "echo"): ChatRequest {
  const body: RequestBody = typeof from === "string" ? { messages: [{ role: "user", content: from }] } : from;
  return {
    model: body.model ?? model,
    messages: (body.messages ?? [{ role: "user", content: "Hello" }]).map(messageOf),
    stream: body.stream ?? true,
    stop: [],
    choices: typeof body.n === "number" ? body.n : 1,
    tools: [],
    toolChoice: "none",
    parallelToolCalls: true,
    responseFormat: "text",
    usage: true,
    native: body,
    conversation: { id: "abcdefghi", startedAtMs: 1_700_000_000_000 },
  };
}

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} };

/** A context of its own for one call. */
export const providerContext = (signal: AbortSignal = new AbortController().signal): ProviderContext => ({
  signal,
  requestId: "test-request",
  log: silent,
});

export interface ReadAnswer {
  readonly events: readonly UpstreamEvent[];
  /** All parts of the events. */
  readonly parts: readonly StreamPart[];
  /** What was thrown instead of them, or after them. */
  readonly error?: unknown;
  /** Undefined where there was no answer. */
  readonly answer?: ProviderAnswer;
}

/** The events of an answer, from before it has begun. */
export async function* eventsOf(asking: Promise<ProviderAnswer>): AsyncGenerator<readonly UpstreamEvent[]> {
  yield* (await asking).events;
}

/** Reads an answer to its end. */
export async function readAnswer(asking: Promise<ProviderAnswer>): Promise<ReadAnswer> {
  const events: UpstreamEvent[] = [];
  let answer: ProviderAnswer | undefined;
  const sofar = () => ({ events, parts: events.flatMap(({ parts }) => parts), ...(answer && { answer }) });
  try {
    answer = await asking;
    for await (const some of answer.events) events.push(...some);
    return sofar();
  } catch (error) {
    return { ...sofar(), error };
  }
}

/** The text of one choice. */
export const textOf = (parts: readonly StreamPart[], choice = 0): string =>
  parts
    .map((part) => (part.type === "text-delta" && (part.choice ?? 0) === choice ? part.delta : ""))
    .join("");
