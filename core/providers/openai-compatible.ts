/**
 * Any server that speaks Chat Completions: OpenAI, Moonshot, OpenRouter, Ollama, llama.cpp, vLLM and so on. A request is
 * sent on as the client wrote it, an answer as it arrives. What differs between vendors is an option.
 */
import { systemClock } from "../clock.ts";
import { ApiError } from "../errors.ts";
import type { ChatRequest, Clock, Fetch, Provider, ProviderContext, StreamPart } from "../types.ts";
import { fitHistory } from "./openai-compatible/history-budget.ts";
import { listedModels, modelOf, type NamedModel, readModelList } from "./openai-compatible/listed-models.ts";
import { replyReader } from "./openai-compatible/reply.ts";
import { upstreamError } from "./openai-compatible/upstream-error.ts";
import {
  BodyReader,
  connectionError,
  isClosedConnection,
  readRetryAfterMs,
  readWhole,
} from "./upstream-http.ts";

export interface OpenAiCompatibleOptions {
  /** Short and unique, of a-z, 0-9, "-" and "_". */
  readonly name: string;
  /** Such as `https://api.moonshot.ai/v1`; a query, as Azure's `?api-version=…`, is kept. */
  readonly baseUrl: string;
  /** Sent as a bearer token. */
  readonly apiKey?: string | undefined;
  /** The models on offer; "*", the default, asks the upstream's `/models`. */
  readonly models?: readonly (string | NamedModel)[] | "*" | undefined;
  /** Further request headers; they replace ours of the same name. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly fetch?: Fetch | undefined;
  readonly clock?: Clock | undefined;
  /** About how many tokens a prompt may have before its oldest turns are left out; by default none ever is. */
  readonly contextMaxTokens?: number | undefined;
  /** Whether streams are asked for their token counts; false for vendors that refuse `stream_options`. */
  readonly streamUsage?: boolean | undefined;
  /** The most calls at once; no limit by default. */
  readonly maxConcurrency?: number | undefined;
  /** The most characters that one event, or a reply that is not a stream, may have; 16 Mi by default. */
  readonly maxEventChars?: number | undefined;
}

const maxErrorChars = 64 * 1024;
const maxModelsChars = 8 * 1024 * 1024;
/** How long a connection may take to end after the last event; it is closed then, and not used again. */
const lingerMs = 1000;
/** A kept connection that turns out to be closed does so at once; after this long, the upstream had begun to work. */
const staleConnectionMs = 1000;

/** `baseUrl` with a path added, its query kept. */
const endpoint = (baseUrl: string, path: string): string => {
  const url = new URL(baseUrl);
  url.pathname = url.pathname.replace(/\/+(chat\/completions\/*)?$/, "") + path;
  return url.href;
};

const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
};

/** A provider over one OpenAI-compatible upstream. */
export function openAiCompatible(options: OpenAiCompatibleOptions): Provider {
  const { name, apiKey, models = "*", clock = systemClock, streamUsage = true } = options;
  const { maxEventChars = 16 * 1024 * 1024 } = options;
  const send: Fetch = options.fetch ?? ((url, init) => fetch(url, init));
  const chatUrl = endpoint(options.baseUrl, "/chat/completions");
  const modelsUrl = endpoint(options.baseUrl, "/models");

  const headers: Record<string, string> = { "content-type": "application/json" };
  if (apiKey) headers.authorization = `Bearer ${apiKey}`;
  const secrets = apiKey ? [apiKey] : [];
  for (const [header, value] of Object.entries(options.headers ?? {})) {
    headers[header.toLowerCase()] = value;
    if (/auth|cookie|key|secret|token/i.test(header)) secrets.push(value.replace(/^\w+ /, ""));
  }

  const named = new Map<string, NamedModel>();
  for (const model of models === "*" ? [] : models) {
    const entry = typeof model === "string" ? { id: model } : model;
    named.set(entry.id, entry);
  }

  const readFailure = async (
    response: Response,
    body: BodyReader,
    signal: AbortSignal,
  ): Promise<ApiError> => {
    const { status } = response;
    if (response.headers.has("cf-mitigated")) {
      return new ApiError("upstream_challenge", `${name} is behind a firewall that wants a browser.`);
    }
    if (status < 400 || status > 599) {
      return new ApiError("upstream_invalid_response", `${name} answered ${status} instead of a reply.`);
    }
    // The status says enough where the rest can't be read.
    const text = await readWhole(body, maxErrorChars).catch(() => undefined);
    signal.throwIfAborted();
    const retryAfterMs = readRetryAfterMs(response.headers, clock.now());
    const shouldRetry = response.headers.get("x-should-retry");
    return upstreamError(
      { status, body: parseJson(text ?? ""), retryAfterMs, shouldRetry },
      { upstream: name, secrets },
    );
  };

  /** What a rejected promise of the platform's fetch means. */
  const failedBy =
    (signal: AbortSignal) =>
    (error: unknown): never => {
      signal.throwIfAborted();
      throw connectionError(name, error);
    };

  const loadModels = async (signal: AbortSignal) => {
    const failed = failedBy(signal);
    const response = await send(modelsUrl, { headers, redirect: "manual", signal }).catch(failed);
    const body = new BodyReader(response, maxModelsChars);
    if (!response.ok) throw await readFailure(response, body, signal);
    return readModelList(name, (await readWhole(body, maxModelsChars).catch(failed)) ?? "");
  };
  const askForModels = listedModels({ upstream: name, load: loadModels, clock });
  const namedModels = [...named.values()].map(modelOf);

  /** Whether there can be a connection that was kept. */
  let hasAnswered = false;

  /** The client's whole request, but for what the gateway decides. */
  const encodeRequest = ({ native, model, stream }: ChatRequest, messages: ChatRequest["messages"]): string =>
    JSON.stringify({
      ...native,
      model: named.get(model)?.upstreamId ?? model,
      messages: messages.map((message) => message.native),
      stream,
      // OpenAI refuses it where nothing is streamed.
      stream_options:
        stream && streamUsage
          ? { ...(native.stream_options as object | null), include_usage: true }
          : undefined,
    });

  /** The connection can be used again once its response has ended, which is nearly always at once. */
  const linger = (body: BodyReader): void => {
    if (body.isOver) return;
    const cancelTimer = clock.schedule(() => body.release(), lingerMs);
    const end = () => {
      cancelTimer();
      body.release();
    };
    body.next().then(end, end);
  };

  return {
    name,
    maxConcurrency: options.maxConcurrency ?? 0,
    takesUnlistedModels: models === "*",
    models: ({ signal }) => (models === "*" ? askForModels(signal) : namedModels),

    async *stream(
      request: ChatRequest,
      { signal, trace, upstreamDone }: ProviderContext,
    ): AsyncGenerator<readonly StreamPart[], void> {
      signal.throwIfAborted();
      const maxTokens = named.get(request.model)?.contextMaxTokens ?? options.contextMaxTokens;
      const messages = maxTokens === undefined ? request.messages : fitHistory(request.messages, maxTokens);
      trace.droppedMessages = request.messages.length - messages.length;
      trace.attempts += 1;

      const failed = failedBy(signal);
      const parts: StreamPart[] = [];
      const reply = replyReader(parts, {
        upstream: name,
        maxEventChars,
        failure: (body) => upstreamError({ body }, { upstream: name, secrets }),
      });
      let body: BodyReader | undefined;
      let hasBegun = false;
      const earlierMs = trace.upstreamMs;
      const startedMs = clock.now();
      try {
        const call: RequestInit = {
          method: "POST",
          headers,
          body: encodeRequest(request, messages),
          // No answer can make the gateway call another host.
          redirect: "manual",
          signal,
        };
        const response = await send(chatUrl, call)
          .catch((error) => {
            const isStale = hasAnswered && clock.now() - startedMs < staleConnectionMs;
            if (!isStale || !isClosedConnection(error) || signal.aborted) throw error;
            trace.attempts += 1;
            return send(chatUrl, call);
          })
          .catch(failed);
        hasAnswered = true;
        trace.upstreamMs = earlierMs + clock.now() - startedMs;
        const isStream = response.headers.get("content-type")?.startsWith("text/event-stream");
        body = new BodyReader(response, isStream ? 0 : maxEventChars);
        if (!response.ok) throw await readFailure(response, body, signal);

        for (let text: string | undefined = ""; text !== undefined && !reply.done; ) {
          // What was complete before the connection broke is an answer.
          try {
            text = await body.next();
          } catch (error) {
            text = reply.complete ? undefined : failed(error);
          }
          signal.throwIfAborted();
          let failure: unknown;
          try {
            if (text === undefined) reply.end();
            else reply.feed(text);
          } catch (error) {
            failure = error;
          }
          // Until something of the reply is there, a failure can still have its true status, or be mended.
          hasBegun ||= parts.some((part) => part.type !== "extension" || part.scope !== "answer");
          if (reply.done) upstreamDone();
          if (hasBegun && parts.length > 0) yield parts.splice(0);
          if (failure !== undefined) throw failure;
        }
      } finally {
        trace.upstreamMs = earlierMs + clock.now() - startedMs;
        if (body !== undefined && reply.done) linger(body);
        else body?.release();
      }
    },
  };
}
