/**
 * A stand-in for an OpenAI-compatible upstream. By itself it behaves well and answers what it was asked, so that
 * requests can be checked from the outside; `script` makes it send any bytes at all, and break off where it likes.
 */
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { createResponsesApi, type ResponsesApi } from "./responses-api.ts";

/** Ends the connection without ending the response. */
export const cut = Symbol("cut");

/** Something to send, something to wait for, or `cut`. */
export type Step = string | Uint8Array | (() => Promise<unknown>) | typeof cut;

export interface Script {
  /** How long it thinks before its first byte. */
  readonly delayMs?: number;
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly steps: readonly Step[];
}

// biome-ignore lint/suspicious/noExplicitAny: what came is for tests to look at
export type Json = any;

export interface ReceivedCall {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Json;
  /** Resolves once the connection or the response is over. */
  readonly over: Promise<void>;
}

export interface OpenAiUpstreamOptions {
  /** The only key that is let in; by default any, or none, is. */
  readonly apiKey?: string;
  /** Between two events of a stream. */
  readonly gapMs?: number;
  readonly hostname?: string;
  readonly port?: number;
}

export interface OpenAiUpstream {
  readonly baseUrl: string;
  /** Its Responses, which it keeps. */
  readonly responses: ResponsesApi;
  /** Every call so far, oldest first. */
  readonly calls: readonly ReceivedCall[];
  readonly openCalls: number;
  /** The next call, once it has come. */
  nextCall(): Promise<ReceivedCall>;
  /** Answers the next calls, one script each, whatever they ask. */
  script(...scripts: readonly Script[]): void;
  /** Ends the connections that are kept for a next call. */
  closeIdleConnections(): void;
  /** Closes the next call's connection without an answer if it has been used before. */
  cutNextIfKept(): void;
  close(): void;
}

export const eventStream = { "content-type": "text/event-stream; charset=utf-8" };
const json = { "content-type": "application/json" };

export const modelIds = ["echo", "reasoner", "refuser"] as const;

/** A step that waits until the test or the client ends it. */
export const forever = (): Promise<never> => new Promise(() => {});

/** The shape of Chat Completions' chunks, for scripts. */
export const chunk = (delta: object | null, finish_reason: string | null = null, more: object = {}): string =>
  `data: ${JSON.stringify({
    id: "chatcmpl-1",
    object: "chat.completion.chunk",
    created: 1_700_000_000,
    model: "echo",
    choices: delta === null ? [] : [{ index: 0, delta, finish_reason }],
    ...more,
  })}\n\n`;

/** Events with names, as of Responses. */
export const namedEvents = (events: readonly Json[]): string[] =>
  events.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);

export const doneEvent = "data: [DONE]\n\n";

/** A JSON body, as one step. */
export const jsonScript = (status: number, body: unknown, headers: Record<string, string> = {}): Script => ({
  status,
  headers: { ...json, ...headers },
  steps: [JSON.stringify(body)],
});

const textOf = (content: Json): string =>
  typeof content === "string"
    ? content
    : (content ?? []).map((part: Json) => (part.type === "text" ? part.text : `[${part.type}]`)).join("");

/** Any value that fits a JSON schema's simpler parts. */
const sample = (schema: Json): Json => {
  if (schema?.enum) return schema.enum[0];
  switch (schema?.type) {
    case "object":
      return Object.fromEntries(
        Object.entries(schema.properties ?? {}).map(([name, inner]) => [name, sample(inner)]),
      );
    case "array":
      return [sample(schema.items)];
    case "number":
    case "integer":
      return 1;
    case "boolean":
      return true;
    default:
      return "Paris";
  }
};

interface Reply {
  readonly text: string;
  readonly reasoning?: string;
  readonly refusal?: string;
  readonly toolCalls?: readonly {
    id: string;
    type: "function";
    function: { name: string; arguments: string };
  }[];
  readonly finishReason: string;
}

const replyTo = (body: Json, choice: number): Reply => {
  const last = body.messages.at(-1);
  if (body.model === "refuser") return { text: "", refusal: "I would rather not.", finishReason: "stop" };
  if (body.tools?.length > 0 && last.role === "user" && body.tool_choice !== "none") {
    const toolCalls = body.tools.map(({ function: tool }: Json, index: number) => ({
      id: `call_${choice}_${index}`,
      type: "function" as const,
      function: { name: tool.name, arguments: JSON.stringify(sample(tool.parameters)) },
    }));
    return { text: "", toolCalls, finishReason: "tool_calls" };
  }
  const format = body.response_format;
  const said = textOf(last.content);
  let text = `${choice > 0 ? `Echo ${choice}` : "Echo"}: ${said}`;
  if (last.role === "tool") text = `The tool said: ${said}`;
  if (format?.type === "json_schema") text = JSON.stringify(sample(format.json_schema.schema));
  if (format?.type === "json_object") text = JSON.stringify({ echo: said });
  const words = text.split(/(?<= )/);
  const maxWords = body.max_completion_tokens ?? body.max_tokens ?? words.length;
  return {
    text: words.slice(0, maxWords).join(""),
    finishReason: words.length > maxWords ? "length" : "stop",
    ...(body.model === "reasoner" && { reasoning: "First I think about it." }),
  };
};

const logprobsOf = (text: string) => ({
  content: [...text].map((token) => ({ token, logprob: -0.5, bytes: null, top_logprobs: [] })),
  refusal: null,
});

const head = { id: "chatcmpl-stand-in", created: 1_700_000_000, system_fingerprint: "fp_stand_in" };

const usageOf = (body: Json) => {
  const prompt_tokens = body.messages.length;
  const completion_tokens = 7;
  return {
    prompt_tokens,
    completion_tokens,
    total_tokens: prompt_tokens + completion_tokens,
    prompt_tokens_details: { cached_tokens: 0 },
    completion_tokens_details: { reasoning_tokens: 2 },
  };
};

/** Text in pieces of five code points, as tokens come. */
const piecesOf = (text: string): string[] => text.match(/.{1,5}/gsu) ?? [];

const wholeReply = (body: Json) => ({
  ...head,
  object: "chat.completion",
  model: body.model,
  choices: Array.from({ length: body.n ?? 1 }, (_, index) => {
    const { text, reasoning, refusal, toolCalls, finishReason } = replyTo(body, index);
    return {
      index,
      message: {
        role: "assistant",
        content: toolCalls || refusal ? null : text,
        refusal: refusal ?? null,
        annotations: [],
        ...(reasoning && { reasoning_content: reasoning }),
        ...(toolCalls && { tool_calls: toolCalls }),
      },
      logprobs: body.logprobs ? logprobsOf(text) : null,
      finish_reason: finishReason,
    };
  }),
  usage: usageOf(body),
  service_tier: "default",
});

function* streamedReply(body: Json): Generator<string> {
  const event = (choices: object[], usage: object | null = null) =>
    `data: ${JSON.stringify({
      ...head,
      object: "chat.completion.chunk",
      model: body.model,
      service_tier: "default",
      choices,
      ...(body.stream_options?.include_usage && { usage }),
    })}\n\n`;
  for (let index = 0; index < (body.n ?? 1); index++) {
    const { text, reasoning, refusal, toolCalls, finishReason } = replyTo(body, index);
    const delta = (fields: object, logprobs: object | null = null) =>
      event([{ index, delta: fields, logprobs, finish_reason: null }]);
    yield delta({ role: "assistant", content: "" });
    for (const piece of piecesOf(reasoning ?? "")) yield delta({ reasoning_content: piece });
    for (const piece of piecesOf(text)) {
      yield delta({ content: piece }, body.logprobs ? logprobsOf(piece) : null);
    }
    for (const piece of piecesOf(refusal ?? "")) yield delta({ refusal: piece });
    for (const [position, call] of (toolCalls ?? []).entries()) {
      const { name } = call.function;
      yield delta({ tool_calls: [{ ...call, index: position, function: { name, arguments: "" } }] });
      for (const piece of piecesOf(call.function.arguments)) {
        yield delta({ tool_calls: [{ index: position, function: { arguments: piece } }] });
      }
    }
    yield event([{ index, delta: {}, logprobs: null, finish_reason: finishReason }]);
  }
  if (body.stream_options?.include_usage) yield event([], usageOf(body));
  yield doneEvent;
}

const refuse = (status: number, code: string, message: string): Script =>
  jsonScript(status, { error: { message, type: "invalid_request_error", param: null, code } });

/** Starts the stand-in, on a free port by default. */
export async function startOpenAiUpstream(options: OpenAiUpstreamOptions = {}): Promise<OpenAiUpstream> {
  const { apiKey, gapMs = 0, hostname = "127.0.0.1", port = 0 } = options;
  const responses = createResponsesApi();
  const calls: ReceivedCall[] = [];
  const scripts: Script[] = [];
  const waiters: ((call: ReceivedCall) => void)[] = [];
  let openCalls = 0;
  let cutsNextIfKept = false;
  const usedSockets = new WeakSet<Socket>();

  const play = async (
    response: ServerResponse,
    { delayMs = 0, status = 200, headers = json, steps }: Script,
  ) => {
    if (delayMs > 0) await new Promise((resolve) => setTimeout(resolve, delayMs));
    response.writeHead(status, headers);
    response.flushHeaders();
    for (const step of steps) {
      if (response.destroyed) return;
      if (step === cut) {
        response.socket?.destroy();
        return;
      }
      if (typeof step === "function") await step();
      else response.write(step);
    }
    response.end();
  };

  const answer = (method: string, url: string, headers: IncomingHttpHeaders, body: Json): Script => {
    const next = scripts.shift();
    if (next !== undefined) return next;
    if (apiKey !== undefined && headers.authorization !== `Bearer ${apiKey}`) {
      const shown = (headers.authorization ?? "").slice(-4);
      return refuse(401, "invalid_api_key", `Incorrect API key provided: ****${shown}.`);
    }
    const path = url.replace(/\?.*/, "");
    if (method === "GET" && path === "/v1/models") {
      const data = modelIds.map((id) => ({
        id,
        object: "model",
        created: 1_700_000_000,
        owned_by: "stand-in",
      }));
      return jsonScript(200, { object: "list", data });
    }
    const isResponses = path.startsWith("/v1/responses");
    if (!isResponses && (method !== "POST" || path !== "/v1/chat/completions"))
      return refuse(404, "not_found", "No such route.");
    if (body?.model !== undefined && !modelIds.includes(body.model)) {
      return refuse(404, "model_not_found", `The model ${body.model} does not exist.`);
    }
    if (!isResponses) return jsonScript(200, wholeReply(body));
    const query = new URL(url, "http://127.0.0.1").searchParams;
    const answered = responses.answer(method, path.slice("/v1/responses".length), query, body);
    if (answered === undefined) return refuse(404, "not_found", "No such route.");
    if (answered.events === undefined) return jsonScript(answered.status, answered.body);
    return { headers: eventStream, steps: namedEvents(answered.events) };
  };

  const server = createServer(async (request, response) => {
    const { method = "", url = "", headers, socket } = request;
    const cuts = cutsNextIfKept && usedSockets.has(socket);
    cutsNextIfKept = false;
    usedSockets.add(socket);
    if (cuts) return socket.destroy();
    let text = "";
    request.setEncoding("utf8");
    for await (const piece of request) text += piece;
    const body: Json = text === "" ? undefined : JSON.parse(text);
    openCalls += 1;
    const over = new Promise<void>((resolve) => {
      response.once("close", () => {
        openCalls -= 1;
        resolve();
      });
    });
    const call = { method, url, headers, body, over };
    calls.push(call);
    for (const resolve of waiters.splice(0)) resolve(call);
    const isScripted = scripts.length > 0 || url.startsWith("/v1/responses");
    const script = answer(method, url, headers, body);
    if (isScripted || script.status !== 200 || body?.stream !== true) return play(response, script);
    response.writeHead(200, eventStream);
    for (const event of streamedReply(body)) {
      if (response.destroyed) return;
      response.write(event);
      if (gapMs > 0) await new Promise((resolve) => setTimeout(resolve, gapMs));
    }
    response.end();
  });
  await new Promise<void>((resolve) => server.listen(port, hostname, resolve));
  return {
    responses,
    baseUrl: `http://${hostname}:${(server.address() as AddressInfo).port}/v1`,
    calls,
    get openCalls() {
      return openCalls;
    },
    nextCall: () => new Promise((resolve) => waiters.push(resolve)),
    script(...next) {
      scripts.push(...next);
    },
    closeIdleConnections: () => server.closeIdleConnections(),
    cutNextIfKept() {
      cutsNextIfKept = true;
    },
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}
