/**
 * Any server that speaks Chat Completions: OpenAI, Moonshot, OpenRouter, Ollama, llama.cpp, vLLM and so on. A request is
 * sent on as the client wrote it, an answer as it arrives. What differs between vendors is an option.
 */

import { ApiError } from "../../errors.ts";
import type {
  ChatRequest,
  Clock,
  Fetch,
  JsonObject,
  Provider,
  ProviderContext,
  UpstreamEvent,
} from "../../types.ts";
import { isRecord } from "../../util/json.ts";
import { systemClock } from "../../util/time.ts";
import { atOnce } from "../shared/at-once.ts";
import { cutAtStops } from "../shared/cut-at-stops.ts";
import { BodyReader, failConnection, readRetryAfterMs, readWhole } from "../shared/upstream-http.ts";
import { fitHistory } from "./history-budget.ts";
import { createKeyRing } from "./key-ring.ts";
import { listedModels, modelOf, type NamedModel, readModelList } from "./listed-models.ts";
import { readRefusal } from "./refusal.ts";
import { ReplyReader } from "./reply.ts";
import { ResponseReader } from "./response-reply.ts";
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
const endpoint = (baseUrl: string, path: string, query = ""): string => {
  const url = new URL(baseUrl);
  for (const [name, value] of new URLSearchParams(query)) url.searchParams.append(name, value);
  url.pathname = url.pathname.replace(/\/+(chat\/completions\/*)?$/, "") + path;
  return url.href;
};

const isEmptyList = (value: unknown): boolean => Array.isArray(value) && value.length === 0;
const noTools = { tools: undefined, tool_choice: undefined, parallel_tool_calls: undefined };

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
  const { maxEventChars = maxAnswerChars } = options;
  const send: Fetch = options.fetch ?? ((url, init) => fetch(url, init));
  const chatUrl = endpoint(options.baseUrl, "/chat/completions");
  const completionsUrl = endpoint(options.baseUrl, "/completions");
  const responsesUrl = endpoint(options.baseUrl, "/responses");
  const modelsUrl = endpoint(options.baseUrl, "/models");

  const apiKeys = [apiKey ?? []].flat().filter((key) => key !== "");
  const credentials = [...apiKeys];
  const ownHeaders: Record<string, string> = {};
  for (const [header, value] of Object.entries(options.headers ?? {})) {
    ownHeaders[header.toLowerCase()] = value;
    if (/auth|cookie|key|secret|token/i.test(header)) credentials.push(value.replace(/^\w+ /, ""));
  }

  /** The request headers for each key; one set where there is none. */
  const headerSets = (apiKeys.length > 0 ? apiKeys : [undefined]).map((key) => ({
    "content-type": "application/json",
    ...(key !== undefined && { authorization: `Bearer ${key}` }),
    ...ownHeaders,
  }));
  const keyRing = createKeyRing(headerSets.length, clock);

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
    const refusal = readRefusal(status, text ?? "");
    const error = upstreamError(
      {
        // Of a key that is good and has no money behind it, not of a wrong one.
        status: refusal === "upstream_out_of_credit" ? 402 : status,
        body: parseJson(text ?? ""),
        retryAfterMs,
        shouldRetry,
      },
      { upstream: name, secrets },
    );
    return refusal !== undefined && error.code === "upstream_rejected" ? error.as(refusal) : error;
  };

  /** Asks with one key after the other, as long as a refusal is about the key. */
  const askWithKeys = async (
    ask: (place: number) => Promise<{ readonly response: Response; readonly calls: number }>,
    { signal, log }: Pick<ProviderContext, "signal" | "log">,
  ): Promise<{ readonly response: Response; readonly calls: number }> => {
    if (headerSets.length === 1) return ask(0);
    const order = keyRing.order();
    let calls = 0;
    for (const [index, place] of order.entries()) {
      const asked = await ask(place);
      calls += asked.calls;
      if (asked.response.ok) return { response: asked.response, calls };
      const error = await readFailure(asked.response, new BodyReader(asked.response, 0), signal);
      if (!keyRing.isAboutKey(error)) throw error;
      keyRing.rest(place, error);
      log.warn("key.rested", { provider: name, key: place + 1, keys: headerSets.length, code: error.code });
      if (index === order.length - 1) throw error;
    }
    throw new TypeError("There is no key to ask with.");
  };

  const loadModels = async (context: Pick<ProviderContext, "signal" | "log">) => {
    const { signal } = context;
    const failed = (error: unknown) => failConnection(name, error, signal);
    const { response } = await askWithKeys(async (place) => {
      const init = {
        headers: headerSets[place] as Record<string, string>,
        redirect: "manual",
        signal,
      } as const;
      return { response: await send(modelsUrl, init).catch(failed), calls: 1 };
    }, context);
    const body = new BodyReader(response, maxModelsChars);
    if (!response.ok) throw await readFailure(response, body, signal);
    return readModelList(name, (await readWhole(body, maxModelsChars).catch(failed)) ?? "");
  };
  const askForModels = listedModels({ upstream: name, load: loadModels, clock });
  const { contextMaxTokens } = options;
  const namedModels = [...named.values()].map((model) =>
    modelOf(contextMaxTokens === undefined ? model : { contextMaxTokens, ...model }),
  );

  const upstreamModel = (model: string): string => named.get(model)?.upstreamId ?? model;

  /** The client's whole request, but for what the gateway decides. */
  const encodeRequest = (fields: JsonObject, { native, model, stream }: ChatRequest): string =>
    JSON.stringify({
      ...fields,
      // OpenAI refuses an empty list, and a choice without tools; clients of others send both.
      ...(isEmptyList(fields.tools) && noTools),
      model: upstreamModel(model),
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
    headers: new Headers(headerSets[0]),
    send,
    clock,
    maxEventChars,
    maxAnswerChars,
    reasoningTags: options.reasoningTags?.length ? options.reasoningTags : undefined,
    failure: (body) => upstreamError({ body }, { upstream: name, secrets }),
    readFailure,
  };
  const sendersFor = (url: string) =>
    headerSets.map((headers) => createSender({ ...upstream, url, headers: new Headers(headers) }));
  const senders = {
    chat: sendersFor(chatUrl),
    completion: sendersFor(completionsUrl),
    response: sendersFor(responsesUrl),
  };
  const post = (route: keyof typeof senders, place: number, body: string, signal: AbortSignal) =>
    (senders[route][place] as (typeof senders)["chat"][number])(body, signal);

  /** The messages that the model has room for. */
  const fit = ({ model, messages }: ChatRequest): ChatRequest["messages"] => {
    const maxTokens = named.get(model)?.contextMaxTokens ?? options.contextMaxTokens;
    return maxTokens === undefined ? messages : fitHistory(messages, maxTokens);
  };

  /** The route that a request goes to, its body there, and the messages that are in it. */
  const encode = (request: ChatRequest) => {
    const { messages, native, completion, response, model } = request;
    if (response !== undefined && options.responses === true)
      return {
        route: "response",
        messages,
        body: JSON.stringify({ ...response, model: upstreamModel(model) }),
      } as const;
    if (completion !== undefined && options.completions === true)
      return { route: "completion", messages, body: encodeRequest(completion, request) } as const;
    const fitting = fit(request);
    const fields = { ...native, messages: fitting.map((message) => message.native) };
    return { route: "chat", messages: fitting, body: encodeRequest(fields, request) } as const;
  };

  /** What is asked about responses that the upstream keeps. */
  const askResponses: NonNullable<Provider["askResponses"]> = async (
    { method, path, body: fields },
    { signal, log },
  ) => {
    const failed = (error: unknown) => failConnection(name, error, signal);
    const [pathname = "", query] = path.split("?");
    const url = endpoint(options.baseUrl, `/responses${pathname}`, query);
    const sent =
      typeof fields?.model === "string" ? { ...fields, model: upstreamModel(fields.model) } : fields;
    const { response } = await askWithKeys(
      async (place) => {
        const headers = headerSets[place] as Record<string, string>;
        const init: RequestInit = { method, headers, redirect: "manual", signal };
        if (sent !== undefined) init.body = JSON.stringify(sent);
        return { response: await send(url, init).catch(failed), calls: 1 };
      },
      { signal, log },
    );
    const body = new BodyReader(response, maxEventChars);
    if (!response.ok) throw await readFailure(response, body, signal);
    const answer = parseJson((await readWhole(body, maxEventChars).catch(failed)) ?? "");
    if (isRecord(answer)) return answer;
    throw new ApiError("upstream_invalid_response", `${name} answered with what is not a JSON object.`);
  };

  return {
    name,
    maxConcurrency: options.maxConcurrency ?? 0,
    takesAttachments: true,
    takesUnlistedModels: models === "*",
    models: (context) => (models === "*" ? askForModels(context) : namedModels),
    ...(options.responses === true && { askResponses }),

    async answer(request, { signal, log }) {
      const { route, messages, body } = encode(request);
      const { response, calls } = await askWithKeys((place) => post(route, place, body, signal), {
        signal,
        log,
      });
      const context = { droppedMessages: request.messages.length - messages.length };
      const reply = readReply(response, upstream, {
        choices: request.choices,
        signal,
        createReader: (events) =>
          route === "response" ? new ResponseReader(events, upstream) : new ReplyReader(events, upstream),
      });
      // Upstreams take four of them.
      const events =
        request.stop.length > sentStops(request.native) ? cutAtStops(reply, request.stop) : reply;
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

/** Of what an upstream sends for one answer, events' syntax included. */
const maxAnswerChars = 16 * 1024 * 1024;
const sentStops = ({ stop }: JsonObject): number =>
  Array.isArray(stop) ? stop.length : stop == null ? 0 : 1;
