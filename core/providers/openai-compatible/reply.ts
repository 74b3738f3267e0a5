/** What an upstream answers, whole or event by event. Loose: vendors differ in everything but the idea. */
import { ApiError } from "../../errors.ts";
import type { FinishReason, JsonObject, StreamPart, UpstreamEvent, Usage } from "../../types.ts";
import { isRecord, tryParseJson } from "../../util/json.ts";
import { cleanErrorText } from "../shared/upstream-http.ts";
import { isFailure, readErrorFields } from "./error-fields.ts";
import { readFinishReason } from "./finish-reason.ts";
import { ReasoningTags } from "./reasoning-tags.ts";
import { type AnswerReader, ReplyBody, type ReplyReaderOptions } from "./reply-body.ts";
import { TextPattern } from "./text-pattern.ts";
import { ToolCalls } from "./tool-calls.ts";

type Fields = JsonObject;

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

/** The names that vendors give to a model's thoughts; some send two of them with the same text. */
const reasoningFields = ["reasoning_content", "reasoning", "reasoning_text", "thinking"];

const readReasoning = (message: Fields): string => {
  for (const field of reasoningFields) {
    const text = message[field];
    if (typeof text === "string" && text !== "") return text;
  }
  return readText(message.content, "thinking");
};

const isFilled = (value: unknown): boolean => value != null && value !== "" && value !== false;

/** Whether a message or a delta has anything of a reply. */
const speaks = (message: unknown): message is Fields =>
  isRecord(message) &&
  (isFilled(message.content) ||
    isFilled(message.refusal) ||
    isFilled(message.function_call) ||
    isFilled(message.audio) ||
    (Array.isArray(message.tool_calls) && message.tool_calls.length > 0) ||
    reasoningFields.some((field) => isFilled(message[field])));

interface Choice {
  readonly index: number;
  readonly toolCalls: ToolCalls;
  readonly tags: ReasoningTags | undefined;
  /** The reason of the finish that came last, if nothing has come after it. */
  finish: FinishReason | undefined;
  /** The word of that finish, if nobody knows it. */
  unknownWord: string | undefined;
  /** Whether there is anything of the reply. */
  hasBegun: boolean;
  /** Whether a delta has told something of it. */
  hasDelta: boolean;
  /** The text so far of a stream that tells it in `message` alone. */
  messageText: string;
}

const maxMisses = 8;

/** OpenAI's own limit on `n`. */
const maxChoices = 128;

/** The message of a whole answer's choice; some vendors have it in `delta`, or a text alone. */
const wholeMessage = ({ message, delta, text }: Fields): unknown => {
  if (speaks(message)) return message;
  if (speaks(delta)) return delta;
  if (typeof text !== "string") return message;
  return { ...(isRecord(message) && message), role: "assistant", content: text };
};

/**
 * The delta of a stream's choice. Where there is none, a `message` is one, or what it has more than the one before: some
 * send a whole answer as the one event of a stream, and some the whole text so far in every event.
 */
function streamDelta(fields: Fields, choice: Choice): unknown {
  const { delta, message, text } = fields;
  if (speaks(delta)) {
    choice.hasDelta = true;
    return delta;
  }
  if (choice.hasDelta) return delta ?? {};
  if (speaks(message)) {
    const { messageText } = choice;
    const content = readText(message.content, "text");
    const more = content.startsWith(messageText) ? content.slice(messageText.length) : content;
    choice.messageText = content;
    if (messageText === "") return { ...message, ...indexedCalls(message) };
    return more === "" ? (delta ?? {}) : { content: more };
  }
  return typeof text === "string" && text !== "" ? { content: text } : (delta ?? {});
}

/** Calls have an index in a stream. */
const indexedCalls = ({ tool_calls: calls }: Fields): Fields | undefined =>
  Array.isArray(calls)
    ? { tool_calls: calls.map((call, index) => (isRecord(call) ? { index, ...call } : call)) }
    : undefined;

const isFinish = ({ type }: StreamPart): boolean => type === "finish";

/** The event without the finishes of a choice, or of all. */
const withoutFinish = (event: UpstreamEvent, choice?: number): UpstreamEvent => ({
  ...event,
  parts: event.parts.filter(
    (part) => part.type !== "finish" || (choice !== undefined && (part.choice ?? 0) !== choice),
  ),
});

/** Reads one reply. Its events are pushed to `events`, which the caller empties. */
export class ReplyReader implements AnswerReader {
  readonly #events: UpstreamEvent[];
  readonly #options: ReplyReaderOptions;
  readonly #choices: Choice[] = [];
  readonly #body: ReplyBody;
  #chunks = 0;
  #done = false;
  #isConcluded = false;
  /** An event with a finish, and what came after it: it is the end only if its choice says no more. */
  #waiting: UpstreamEvent[] = [];
  /** Whether the event that is being read says more of a choice whose finish was waiting. */
  #isContinued = false;
  /** How the last event looked that was a piece of text and nothing else. */
  #pattern: TextPattern | undefined;
  /** Events in a row that fitted no pattern: a stream whose events all differ is not worth more of them. */
  #misses = 0;

  constructor(events: UpstreamEvent[], options: ReplyReaderOptions) {
    this.#events = events;
    this.#options = options;
    this.#body = new ReplyBody(options, (data, type) => this.#readEvent(data, type));
  }

  get done(): boolean {
    return this.#done;
  }

  get choices(): number {
    return this.#choices.length;
  }

  get chunks(): number {
    return this.#chunks;
  }

  get complete(): boolean {
    return (
      this.#choices.length > 0 &&
      this.#choices.every((choice) => choice === undefined || choice.finish !== undefined)
    );
  }

  feed(text: string): void {
    this.#read(() => this.#feed(text));
  }

  end(): void {
    this.#read(() => this.#end());
  }

  /** What waited for the end goes on without one where there is a fault. */
  #read(read: () => void): void {
    try {
      read();
    } catch (error) {
      this.#waiting = this.#waiting.map((event) => withoutFinish(event));
      this.#release();
      throw error;
    }
  }

  #end(): void {
    const body = this.#body.end();
    if (body !== undefined) this.#readWhole(body);
    else if (!this.#done && !this.complete) throw this.#body.unfinished();
    this.#conclude();
  }

  #feed(text: string): void {
    this.#body.feed(text);
    if (this.#done) this.#conclude();
  }

  #brokenOff(reason: string): ApiError {
    const message = `${this.#options.name} broke off its reply: ${cleanErrorText(reason)}.`;
    return new ApiError("upstream_error", message);
  }

  #readEvent(data: string, type: string | undefined): void {
    if (this.#done) return;
    const alike = type === undefined && this.#waiting.length === 0 ? this.#pattern?.read(data) : undefined;
    if (alike !== undefined) {
      this.#misses = 0;
      this.#chunks++;
      this.#events.push(alike);
      return;
    }
    if (type === "error") throw this.#options.failure(tryParseJson(data) ?? data);
    if (data.trim() === "[DONE]") {
      this.#done = true;
      return;
    }
    const body = this.#body.parseEvent(data);
    // Gemini puts its errors into a list.
    if (Array.isArray(body) && isRecord(body[0]) && isFailure(body[0])) throw this.#options.failure(body);
    if (!isRecord(body)) return;
    const parts = this.#readBody(body, false);
    if (this.#misses++ < maxMisses && this.#options.reasoningTags === undefined)
      this.#pattern = TextPattern.of(data, body, parts);
  }

  /** One event of a stream, or a reply in one piece: they differ in `delta` and `message` only. Returns its meaning. */
  #readBody(body: Fields, isWhole: boolean): readonly StreamPart[] {
    if (isFailure(body)) throw this.#options.failure(body);
    this.#chunks++;
    const parts: StreamPart[] = [];
    const { choices, usage } = body;
    let event = body;
    const read: Fields[] = [];
    if (Array.isArray(choices)) {
      let isMended = false;
      for (let position = 0; position < choices.length; position++) {
        const choice: unknown = choices[position];
        const mended = isRecord(choice) ? this.#readChoice(choice, position, isWhole, parts) : undefined;
        if (mended !== undefined) read.push(mended);
        isMended ||= mended !== choice;
      }
      // Nearly all events go on as they are.
      if (isMended) event = { ...body, choices: read };
    }
    if (isRecord(usage)) parts.push({ type: "usage", usage: readUsage(usage) });
    const native = { format: "chat-completions", isWhole, event } as const;
    if (Array.isArray(choices)) this.#push({ parts, native }, read);
    else if (parts.length > 0) this.#push({ parts }, read);
    return parts;
  }

  /** Hands an event on, or keeps it until it is clear whether a finish that came before it, or in it, is the end. */
  #push(event: UpstreamEvent, choices: readonly Fields[]): void {
    const isOpen = ({ index }: Fields) => this.#choices[index as number]?.finish === undefined;
    // Another choice goes on: events keep their order.
    const isElsewhere = choices.length > 0 && choices.every(isOpen);
    if (this.#isContinued || isElsewhere) this.#release();
    const isWaiting = this.#waiting.length > 0 || event.parts.some(isFinish);
    (isWaiting ? this.#waiting : this.#events).push(event);
  }

  #release(): void {
    for (const event of this.#waiting) this.#events.push(event);
    this.#waiting = [];
    this.#isContinued = false;
  }

  /** A finish that was waiting has not been the end. */
  #reopen(choice: Choice): void {
    choice.finish = undefined;
    this.#waiting = this.#waiting.map((event) => withoutFinish(event, choice.index));
    this.#isContinued = true;
  }

  #choiceAt(index: number): Choice {
    if (index >= maxChoices) throw this.#body.invalid(`sent a reply with the index ${index}`);
    const { reasoningTags } = this.#options;
    this.#choices[index] ??= {
      index,
      toolCalls: new ToolCalls(),
      tags: reasoningTags && new ReasoningTags(reasoningTags),
      finish: undefined,
      unknownWord: undefined,
      hasBegun: false,
      hasDelta: false,
      messageText: "",
    };
    return this.#choices[index];
  }

  /** Returns the choice as clients need it: with its index, its text where it is looked for, and calls that can be told apart. */
  #readChoice(fields: Fields, position: number, isWhole: boolean, parts: StreamPart[]): Fields {
    if (isFilled(fields.error)) throw this.#options.failure(fields);
    const index =
      Number.isInteger(fields.index) && (fields.index as number) >= 0 ? (fields.index as number) : position;
    const choice = this.#choiceAt(index);
    const before = parts.length;
    const isEnd = isWhole || isFilled(fields.finish_reason);
    const field = isWhole ? "message" : "delta";
    const said = isWhole ? wholeMessage(fields) : streamDelta(fields, choice);
    const message = isRecord(said) ? this.#readMessage(said, choice, isWhole, isEnd, parts) : said;
    const isSaid = parts.length > before;
    choice.hasBegun ||= isSaid || speaks(message);
    if (isSaid && choice.finish !== undefined) this.#reopen(choice);
    const native = this.#readFinish(fields, choice, parts);
    // Moonshot's place for it.
    if (isRecord(fields.usage)) parts.push({ type: "usage", usage: readUsage(fields.usage) });
    if (message === fields[field] && index === fields.index && native === undefined) return fields;
    return {
      ...fields,
      index,
      [field]: message,
      ...(native !== undefined && { native_finish_reason: native }),
    };
  }

  #readMessage(
    message: Fields,
    choice: Choice,
    isWhole: boolean,
    isEnd: boolean,
    parts: StreamPart[],
  ): Fields {
    // An absent index means 0, which is nearly always: no property then.
    const at = choice.index === 0 ? undefined : { choice: choice.index };
    let mended = message;
    let reasoning = readReasoning(message);
    let text = readText(message.content, "text");
    const split = choice.tags?.read(text, isEnd);
    if (split !== undefined && split.text !== text) {
      reasoning += split.reasoning;
      text = split.text;
      mended = { ...message, content: text, ...(reasoning !== "" && { reasoning_content: reasoning }) };
    }
    if (reasoning !== "") parts.push({ type: "reasoning-delta", ...at, delta: reasoning });
    if (text !== "") parts.push({ type: "text-delta", ...at, delta: text });
    if (typeof message.refusal === "string" && message.refusal !== "") {
      parts.push({ type: "refusal-delta", ...at, delta: message.refusal });
    }
    if (!Array.isArray(message.tool_calls)) return mended;
    const calls = choice.toolCalls.read(message.tool_calls, isWhole, choice.index, parts);
    return calls === message.tool_calls ? mended : { ...mended, tool_calls: calls };
  }

  /** Returns the upstream's own word where clients get another one. */
  #readFinish(fields: Fields, choice: Choice, parts: StreamPart[]): string | undefined {
    const { finish_reason: word } = fields;
    // Some write null as a text.
    if (typeof word !== "string" || word === "" || word === "null") return undefined;
    const known = readFinishReason(word);
    if (known === "failure") throw this.#brokenOff(word);
    const isStop = known === undefined || known === "stop";
    const reason = isStop && choice.toolCalls.length > 0 ? "tool_calls" : (known ?? "stop");
    if (choice.finish !== undefined) {
      // Said twice: the word that says more counts.
      if (choice.unknownWord === undefined && (isStop || reason === choice.finish)) return undefined;
      this.#reopen(choice);
    }
    choice.finish = reason;
    choice.unknownWord = known === undefined ? word : undefined;
    parts.push({ type: "finish", ...(choice.index > 0 && { choice: choice.index }), reason });
    return word === reason || fields.native_finish_reason != null ? undefined : word;
  }

  /** Ends the choices that the upstream has left open. */
  #conclude(): void {
    if (this.#isConcluded) return;
    this.#isConcluded = true;
    if (this.#choices.length === 0) throw this.#body.invalid("answered without a reply");
    for (const choice of this.#choices) {
      // Nothing, for a reason that nobody knows, is no success.
      if (choice?.unknownWord !== undefined && !choice.hasBegun) throw this.#brokenOff(choice.unknownWord);
    }
    this.#release();
    const parts: StreamPart[] = [];
    for (const choice of this.#choices) {
      if (choice === undefined || choice.finish !== undefined) continue;
      const at = choice.index === 0 ? undefined : { choice: choice.index };
      const { text = "", reasoning = "" } = choice.tags?.read("", true) ?? {};
      if (reasoning !== "") parts.push({ type: "reasoning-delta", ...at, delta: reasoning });
      if (text !== "") parts.push({ type: "text-delta", ...at, delta: text });
      choice.finish = choice.toolCalls.length > 0 ? "tool_calls" : "stop";
      parts.push({ type: "finish", ...at, reason: choice.finish });
    }
    if (parts.length > 0) this.#events.push({ parts });
  }

  #readWhole(body: unknown): void {
    if (!isRecord(body)) {
      if (Array.isArray(body) && isRecord(body[0]) && isFailure(body[0])) throw this.#options.failure(body);
      throw this.#body.invalid("sent JSON that is no reply");
    }
    if (!Array.isArray(body.choices) && readErrorFields(body) !== undefined)
      throw this.#options.failure(body);
    this.#readBody(body, true);
  }
}
