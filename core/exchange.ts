/** One chat request, from its body's first byte to its answer's last one. */
import { addPart, emptyAnswer } from "./answer.ts";
import { ApiError } from "./errors.ts";
import { readParts, requestLifetime, settlesWithin } from "./lifetime.ts";
import type { ModelDirectory } from "./models.ts";
import { readJson } from "./read-body.ts";
import { encodeSseEvent, sseStream } from "./sse.ts";
import { estimateTokens } from "./tokens.ts";
import type {
  Answer,
  ChatMessage,
  Clock,
  ConversationRef,
  Dialect,
  Logger,
  RequestRecord,
  Trace,
  Usage,
} from "./types.ts";
import type { Upstreams } from "./upstreams.ts";

export interface ExchangeOptions {
  readonly models: ModelDirectory;
  readonly upstreams: Upstreams;
  /** What a request without a model asks for. */
  readonly defaultModel: string | undefined;
  readonly maxBodyBytes: number;
  /** For the whole request, whatever it tries. */
  readonly requestTimeoutMs: number;
  readonly stream: { readonly commitMs: number; readonly keepAliveMs: number };
  readonly clock: Clock;
  readonly log: Logger;
}

/** A request that has passed the router. */
export interface Inbound {
  readonly request: Request;
  readonly record: RequestRecord;
  /** Makes the response, with the headers that every answer has. */
  respond(
    status: number,
    body: string | ReadableStream<Uint8Array> | null,
    headers: Record<string, string>,
  ): Response;
  /** The answer goes on after the response has been returned: what this returns is to be called when it is over. */
  defer(): (error?: unknown) => void;
}

/** Any thrown value as an error for the client; what is not ours is not shown. */
export const toApiError = (error: unknown): ApiError =>
  error instanceof ApiError
    ? error
    : new ApiError("internal_error", "The gateway failed. Its log has the details.", { cause: error });

const alphabet = "abcdefghijklmnopqrstuvwxyz0123456789";

const newConversation = (startedAtMs: number): ConversationRef => {
  let id = "";
  for (const byte of crypto.getRandomValues(new Uint8Array(9))) id += alphabet[byte % alphabet.length];
  return { id, startedAtMs };
};

const textLength = (texts: readonly { readonly text: string }[]): number => {
  let length = 0;
  for (const { text } of texts) length += text.length;
  return length;
};

const requireFinish = (answer: Answer): void => {
  if (answer.replies.length > 0 && answer.replies.every(({ finishReason }) => finishReason !== undefined))
    return;
  throw new ApiError("upstream_invalid_response", "The upstream's answer ended before it was finished.");
};

const estimateUsage = (messages: readonly ChatMessage[], answer: Answer): Usage => {
  let promptTokens = 0;
  for (const { text } of messages) promptTokens += estimateTokens(text);
  let completionTokens = 0;
  for (const { text, reasoning, toolCalls } of answer.replies) {
    completionTokens += estimateTokens(text) + estimateTokens(reasoning);
    for (const call of toolCalls)
      completionTokens += estimateTokens(call.name) + estimateTokens(call.arguments);
  }
  return { promptTokens, completionTokens, totalTokens: promptTokens + completionTokens };
};

const streamHeaders = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-cache, no-transform",
  // nginx and its like would gather the stream first.
  "x-accel-buffering": "no",
};

export function chatExchange(
  options: ExchangeOptions,
): (inbound: Inbound, dialect: Dialect) => Promise<Response> {
  const { models, upstreams, clock, log } = options;

  return async (inbound, dialect) => {
    const { record } = inbound;
    const startedMs = clock.now();
    const lifetime = requestLifetime(inbound.request.signal, options.requestTimeoutMs, clock);
    const { signal } = lifetime;
    const trace: Trace = { attempts: 0, upstreamMs: 0, droppedMessages: 0 };
    const answer = emptyAnswer();
    let closeParts = () => {};
    const end = () => {
      lifetime.release();
      closeParts();
      record.attempts = trace.attempts;
      record.upstreamMs = trace.upstreamMs;
      record.droppedMessages = trace.droppedMessages;
      record.charsOut = textLength(answer.replies);
    };

    try {
      const call = dialect.parse(await readJson(inbound.request, options.maxBodyBytes));
      const shownModel = call.model ?? options.defaultModel;
      if (shownModel === undefined)
        throw new ApiError("invalid_request", "model is required.", { param: "model" });
      const routes = await models.find(shownModel, { signal, log });
      const [{ provider, model }] = routes;
      const request = { ...call.prompt, conversation: newConversation(startedMs) };
      record.model = model.id;
      record.provider = provider.name;
      record.stream = request.stream;
      record.charsIn = textLength(request.messages);

      const asked = upstreams.ask({
        routes,
        request,
        context: { signal, requestId: record.requestId, log, trace },
        deadlineMs: startedMs + options.requestTimeoutMs,
        onServed() {
          record.firstPartMs = clock.now() - startedMs;
        },
      });
      const parts = readParts(asked, signal, () => {});
      closeParts = parts.close;
      const first = parts.next();
      const encoder = dialect.encoder(call, { model: shownModel, createdAtMs: startedMs });
      const answerHeaders = (): Record<string, string> =>
        trace.droppedMessages > 0 ? { "x-context-dropped-messages": String(trace.droppedMessages) } : {};

      const usage = () => answer.usage ?? estimateUsage(request.messages, answer);

      if (!request.stream) {
        for (let part = await first; part !== undefined; part = await parts.next()) addPart(answer, part);
        requireFinish(answer);
        end();
        return inbound.respond(200, encoder.body(answer, usage()), answerHeaders());
      }

      // A failure before the first part keeps its status. When that takes long, the client gets a sign of life instead.
      const isEarly = await settlesWithin(first, options.stream.commitMs, clock);
      if (isEarly) await first;

      const finished = inbound.defer();
      const finish = (error?: unknown) => {
        end();
        finished(error);
      };

      async function* events(): AsyncGenerator<string, string> {
        let text = encoder.open();
        if (!isEarly) {
          yield text;
          text = "";
        }
        // Held back until the answer is known to be whole.
        let ending = "";
        for (let part = await first; part !== undefined; part = await parts.next()) {
          addPart(answer, part);
          if (part.type === "finish") ending += encoder.event(part);
          else text += encoder.event(part);
          if (text === "") continue;
          yield text;
          text = "";
        }
        requireFinish(answer);
        finish();
        return text + ending + encoder.close(usage());
      }

      const body = sseStream(events(), {
        clock,
        keepAliveMs: options.stream.keepAliveMs,
        onError(error) {
          finish(error);
          return encodeSseEvent(JSON.stringify(toApiError(error).toBody()));
        },
        onCancel() {
          lifetime.leave();
          finish(signal.reason);
        },
      });
      return inbound.respond(200, body, { ...streamHeaders, ...answerHeaders() });
    } catch (error) {
      end();
      throw error;
    }
  };
}
