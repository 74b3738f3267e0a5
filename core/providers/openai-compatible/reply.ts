/** What an upstream answered, whole or event by event, as parts. Loose: vendors differ in everything but the idea. */
import { createParser, type EventSourceParser } from "eventsource-parser";
import { ApiError } from "../../errors.ts";
import type { FinishReason, StreamPart, Usage } from "../../types.ts";
import { isDeeperThan } from "../../util/json.ts";

type Fields = Record<string, unknown>;

export interface ReplyReaderOptions {
  /** The upstream's, for messages. */
  readonly name: string;
  /** The most characters that one event, or a reply that is not a stream, may have. */
  readonly maxEventChars: number;
  /** Makes an ApiError of an error object that came in place of, or amid, a reply. */
  readonly failure: (body: unknown) => ApiError;
}

const isRecord = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);

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

/** So many events are looked at for a frame: where each has something new, as OpenAI's padding, there is none. */
const maxFramesTried = 8;

/** OpenAI's own limit on `n`. */
const maxChoices = 128;

/** Reads one reply. The parts are pushed to `parts`, which the caller empties. */
export class ReplyReader {
  readonly #parts: StreamPart[];
  readonly #options: ReplyReaderOptions;
  readonly #choices: Choice[] = [];
  #answerFields: Map<string, unknown> | undefined;
  /** Reads the body if it is a stream of events. */
  #parser: EventSourceParser | undefined;
  /** The body, or its beginning until it is clear that it is a stream. */
  #head = "";
  #sawEvent = false;
  #done = false;
  #usage: Usage | undefined;
  /** What stands around the text in the last event that was a text alone: most events differ in that text only. */
  #frame: { readonly before: string; readonly behind: string } | undefined;
  #framesTried = 0;
  /** Texts that were joined to the part before them, and the last text of all as it came. */
  #joined = 0;
  #lastText = "";

  constructor(parts: StreamPart[], options: ReplyReaderOptions) {
    this.#parts = parts;
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
      throw this.#invalid("sent JSON that has no bottom");
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
    const text = type === undefined ? this.#framedText(data) : undefined;
    if (text !== undefined) {
      if (text !== "") this.#pushText("text-delta", undefined, text);
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
    const before = this.#parts.length + this.#joined;
    this.#readBody(body);
    const isAlone = this.#parts.length + this.#joined === before + 1;
    if (isAlone && this.#framesTried++ < maxFramesTried) this.#findFrame(data, this.#parts.at(-1));
  }

  /** What has arrived together goes on together: an event for each piece would cost a client and us ten times as much. */
  #pushText(type: "text-delta" | "reasoning-delta", at: { choice: number } | undefined, delta: string): void {
    const last = this.#parts.at(-1);
    if (last?.type === type && last.choice === at?.choice) {
      this.#parts[this.#parts.length - 1] = { type, ...at, delta: last.delta + delta };
      this.#joined++;
    } else {
      this.#parts.push({ type, ...at, delta });
    }
    this.#lastText = delta;
  }

  #findFrame(data: string, part: StreamPart | undefined): void {
    if (part?.type !== "text-delta" || part.choice !== undefined) return;
    for (const key of ['"content":"', '"content": "']) {
      const field = `${key}${this.#lastText}"`;
      const at = data.indexOf(field);
      if (at < 0 || data.indexOf(field, at + 1) >= 0) continue;
      this.#frame = { before: data.slice(0, at + key.length), behind: data.slice(at + field.length - 1) };
    }
  }

  /** The text of an event in the frame; undefined where the event must be parsed. */
  #framedText(data: string): string | undefined {
    if (this.#frame === undefined) return undefined;
    const { before, behind } = this.#frame;
    const end = data.length - behind.length;
    if (end < before.length || !data.startsWith(before) || !data.endsWith(behind)) return undefined;
    const text = data.slice(before.length, end);
    return text.includes('"') || text.includes("\\") ? undefined : text;
  }

  /** One event of a stream, or a reply in one piece: they differ in `delta` and `message` only. */
  #readBody(body: unknown): void {
    // Gemini puts its errors into a list.
    if (Array.isArray(body) && isRecord(body[0]) && body[0].error) throw this.#options.failure(body);
    if (!isRecord(body)) throw this.#invalid("sent JSON that is no reply");
    if (body.error || body.object === "error" || body.type === "error") throw this.#options.failure(body);
    if (isRecord(body.usage)) this.#usage = readUsage(body.usage);
    if (!Array.isArray(body.choices)) return;
    let extra: Fields | undefined;
    for (const name in body) {
      switch (name) {
        case "id":
        case "object":
        case "created":
        case "model":
        case "choices":
        case "usage":
        // Random padding of OpenAI's that hides lengths; it means nothing once the text has been cut anew.
        case "obfuscation":
          break;
        default:
          if (this.#isNews(name, body[name])) extra = { ...extra, [name]: body[name] };
      }
    }
    if (extra !== undefined) this.#parts.push({ type: "extension", scope: "answer", fields: extra });
    for (let position = 0; position < body.choices.length; position++) {
      if (isRecord(body.choices[position])) this.#readChoice(body.choices[position], position);
    }
  }

  /** Fields beside the choices are repeated in every event; each value is passed on once. */
  #isNews(name: string, value: unknown): boolean {
    if (value === null) return false;
    const known = typeof value === "object" ? JSON.stringify(value) : value;
    this.#answerFields ??= new Map();
    if (this.#answerFields.get(name) === known) return false;
    this.#answerFields.set(name, known);
    return true;
  }

  #readChoice(fields: Fields, position: number): void {
    if (fields.error) throw this.#options.failure(fields);
    const index =
      Number.isInteger(fields.index) && (fields.index as number) >= 0 ? (fields.index as number) : position;
    if (index >= maxChoices) throw this.#invalid(`sent a reply with the index ${index}`);
    this.#choices[index] ??= { toolCalls: [], finished: false };
    const choice = this.#choices[index];
    // An absent index means 0, which is nearly always: no property then.
    const at = index === 0 ? undefined : { choice: index };
    const message = fields.delta ?? fields.message;
    if (isRecord(message)) this.#readMessage(message, choice, at);

    let extra: Fields | undefined;
    for (const name in fields) {
      const value = fields[name];
      switch (name) {
        case "index":
        case "delta":
        case "message":
        case "finish_reason":
          break;
        case "usage":
          // Moonshot's place for it.
          if (isRecord(value)) this.#usage = readUsage(value);
          break;
        default:
          if (value !== null) extra = { ...extra, [name]: value };
      }
    }
    if (extra !== undefined) this.#parts.push({ type: "extension", ...at, scope: "choice", fields: extra });

    const reason = fields.finish_reason;
    if (typeof reason !== "string" || reason === "" || choice.finished) return;
    if (failureReasons.has(reason)) throw this.#options.failure(undefined);
    choice.finished = true;
    this.#parts.push({ type: "finish", ...at, reason: finishReasons.get(reason.toLowerCase()) ?? "stop" });
  }

  #readMessage(message: Fields, choice: Choice, at: { choice: number } | undefined): void {
    // `reasoning` is OpenRouter's and Ollama's name; some send both with the same text.
    const reasoning = message.reasoning_content ?? message.reasoning ?? readText(message.content, "thinking");
    if (typeof reasoning === "string" && reasoning !== "") {
      this.#pushText("reasoning-delta", at, reasoning);
    }
    const text = readText(message.content, "text");
    if (text !== "") this.#pushText("text-delta", at, text);
    let extra: Fields | undefined;
    for (const name in message) {
      const value = message[name];
      switch (name) {
        case "role":
        case "content":
        case "reasoning_content":
          break;
        case "refusal":
          if (typeof value === "string" && value !== "") {
            this.#parts.push({ type: "refusal-delta", ...at, delta: value });
          }
          break;
        case "tool_calls":
          if (!Array.isArray(value)) break;
          for (const call of value) if (isRecord(call)) this.#readToolCall(call, choice, at);
          break;
        default:
          if (name === "reasoning" && typeof value === "string") break;
          if (value === null || (Array.isArray(value) && value.length === 0)) break;
          extra = { ...extra, [name]: value };
      }
    }
    if (extra !== undefined) this.#parts.push({ type: "extension", ...at, scope: "message", fields: extra });
  }

  /**
   * Calls are counted in order of appearance: whole replies have no index, and some vendors give every call of a
   * stream the same one. A call begins with its name; what has none continues one.
   */
  #readToolCall(call: Fields, choice: Choice, at: { choice: number } | undefined): void {
    if (!isRecord(call.function)) {
      // A custom tool's call, which is not modelled.
      this.#parts.push({ type: "extension", ...at, scope: "message", fields: { tool_calls: [call] } });
      return;
    }
    const { toolCalls } = choice;
    const id = typeof call.id === "string" ? call.id : "";
    const upstreamIndex = typeof call.index === "number" ? call.index : undefined;
    const name = typeof call.function.name === "string" ? call.function.name : "";
    const text = call.function.arguments;
    const delta = typeof text === "string" ? text : text == null ? "" : JSON.stringify(text);

    let index = id === "" ? -1 : toolCalls.findLastIndex((known) => known.id === id);
    if (index < 0 && (name === "" || (id === "" && upstreamIndex !== undefined))) {
      index = toolCalls.findLastIndex(
        (known) => upstreamIndex === undefined || known.index === upstreamIndex,
      );
    }
    const { id: _id, index: _index, type: _type, function: _function, ...more } = call;
    const extra = Object.keys(more).length > 0 ? { fields: more } : undefined;
    if (index >= 0) {
      if (delta !== "" || extra) this.#parts.push({ type: "tool-call-delta", ...at, index, delta, ...extra });
      return;
    }
    // Clients need an id to answer by.
    const ownId = id === "" ? `call_${crypto.randomUUID().replaceAll("-", "")}` : id;
    toolCalls.push({ id: ownId, index: upstreamIndex });
    this.#parts.push({
      type: "tool-call-delta",
      ...at,
      index: toolCalls.length - 1,
      id: ownId,
      name,
      delta,
      ...extra,
    });
  }

  /** Closes what the upstream has left open, and ends with the last token counts that it gave. */
  #conclude(): void {
    if (this.#choices.length === 0) throw this.#invalid("answered without a reply");
    for (const [index, choice] of this.#choices.entries()) {
      if (choice === undefined || choice.finished) continue;
      choice.finished = true;
      const reason = choice.toolCalls.length > 0 ? "tool_calls" : "stop";
      this.#parts.push({ type: "finish", ...(index > 0 && { choice: index }), reason });
    }
    if (this.#usage !== undefined) this.#parts.push({ type: "usage", usage: this.#usage });
    this.#usage = undefined;
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
    this.#readBody(body);
  }
}
