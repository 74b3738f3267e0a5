/** One chat request and its stream. */
import { createParser } from "eventsource-parser";
import { ask, ServerFailure, serverAddress } from "../shared/server.ts";
import type { ChatMessage } from "./conversation.ts";

export interface Asked {
  readonly model: string;
  readonly messages: readonly ChatMessage[];
  /** Absent where the gateway is to remember nothing. */
  readonly sessionId?: string;
  readonly signal: AbortSignal;
}

interface Delta {
  readonly content?: string | null;
  readonly refusal?: string | null;
  readonly reasoning_content?: string | null;
  readonly tool_calls?: readonly {
    readonly index: number;
    readonly id?: string;
    readonly function?: { readonly name?: string; readonly arguments?: string };
  }[];
}

interface Chunk {
  readonly choices?: readonly { readonly delta?: Delta; readonly finish_reason?: string | null }[];
  readonly usage?: { readonly prompt_tokens: number; readonly completion_tokens: number } | null;
  readonly error?: { readonly message: string; readonly code?: string | null; readonly type?: string };
}

export interface Listener {
  /** The status and headers are there. */
  opened(response: Response): void;
  delta(delta: Delta): void;
  finished(reason: string): void;
  usage(promptTokens: number, completionTokens: number): void;
  /** A remark of the gateway in the stream, such as that a turn was not kept. */
  remark(text: string): void;
}

/** What was sent and what came, as it went over the wire, without the key. */
export interface Wire {
  request: string;
  response: string;
}

/** Long answers need not be kept twice in full. */
const longestWire = 200_000;

const headerLines = (headers: Iterable<[string, string]>): string =>
  [...headers].map(([name, value]) => `${name}: ${value}`).join("\n");

/** Resolves at the end of the stream; throws ServerFailure, or the AbortError of `signal`. */
export async function requestAnswer(asked: Asked, listener: Listener, wire: Wire): Promise<void> {
  const { model, messages, sessionId, signal } = asked;
  const body = { model, messages, stream: true, stream_options: { include_usage: true } };
  const headers = {
    "content-type": "application/json",
    ...(sessionId !== undefined && { "x-session-id": sessionId }),
  };
  wire.request = `POST ${serverAddress}/v1/chat/completions\n${headerLines(Object.entries(headers))}\n\n${JSON.stringify(body, null, 2)}`;
  const response = await ask("/v1/chat/completions", {
    method: "POST",
    headers,
    body: JSON.stringify(body),
    signal,
  }).catch((error: unknown) => {
    if (error instanceof ServerFailure && error.status > 0) {
      wire.response = `HTTP ${error.status}\nx-request-id: ${error.requestId}\n\n${error.code}: ${error.message}`;
    }
    throw error;
  });
  wire.response = `HTTP ${response.status}\n${headerLines(response.headers)}\n\n`;
  listener.opened(response);

  const requestId = response.headers.get("x-request-id") ?? "";
  let failure: ServerFailure | undefined;
  let isDone = false;
  const parser = createParser({
    onEvent({ data }) {
      if (data === "[DONE]") {
        isDone = true;
        return;
      }
      const { choices = [], usage, error } = JSON.parse(data) as Chunk;
      if (error) {
        failure = new ServerFailure(error.message, {
          status: response.status,
          code: error.code ?? error.type ?? "",
          requestId,
        });
      }
      for (const { delta, finish_reason: reason } of choices) {
        if (delta) listener.delta(delta);
        if (reason) listener.finished(reason);
      }
      if (usage) listener.usage(usage.prompt_tokens, usage.completion_tokens);
    },
    onComment: (text) => listener.remark(text),
  });
  const utf8 = new TextDecoder();
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  try {
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      const text = utf8.decode(read.value, { stream: true });
      if (wire.response.length < longestWire) wire.response += text;
      parser.feed(text);
    }
  } catch (error) {
    if (signal.aborted) throw error;
    throw new ServerFailure(String((error as Error).message), { code: "connection_lost", requestId });
  }
  if (failure) throw failure;
  if (!isDone) {
    throw new ServerFailure("The stream ended without its last event.", {
      code: "connection_lost",
      requestId,
    });
  }
}
