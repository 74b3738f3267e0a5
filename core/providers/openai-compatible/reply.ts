/** What an upstream answers, whole or event by event. Loose: vendors differ in everything but the idea. */
import { createParser, type EventSourceParser } from "eventsource-parser";
import { ApiError } from "../../errors.ts";
import type { FinishReason, JsonObject, StreamPart, UpstreamEvent, Usage } from "../../types.ts";
import { isDeeperThan, isRecord } from "../../util/json.ts";

type Fields = JsonObject;

export interface ReplyReaderOptions {
  /** The upstream's, for messages. */
  readonly name: string;
  /** The most characters that one event, or a reply that is not a stream, may have. */
  readonly maxEventChars: number;
  /** Makes an ApiError of an error object that came in place of, or amid, a reply. */
  readonly failure: (body: unknown) => ApiError;
}

const finishReasons: ReadonlyMap<string, FinishReason> = new Map([
  ["stop", "stop"],
  ["length", "length"],
  ["tool_calls", "tool_calls"],
  ["content_filter", "content_filter"],
  ["function_call", "function_call"],
  ["max_tokens", "length"],
  ["model_length", "length"],
  ["tool_use", "tool_calls"],
  ["safety", "content_filter"],
]);

/** Reasons that are failures in disguise: OpenRouter's, vLLM's and DeepSeek's. */
const failureReasons: ReadonlySet<string> = new Set(["error", "abort", "insufficient_system_resource"]);

const count = (value: unknown): number => (typeof value === "number" && value > 0 ? value : 0);

const readUsage = (fields: Fields): Usage => {
  const { prompt_tokens, completion_tokens, total_tokens, ...details } = fields;
  const promptTokens = count(prompt_tokens);
  const completionTokens = count(completion_tokens);
  const totalTokens = count(total_tokens) || promptTokens + completionTokens;
  return { promptTokens, completionTokens, totalTokens, ...(Object.keys(details).length > 0 && { details }) };
};

/** A text, or the text of Mistral's lists of pieces. */
const readText = (content: unknown, piece: "text" | "thinking"): string => {
  if (typeof content === "string") return piece === "text" ? content : "";
  if (!Array.isArray(content)) return "";
  let text = "";
  for (const part of content) {
    if (!isRecord(part) || part.type !== piece) continue;
    const inner = part[piece];
    text += typeof inner === "string" ? inner : readText(inner, "text");
  }
  return text;
};

interface ToolCall {
  readonly id: string;
  /** The upstream's own index, which some give to every call and some to none. */
  readonly index: number | undefined;
}

interface Choice {
  readonly toolCalls: ToolCall[];
  finished: boolean;
}

/** Text with fewer characters can't be nested so deep that it does harm, and most have fewer. */
const shallowChars = 10_000;
const maxDepth = 1000;

/** OpenAI's own limit on `n`. */
const maxChoices = 128;

const hasOnlyMessage = (choice: unknown): boolean =>
  isRecord(choice) && isRecord(choice.message) && !isRecord(choice.delta);

/** Reads one reply. Its events are pushed to `events`, which the caller empties. */
export class ReplyReader {
  readonly #events: UpstreamEvent[];
  readonly #options: ReplyReaderOptions;
  readonly #choices: Choice[] = [];
  /** Reads the body if it is a stream of events. */
  #parser: EventSourceParser | undefined;
  /** The body, or its beginning until it is clear that it is a stream. */
  #head = "";
  #sawEvent = false;
  #done = false;
  #isConcluded = false;

  constructor(events: UpstreamEvent[], options: ReplyReaderOptions) {
    this.#events = events;
    this.#options = options;
  }

  /** Whether the upstream has marked its stream's end; the connection may still be open. */
  get done(): boolean {
    return this.#done;
  }

  /** Whether everything that began has ended, so that a connection lost now has cost nothing. */
  get complete(): boolean {
    return this.#choices.length > 0 && this.#choices.every((choice) => choice?.finished !== false);
  }

  /** Reads the next piece of the body; throws after the parts that came before a fault. */
  feed(text: string): void {
    if (this.#parser !== undefined) this.#parser.feed(text);
    else {
      this.#head = this.#head === "" ? text.trimStart() : this.#head + text;
      if (this.#head === "") return;
      // What the body is, its first character tells; a Content-Type may be wrong.
      if (!"{[<".includes(this.#head.charAt(0))) {
        this.#parser = this.#eventParser();
        this.#parser.feed(this.#head);
      } else if (this.#head.length > this.#options.maxEventChars) throw this.#tooLarge();
    }
    if (this.#done) this.#conclude();
  }

  /** Reads what the end of the body means. */
  end(): void {
    if (this.#head === "") throw this.#invalid("answered with an empty body");
    if (this.#parser === undefined) this.#readObject();
    else this.#endEvents(this.#parser);
    this.#conclude();
  }

  #eventParser(): EventSourceParser {
    return createParser({
      maxBufferSize: this.#options.maxEventChars,
      onEvent: ({ data, event }) => this.#readEvent(data, event),
      onError: (error) => {
        if (error.type === "max-buffer-size-exceeded") throw this.#tooLarge();
      },
    });
  }

  #invalid(what: string): ApiError {
    return new ApiError("upstream_invalid_response", `${this.#options.name} ${what}.`);
  }

  #tooLarge(): ApiError {
    return this.#invalid(`sent more than ${this.#options.maxEventChars} characters at once`);
  }

  #parseJson(text: string): unknown {
    if (text.length > shallowChars && isDeeperThan(maxDepth, text)) {
      throw this.#invalid("sent JSON nested too deeply");
    }
    return JSON.parse(text);
  }

  #readEvent(data: string, type: string | undefined): void {
    if (this.#done || data === "") return;
    this.#sawEvent = true;
    if (!data.startsWith("{") && data.trim() === "[DONE]") {
      this.#done = true;
      return;
    }
    let body: unknown;
    try {
      body = this.#parseJson(data);
    } catch (cause) {
      if (cause instanceof ApiError) throw cause;
      if (type === "error") throw this.#options.failure(data);
      throw new ApiError(
        "upstream_invalid_response",
        `${this.#options.name} sent an event that is not JSON.`,
        {
          cause,
        },
      );
    }
    if (type === "error") throw this.#options.failure(body);
    this.#readBody(body, false);
  }

  /** One event of a stream, or a reply in one piece: they differ in `delta` and `message` only. */
  #readBody(body: unknown, isWhole: boolean): void {
    // Gemini puts its errors into a list.
    if (Array.isArray(body) && isRecord(body[0]) && body[0].error) throw this.#options.failure(body);
    if (!isRecord(body)) throw this.#invalid("sent JSON that is no reply");
    if (body.error || body.object === "error" || body.type === "error") throw this.#options.failure(body);
    const parts: StreamPart[] = [];
    if (!Array.isArray(body.choices)) {
      if (isRecord(body.usage))
        this.#events.push({ parts: [{ type: "usage", usage: readUsage(body.usage) }] });
      return;
    }
    // Some send a whole answer as the one event of a stream.
    const field = isWhole || body.choices.some(hasOnlyMessage) ? "message" : "delta";
    const choices: Fields[] = [];
    let isMended = false;
    for (const [position, choice] of body.choices.entries()) {
      const mended = isRecord(choice) ? this.#readChoice(choice, position, field, parts) : undefined;
      if (mended !== undefined) choices.push(mended);
      isMended ||= mended !== choice;
    }
    if (isRecord(body.usage)) parts.push({ type: "usage", usage: readUsage(body.usage) });
    // Nearly all events go on as they are.
    const event = isMended ? { ...body, choices } : body;
    this.#events.push({
      parts,
      native: { format: "chat-completions", isWhole: field === "message", event },
    });
  }

  /** Returns the choice with its index, and its calls' indexes and ids, as clients need them. */
  #readChoice(fields: Fields, position: number, field: "delta" | "message", parts: StreamPart[]): Fields {
    if (fields.error) throw this.#options.failure(fields);
    const index =
      Number.isInteger(fields.index) && (fields.index as number) >= 0 ? (fields.index as number) : position;
    if (index >= maxChoices) throw this.#invalid(`sent a reply with the index ${index}`);
    this.#choices[index] ??= { toolCalls: [], finished: false };
    const choice = this.#choices[index];
    // An absent index means 0, which is nearly always: no property then.
    const at = index === 0 ? undefined : { choice: index };
    const message = fields[field];
    const mended = isRecord(message) ? this.#readMessage(message, choice, at, parts) : message;
    // The older Completions have no message.
    if (typeof fields.text === "string" && fields.text !== "" && !isRecord(message)) {
      parts.push({ type: "text-delta", ...at, delta: fields.text });
    }
    const reason = fields.finish_reason;
    if (typeof reason === "string" && reason !== "" && !choice.finished) {
      if (failureReasons.has(reason)) throw this.#options.failure(undefined);
      choice.finished = true;
      parts.push({ type: "finish", ...at, reason: finishReasons.get(reason.toLowerCase()) ?? "stop" });
    }
    // Moonshot's place for it.
    if (isRecord(fields.usage)) parts.push({ type: "usage", usage: readUsage(fields.usage) });
    return mended === message && index === fields.index ? fields : { ...fields, index, [field]: mended };
  }

  #readMessage(
    message: Fields,
    choice: Choice,
    at: { choice: number } | undefined,
    parts: StreamPart[],
  ): Fields {
    // `reasoning` is OpenRouter's and Ollama's name; some send both with the same text.
    const reasoning = message.reasoning_content ?? message.reasoning ?? readText(message.content, "thinking");
    if (typeof reasoning === "string" && reasoning !== "") {
      parts.push({ type: "reasoning-delta", ...at, delta: reasoning });
    }
    const text = readText(message.content, "text");
    if (text !== "") parts.push({ type: "text-delta", ...at, delta: text });
    if (typeof message.refusal === "string" && message.refusal !== "") {
      parts.push({ type: "refusal-delta", ...at, delta: message.refusal });
    }
    if (!Array.isArray(message.tool_calls)) return message;
    const calls = message.tool_calls.map((call) =>
      isRecord(call) && isRecord(call.function)
        ? this.#readToolCall(call, call.function, choice, at, parts)
        : call,
    );
    return { ...message, tool_calls: calls };
  }

  /**
   * Calls are counted in order of appearance: whole replies have no index, and some vendors give every call of a
   * stream the same one. A call begins with its name; what has none continues one. Returns the call with that index,
   * with an id, by which clients answer it, and with its arguments as text.
   */
  #readToolCall(
    call: Fields,
    called: Fields,
    choice: Choice,
    at: { choice: number } | undefined,
    parts: StreamPart[],
  ): Fields {
    const { toolCalls } = choice;
    const id = typeof call.id === "string" ? call.id : "";
    const upstreamIndex = typeof call.index === "number" ? call.index : undefined;
    const name = typeof called.name === "string" ? called.name : "";
    const text = called.arguments;
    const delta = typeof text === "string" ? text : text == null ? "" : JSON.stringify(text);

    let index = id === "" ? -1 : toolCalls.findLastIndex((known) => known.id === id);
    if (index < 0 && (name === "" || (id === "" && upstreamIndex !== undefined))) {
      index = toolCalls.findLastIndex(
        (known) => upstreamIndex === undefined || known.index === upstreamIndex,
      );
    }
    const { id: _id, index: _index, type: _type, function: _function, ...more } = call;
    const fields = Object.keys(more).length > 0 ? { fields: more } : undefined;
    if (index >= 0) {
      if (delta !== "" || fields) parts.push({ type: "tool-call-delta", ...at, index, delta, ...fields });
      return { ...call, index, function: { ...called, arguments: delta } };
    }
    const ownId = id === "" ? `call_${crypto.randomUUID().replaceAll("-", "")}` : id;
    index = toolCalls.length;
    toolCalls.push({ id: ownId, index: upstreamIndex });
    parts.push({ type: "tool-call-delta", ...at, index, id: ownId, name, delta, ...fields });
    return {
      type: "function",
      ...call,
      index,
      id: ownId,
      function: { ...called, name, arguments: delta },
    };
  }

  /** Ends the choices that the upstream has left open. */
  #conclude(): void {
    if (this.#isConcluded) return;
    this.#isConcluded = true;
    if (this.#choices.length === 0) throw this.#invalid("answered without a reply");
    const parts: StreamPart[] = [];
    for (const [index, choice] of this.#choices.entries()) {
      if (choice === undefined || choice.finished) continue;
      choice.finished = true;
      const reason = choice.toolCalls.length > 0 ? "tool_calls" : "stop";
      parts.push({ type: "finish", ...(index > 0 && { choice: index }), reason });
    }
    if (parts.length > 0) this.#events.push({ parts });
  }

  #endEvents(events: EventSourceParser): void {
    try {
      // The last event may lack the blank line that ends it, or be only half there.
      events.feed("\n\n");
    } catch (error) {
      if (!(error instanceof ApiError) || error.code !== "upstream_invalid_response") throw error;
    }
    if (this.#done || this.complete) return;
    throw this.#sawEvent || this.#head.startsWith(":")
      ? new ApiError("upstream_unreachable", `${this.#options.name} broke off in the middle of its reply.`)
      : this.#invalid("answered with neither JSON nor events");
  }

  #readObject(): void {
    let body: unknown;
    try {
      body = this.#parseJson(this.#head);
    } catch (cause) {
      if (cause instanceof ApiError) throw cause;
      const what = this.#head.startsWith("<") ? "answered with a web page" : "answered with what is not JSON";
      throw new ApiError("upstream_invalid_response", `${this.#options.name} ${what}.`, { cause });
    }
    this.#readBody(body, true);
  }
}
