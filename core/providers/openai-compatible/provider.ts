/**
 * Any server that speaks Chat Completions: OpenAI, Moonshot, OpenRouter, Ollama, llama.cpp, vLLM and so on. A request is
 * sent on as the client wrote it, an answer as it arrives. What differs between vendors is an option.
 */

import { ApiError } from "../../errors.ts";
import type { ChatRequest, Clock, Fetch, JsonObject, Provider, UpstreamEvent } from "../../types.ts";
import { systemClock } from "../../util/time.ts";
import { atOnce } from "../shared/at-once.ts";
import { cutAtStops } from "../shared/cut-at-stops.ts";
import { BodyReader, failConnection, readRetryAfterMs, readWhole } from "../shared/upstream-http.ts";
import { fitHistory } from "./history-budget.ts";
import { listedModels, modelOf, type NamedModel, readModelList } from "./listed-models.ts";
import { shortestSecret, type UpstreamSettings } from "./settings.ts";
import { createSender, readReply, type UpstreamEndpoint } from "./upstream-call.ts";
import { upstreamError } from "./upstream-error.ts";

export interface OpenAiCompatibleOptions extends Omit<UpstreamSettings, "models"> {
  /** The models on offer; "*", the default, asks the upstream's `/models`. */
  readonly models?: readonly (string | NamedModel)[] | "*" | undefined;
  readonly fetch?: Fetch | undefined;
  readonly clock?: Clock | undefined;
  /** The most characters that one event, or a reply that is not a stream, may have; 16 Mi by default. */
  readonly maxEventChars?: number | undefined;
}

const maxErrorChars = 64 * 1024;
const maxModelsChars = 8 * 1024 * 1024;

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

/**
 * A provider over one OpenAI-compatible upstream. `contextMaxTokens` counts tokens by an estimate, `maxEventChars`
 * UTF-16 code units. Throws TypeError for a `baseUrl` that is no URL; requests fail with ApiError, most of them with the
 * upstream's own status and message.
 *
 * @example
 * ```ts
 * import { createHandler, openAiCompatible } from "kimi-ai-2api";
 *
 * const moonshot = openAiCompatible({
 *   name: "moonshot",
 *   baseUrl: "https://api.moonshot.ai/v1",
 *   apiKey: process.env.MOONSHOT_KEY,
 *   models: ["kimi-k2-0905-preview", { id: "fast", upstreamId: "kimi-k2-turbo-preview" }],
 * });
 * const handler = createHandler({ providers: [moonshot] });
 * ```
 */
export function openAiCompatible(options: OpenAiCompatibleOptions): Provider {
  const { name, apiKey, models = "*", clock = systemClock, streamUsage = true } = options;
  const { maxEventChars = 16 * 1024 * 1024 } = options;
  const send: Fetch = options.fetch ?? ((url, init) => fetch(url, init));
  const chatUrl = endpoint(options.baseUrl, "/chat/completions");
  const modelsUrl = endpoint(options.baseUrl, "/models");

  const headers: Record<string, string> = { "content-type": "application/json" };
  if (apiKey) headers.authorization = `Bearer ${apiKey}`;
  const credentials = apiKey ? [apiKey] : [];
  for (const [header, value] of Object.entries(options.headers ?? {})) {
    headers[header.toLowerCase()] = value;
    if (/auth|cookie|key|secret|token/i.test(header)) credentials.push(value.replace(/^\w+ /, ""));
  }

  const secrets = credentials.filter(({ length }) => length >= shortestSecret);

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

  const loadModels = async (signal: AbortSignal) => {
    const failed = (error: unknown) => failConnection(name, error, signal);
    const response = await send(modelsUrl, { headers, redirect: "manual", signal }).catch(failed);
    const body = new BodyReader(response, maxModelsChars);
    if (!response.ok) throw await readFailure(response, body, signal);
    return readModelList(name, (await readWhole(body, maxModelsChars).catch(failed)) ?? "");
  };
  const askForModels = listedModels({ upstream: name, load: loadModels, clock });
  const { contextMaxTokens } = options;
  const namedModels = [...named.values()].map((model) =>
    modelOf(contextMaxTokens === undefined ? model : { contextMaxTokens, ...model }),
  );

  /** The client's whole request, but for what the gateway decides. */
  const encodeRequest = (fields: JsonObject, { native, model, stream }: ChatRequest): string =>
    JSON.stringify({
      ...fields,
      model: named.get(model)?.upstreamId ?? model,
      stream,
      // OpenAI refuses it where nothing is streamed.
      stream_options:
        stream && streamUsage
          ? { ...(native.stream_options as object | null), include_usage: true }
          : undefined,
    });

  const upstream: UpstreamEndpoint = {
    name,
    url: chatUrl,
    headers: new Headers(headers),
    send,
    clock,
    maxEventChars,
    failure: (body) => upstreamError({ body }, { upstream: name, secrets }),
    readFailure,
  };
  const post = createSender(upstream);
  const postCompletion = createSender({ ...upstream, url: endpoint(options.baseUrl, "/completions") });

  /** The messages that the model has room for. */
  const fit = ({ model, messages }: ChatRequest): ChatRequest["messages"] => {
    const maxTokens = named.get(model)?.contextMaxTokens ?? options.contextMaxTokens;
    return maxTokens === undefined ? messages : fitHistory(messages, maxTokens);
  };

  return {
    name,
    maxConcurrency: options.maxConcurrency ?? 0,
    takesUnlistedModels: models === "*",
    models: ({ signal }) => (models === "*" ? askForModels(signal) : namedModels),

    async answer(request, { signal }) {
      const { native, completion } = request;
      const isCompletion = completion !== undefined && options.completions === true;
      const messages = isCompletion ? request.messages : fit(request);
      const { response, calls } = isCompletion
        ? await postCompletion(encodeRequest(completion, request), signal)
        : await post(
            encodeRequest({ ...native, messages: messages.map((message) => message.native) }, request),
            signal,
          );
      const context = { droppedMessages: request.messages.length - messages.length };
      const reply = readReply(response, upstream, signal);
      // Upstreams take four of them.
      const events = request.stop.length > sentStops(native) ? cutAtStops(reply, request.stop) : reply;
      if (request.stream) return { events, context, calls };
      // A whole answer is of no use before its end.
      const all: UpstreamEvent[] = [];
      for await (const some of events) {
        // Not spread: a body that arrived at once may have more events than a call may have arguments.
        for (const event of some) all.push(event);
      }
      return { events: atOnce(all), context, calls, isComplete: true };
    },
  };
}

const sentStops = ({ stop }: JsonObject): number =>
  Array.isArray(stop) ? stop.length : stop == null ? 0 : 1;
