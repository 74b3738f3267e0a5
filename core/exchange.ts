/** One chat request, from its body's first byte to its answer's last one. */
import type { Caller } from "./access.ts";
import { addPart, emptyAnswer, listParts } from "./answer.ts";
import type { Conversations, Turn } from "./conversations.ts";
import { ApiError } from "./errors.ts";
import { readParts, requestLifetime, settlesWithin } from "./lifetime.ts";
import type { ModelDirectory, ModelRoute } from "./models.ts";
import { readJson } from "./read-body.ts";
import { sessionKey } from "./session-key.ts";
import { encodeSseComment, encodeSseEvent, sseBody, sseStream } from "./sse.ts";
import { estimateTokens } from "./tokens.ts";
import type {
  Answer,
  ChatMessage,
  Clock,
  Dialect,
  DialectCall,
  Logger,
  RequestRecord,
  StreamParts,
  Trace,
  Usage,
} from "./types.ts";
import type { Served, Upstreams } from "./upstreams.ts";

export interface ExchangeOptions {
  readonly models: ModelDirectory;
  readonly upstreams: Upstreams;
  readonly conversations: Conversations;
  /** Whether conversations are kept in one of many short-lived instances, which clients are told of. */
  readonly isMemoryUnshared: boolean;
  /** What a request without a model asks for; by default the first model of the list. */
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
  readonly caller: Caller;
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

const textLength = (texts: readonly { readonly text: string }[]): number => {
  let length = 0;
  for (const { text } of texts) length += text.length;
  return length;
};

const isFinished = ({ replies }: Answer): boolean =>
  replies.length > 0 && replies.every(({ finishReason }) => finishReason !== undefined);

const requireFinish = (answer: Answer): void => {
  if (isFinished(answer)) return;
  throw new ApiError("upstream_invalid_response", "The upstream's answer ended before it was finished.");
};

/** What of a chat was sent: not what was left out, the oldest messages but for system texts. */
function* sentMessages(messages: readonly ChatMessage[], droppedMessages: number): Iterable<ChatMessage> {
  let toSkip = droppedMessages;
  for (const message of messages) {
    if (toSkip > 0 && message.role !== "system" && message.role !== "developer") toSkip--;
    else yield message;
  }
}

const estimateUsage = (messages: Iterable<ChatMessage>, { replies }: Answer): Usage => {
  let promptTokens = 0;
  for (const { text } of messages) promptTokens += estimateTokens(text);
  let completionTokens = 0;
  for (const { text, reasoning, toolCalls } of replies) {
    completionTokens += estimateTokens(text) + estimateTokens(reasoning);
    for (const { name, arguments: json } of toolCalls)
      completionTokens += estimateTokens(name) + estimateTokens(json);
  }
  return { promptTokens, completionTokens, totalTokens: promptTokens + completionTokens };
};

/** As a header can have it: an id may hold anything. */
const routeName = ({ provider, model }: ModelRoute): string =>
  encodeURI(`${provider.name}/${model.id}`.replace(/\p{Cs}/gu, "\ufffd"));

const servedHeaders = ({ route, failed }: Served): Record<string, string> => ({
  "x-served-by": routeName(route),
  ...(failed.length > 0 && { "x-fallback-from": failed.map(routeName).join(", ") }),
});

const headerLines = (headers: Readonly<Record<string, string>>): string =>
  Object.entries(headers)
    .map(([name, value]) => `${name}: ${value}`)
    .join("; ");

const streamHeaders = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-cache, no-transform",
  // nginx and its like would gather the stream first.
  "x-accel-buffering": "no",
};

export function chatExchange(
  options: ExchangeOptions,
): (inbound: Inbound, dialect: Dialect) => Promise<Response> {
  const { models, upstreams, conversations, clock, log } = options;

  const openTurn = async (
    { request, caller, record }: Inbound,
    call: DialectCall,
    body: string,
  ): Promise<Turn> => {
    const { headers } = request;
    const key = sessionKey({ sessionId: headers.get("x-session-id"), user: call.user, apiKey: caller.key });
    if (key !== undefined) record.session = key.namespace;
    const openedMs = clock.now();
    const turn = await conversations.open({
      key,
      messages: call.prompt.messages,
      body,
      idempotencyKey: headers.get("idempotency-key") ?? undefined,
      retryCount: Number(headers.get("x-stainless-retry-count")) || 0,
    });
    if (key !== undefined) record.storeMs = clock.now() - openedMs;
    return turn;
  };

  return async (inbound, dialect) => {
    const { record } = inbound;
    const startedMs = clock.now();
    const lifetime = requestLifetime(inbound.request.signal, options.requestTimeoutMs, clock);
    const { signal } = lifetime;
    const trace: Trace = { attempts: 0, upstreamMs: 0, droppedMessages: 0 };
    const answer = emptyAnswer();
    let closeReader = () => {};
    const end = () => {
      lifetime.release();
      closeReader();
      record.attempts = trace.attempts;
      record.upstreamMs = trace.upstreamMs;
      record.droppedMessages = trace.droppedMessages;
      record.charsOut = textLength(answer.replies);
    };

    try {
      const body = await readJson(inbound.request, options.maxBodyBytes, lifetime);
      const call = dialect.parse(body.value);
      const shownModel = call.model ?? options.defaultModel ?? (await models.list({ signal, log }))[0]?.id;
      if (shownModel === undefined)
        throw new ApiError("invalid_request", "model is required.", { param: "model" });
      const found = await models.find(shownModel, { signal, log });
      record.model = found.route.model.id;
      record.provider = found.route.provider.name;
      record.stream = call.prompt.stream;
      record.charsIn = textLength(call.prompt.messages);

      const turn = await openTurn(inbound, call, body.text);
      const request = { ...call.prompt, messages: turn.messages, conversation: turn.conversation };
      let served: Served | undefined;
      const ask = (askSignal: AbortSignal) =>
        upstreams.ask({
          ...found,
          request,
          context: { signal: askSignal, requestId: record.requestId, log, trace },
          deadlineMs: startedMs + options.requestTimeoutMs,
          onServed(by) {
            served = by;
            record.firstPartMs = clock.now() - startedMs;
            record.provider = by.route.provider.name;
            record.model = by.route.model.id;
            if (by.failed[0]) record.fallbackFrom = routeName(by.failed[0]);
          },
        });
      const reader = readParts(turn.answer(ask, signal), lifetime);
      closeReader = reader.close;
      record.replayed = turn.source !== "provider";

      const first = reader.next();
      const encoder = dialect.encoder(call, { model: shownModel, createdAtMs: startedMs });
      const usage = () =>
        answer.usage ?? estimateUsage(sentMessages(turn.messages, trace.droppedMessages), answer);

      /** Keeps the finished turn; resolves to false if that failed. */
      const keepTurn = async (): Promise<boolean> => {
        requireFinish(answer);
        const finishedMs = clock.now();
        const isSaved = await turn.finish(answer);
        record.storeMs = (record.storeMs ?? 0) + clock.now() - finishedMs;
        return isSaved;
      };

      const answerHeaders = (): Record<string, string> => {
        const headers: Record<string, string> = {};
        if (trace.droppedMessages > 0) headers["x-context-dropped-messages"] = String(trace.droppedMessages);
        if (served) Object.assign(headers, servedHeaders(served));
        if (record.session && options.isMemoryUnshared) headers["x-session-shared"] = "false";
        return headers;
      };

      if (!request.stream) {
        for (let parts = await first; parts !== undefined; parts = await reader.next()) {
          for (const part of listParts(parts)) addPart(answer, part);
        }
        const isSaved = await keepTurn();
        end();
        const headers = answerHeaders();
        if (!isSaved) headers["x-session-saved"] = "false";
        return inbound.respond(200, encoder.body(answer, usage()), headers);
      }

      // A failure before the first part keeps its status. When that takes long, the client gets a sign of life instead.
      const isEarly = await settlesWithin(first, options.stream.commitMs, clock);
      let text = encoder.open();
      // Held back until the answer is known to be whole, and kept.
      let ending = "";
      const take = (parts: StreamParts | undefined): void => {
        if (parts === undefined) return;
        for (const part of listParts(parts)) {
          addPart(answer, part);
          if (part.type === "finish") ending += encoder.event(part);
          else text += encoder.event(part);
        }
      };

      if (isEarly) {
        take(await first);
        // All events are there, and no store is to be waited for: one text costs a fraction of a stream.
        if (trace.upstreamDone && isFinished(answer) && record.session === undefined) {
          for (let parts = await reader.next(); parts !== undefined; parts = await reader.next()) take(parts);
          await keepTurn();
          end();
          const whole = sseBody(text + ending + encoder.close(usage()));
          return inbound.respond(200, whole, { ...streamHeaders, ...answerHeaders() });
        }
      }

      const finished = inbound.defer();
      let isOver = false;
      const finish = (error?: unknown) => {
        // A client may leave while the turn is being kept.
        if (isOver) return;
        isOver = true;
        end();
        finished(error);
      };

      async function* events(): AsyncGenerator<string, string> {
        yield text;
        text = "";
        if (!isEarly) {
          const firstParts = await first;
          if (served) text = encodeSseComment(headerLines(servedHeaders(served)));
          take(firstParts);
        }
        for (;;) {
          if (text !== "") yield text;
          text = "";
          const parts = await reader.next();
          if (parts === undefined) break;
          take(parts);
        }
        if (!(await keepTurn())) ending += encodeSseComment("x-session-saved: false");
        finish();
        return ending + encoder.close(usage());
      }

      const stream = sseStream(events(), {
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
      return inbound.respond(200, stream, { ...streamHeaders, ...answerHeaders() });
    } catch (error) {
      end();
      throw error;
    }
  };
}
