/** One short message to a provider, as the gateway would send it. */
import { silentLogger } from "../../core/operations/log.ts";
import type { ChatMessage, ChatRequest, Provider } from "../../core/types.ts";
import { Lifetime } from "../../core/util/abort.ts";
import { systemClock } from "../../core/util/time.ts";

export const question = "Reply with the word OK.";

export interface Reply {
  readonly characters: number;
  readonly ms: number;
  /** Calls that it took. */
  readonly attempts: number;
}

/** A request for an answer to these messages, and for nothing else. */
export const plainRequest = (model: string, messages: readonly ChatMessage[]): ChatRequest => ({
  model,
  messages,
  stream: false,
  stop: [],
  choices: 1,
  tools: [],
  toolChoice: "none",
  parallelToolCalls: true,
  responseFormat: "text",
  usage: false,
  native: { messages: messages.map(({ native }) => native) },
  conversation: { id: "doctor000", startedAtMs: Date.now() },
});

/** Throws the provider's ApiError. */
export async function askOnce(provider: Provider, model: string, timeoutMs: number): Promise<Reply> {
  const startedMs = performance.now();
  const lifetime = new Lifetime(
    new AbortController().signal,
    { firstTextMs: timeoutMs, silenceMs: timeoutMs, totalMs: Number.POSITIVE_INFINITY },
    systemClock,
  );
  const native = { role: "user", content: question };
  const request = plainRequest(model, [{ role: "user", text: question, native }]);
  let characters = 0;
  try {
    const { signal } = lifetime;
    const answer = await provider.answer(request, { signal, requestId: "doctor", log: silentLogger });
    for await (const events of answer.events) {
      for (const part of events.flatMap(({ parts }) => parts)) {
        if (part.type === "text-delta" || part.type === "reasoning-delta") characters += part.delta.length;
      }
    }
    return { characters, ms: performance.now() - startedMs, attempts: answer.calls ?? 1 };
  } finally {
    lifetime.release();
  }
}
