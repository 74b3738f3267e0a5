/** What a provider is asked, for tests that call one directly. */
import { listParts } from "../../core/chat/collect-answer.ts";
import type {
  ChatMessage,
  ChatRequest,
  Logger,
  ProviderContext,
  StreamPart,
  StreamParts,
} from "../../core/types.ts";

/** A message as a client writes it. */
export type MessageBody = Readonly<Record<string, unknown>> & { readonly role: ChatMessage["role"] };

const messageOf = (native: MessageBody): ChatMessage => {
  const { role, content } = native;
  if (!Array.isArray(content)) return { role, text: typeof content === "string" ? content : "", native };
  const text = content.map((part) => part.text ?? "").join("");
  const attachments = content.filter((part) => part.type !== "text").map((part) => part.type as string);
  return { role, text, ...(attachments.length > 0 && { attachments }), native };
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
    usage: true,
    native: body,
    conversation: { id: "abcdefghi", startedAtMs: 1_700_000_000_000 },
  };
}

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} };

/** A context of its own for one call. */
export function providerContext(signal: AbortSignal = new AbortController().signal): ProviderContext {
  const trace = { attempts: 0, upstreamMs: 0, droppedMessages: 0 };
  return { signal, requestId: "test-request", log: silent, trace, upstreamDone() {} };
}

/** All parts, and what was thrown after them. */
export async function partsOf(
  parts: AsyncIterable<StreamParts>,
): Promise<{ parts: StreamPart[]; error?: unknown }> {
  const collected: StreamPart[] = [];
  try {
    for await (const some of parts) collected.push(...listParts(some));
    return { parts: collected };
  } catch (error) {
    return { parts: collected, error };
  }
}

/** The text of one choice. */
export const textOf = (parts: readonly StreamPart[], choice = 0): string =>
  parts
    .map((part) => (part.type === "text-delta" && (part.choice ?? 0) === choice ? part.delta : ""))
    .join("");
