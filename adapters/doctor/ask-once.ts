/** One short message to a provider, as the gateway would send it. */
import { listParts } from "../../core/chat/collect-answer.ts";
import { silentLogger } from "../../core/operations/log.ts";
import type { ChatRequest, Provider } from "../../core/types.ts";
import { Lifetime } from "../../core/util/abort.ts";
import { systemClock } from "../../core/util/time.ts";

const question = "Reply with the word OK.";

export interface Reply {
  readonly characters: number;
  readonly ms: number;
  /** Calls that it took. */
  readonly attempts: number;
}

/** Throws the provider's ApiError. */
export async function askOnce(provider: Provider, model: string, timeoutMs: number): Promise<Reply> {
  const startedMs = performance.now();
  const lifetime = new Lifetime(new AbortController().signal, timeoutMs, systemClock);
  const trace = { attempts: 0, upstreamMs: 0, droppedMessages: 0 };
  const native = { role: "user", content: question };
  const request: ChatRequest = {
    model,
    messages: [{ role: "user", text: question, native }],
    stream: false,
    stop: [],
    choices: 1,
    usage: false,
    native: { messages: [native] },
    conversation: { id: "doctor000", startedAtMs: Date.now() },
  };
  let characters = 0;
  try {
    const parts = provider.stream(request, {
      signal: lifetime.signal,
      requestId: "doctor",
      log: silentLogger,
      trace,
      upstreamDone() {},
    });
    for await (const some of parts) {
      for (const part of listParts(some)) {
        if (part.type === "text-delta" || part.type === "reasoning-delta") characters += part.delta.length;
      }
    }
  } finally {
    lifetime.release();
  }
  return { characters, ms: performance.now() - startedMs, attempts: trace.attempts };
}
