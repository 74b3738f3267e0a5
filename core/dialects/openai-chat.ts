/**
 * OpenAI's Chat Completions: https://platform.openai.com/docs/api-reference/chat
 * What clients choke on is noted where it is obeyed.
 */
import * as v from "valibot";
import type { ApiError } from "../errors.ts";
import { encodeSseComment, encodeSseEvent } from "../http/sse.ts";
import type {
  Answer,
  AnswerEncoder,
  AnswerHead,
  ChatPrompt,
  Dialect,
  DialectCall,
  DialectInput,
  FinishReason,
  JsonObject,
  Reply,
  StreamPart,
  UpstreamEvent,
  Usage,
} from "../types.ts";
import { aroundText, isRecord } from "../util/json.ts";
import { encodeReply } from "./shared/chat-completions-message.ts";
import { readPrompt } from "./shared/chat-completions-prompt.ts";
import { checkBody, wholeRange } from "./shared/check-body.ts";

const textSchema = v.string();
const partSchema = v.looseObject({ type: v.nullish(v.string()) });
// Lazy rather than a union, here and below: its error would name no part.
const partsSchema = v.array(v.lazy((part) => (typeof part === "string" ? textSchema : partSchema)));
const stopsSchema = v.array(textSchema);
const objectSchema = v.looseObject({});

const messageSchema = v.looseObject({
  role: v.pipe(v.string(), v.nonEmpty("must not be empty")),
  content: v.nullish(v.lazy((content) => (Array.isArray(content) ? partsSchema : textSchema))),
});

/** OpenAI's own limit. */
const maxMessages = 2048;

const isNotTooMany = (messages: unknown) => !Array.isArray(messages) || messages.length <= maxMessages;

/** What the gateway itself reads. All else, ranges and words among it, is the provider's to judge. */
export const requestSchema = v.looseObject({
  messages: v.pipe(
    v.unknown(),
    // Before the messages themselves are looked at.
    v.check(isNotTooMany, `must hold at most ${maxMessages} messages`),
    v.array(messageSchema),
    v.minLength(1, "must hold at least one message"),
  ),
  model: v.nullish(v.string()),
  stream: v.nullish(v.boolean()),
  stream_options: v.nullish(v.looseObject({ include_usage: v.nullish(v.boolean()) })),
  user: v.nullish(v.string()),
  stop: v.nullish(v.lazy((stop) => (Array.isArray(stop) ? stopsSchema : textSchema))),
  max_tokens: v.nullish(v.number()),
  max_completion_tokens: v.nullish(v.number()),
  n: wholeRange(1, 128),
  tools: v.nullish(v.array(objectSchema)),
  tool_choice: v.nullish(v.lazy((choice) => (typeof choice === "object" ? objectSchema : textSchema))),
});

/** Throws ApiError invalid_request. */
function parse({ body }: Pick<DialectInput, "body">): DialectCall {
  const request = checkBody(requestSchema, body);
  // OpenAI's way to ask for token counts, and OpenRouter's.
  const { usage } = request as JsonObject;
  const includeUsage =
    request.stream_options?.include_usage === true || (isRecord(usage) && usage.include === true);
  const prompt = readPrompt(request, { usage: request.stream !== true || includeUsage });
  return {
    prompt,
    memory: { kind: "session", ...(request.user && { user: request.user }) },
    ...(request.model && { model: request.model }),
    encoder: (head) => new ChatEncoder(prompt, head),
  };
}

const encodeUsage = (usage: Usage) => ({
  ...usage.details,
  prompt_tokens: usage.promptTokens,
  completion_tokens: usage.completionTokens,
  total_tokens: usage.totalTokens,
});

/** Without the random padding that hides the lengths of OpenAI's events: it means nothing behind a gateway. */
function withoutPadding(fields: JsonObject): JsonObject {
  if (!("obfuscation" in fields || "p" in fields)) return fields;
  const { obfuscation: _, p: __, ...rest } = fields;
  return rest;
}

/** Most clients know a model's thoughts as `reasoning_content` alone; vendors have other names for it too. */
const withReasoning = (message: JsonObject, reasoning: string): JsonObject =>
  reasoning === "" || (typeof message.reasoning_content === "string" && message.reasoning_content !== "")
    ? message
    : { ...message, reasoning_content: reasoning };

/** A message whose content was a list of texts and thoughts, which is Mistral's way and not OpenAI's. */
const withTexts = (message: JsonObject, text: string, reasoning: string): JsonObject => ({
  ...message,
  content: text,
  ...(reasoning !== "" && { reasoning_content: reasoning }),
});

/** OpenAI has no null in their places, and some clients count on a list. */
function withoutNulls(message: JsonObject): JsonObject {
  if (message.tool_calls !== null && message.function_call !== null) return message;
  const { tool_calls: calls, function_call: call, ...fields } = message;
  return {
    ...fields,
    ...(calls != null && { tool_calls: calls }),
    ...(call != null && { function_call: call }),
  };
}

/** A message or a delta as OpenAI's clients need it. */
const mendMessage = (message: JsonObject, text: string, reasoning: string): JsonObject =>
  withoutNulls(
    Array.isArray(message.content) ? withTexts(message, text, reasoning) : withReasoning(message, reasoning),
  );

/** The deltas of one kind that an event has for a choice, as one text. */
function textOf(parts: readonly StreamPart[], type: "text-delta" | "reasoning-delta", index: number): string {
  let text = "";
  for (const part of parts) if (part.type === type && (part.choice ?? 0) === index) text += part.delta;
  return text;
}

const mendDelta = (delta: JsonObject, parts: readonly StreamPart[], index: number): JsonObject =>
  mendMessage(
    delta,
    Array.isArray(delta.content) ? textOf(parts, "text-delta", index) : "",
    textOf(parts, "reasoning-delta", index),
  );

/** The choice of a whole answer: the upstream's own where there is one. */
function encodeChoice(reply: Reply, index: number, native: unknown): JsonObject {
  const own = isRecord(native) ? withoutPadding(native) : undefined;
  const message = isRecord(own?.message) ? mendMessage(own.message, reply.text, reply.reasoning) : undefined;
  return {
    logprobs: null,
    ...(own ?? reply.choiceFields),
    index,
    message: { refusal: null, ...(message ?? encodeReply(reply)), role: "assistant" },
    finish_reason: reply.finishReason ?? "stop",
  };
}

/** What a part says in a chunk's `delta`. */
function encodeDelta(part: Exclude<StreamPart, { readonly type: "text-delta" | "usage" }>): JsonObject {
  switch (part.type) {
    case "reasoning-delta":
      return { reasoning_content: part.delta };
    case "refusal-delta":
      return { refusal: part.delta };
    case "tool-call-delta": {
      const { index, id, name, delta, fields } = part;
      const called = { ...(name !== undefined && { name }), arguments: delta };
      return {
        tool_calls: [
          { ...fields, index, ...(id !== undefined && { id, type: "function" }), function: called },
        ],
      };
    }
    case "finish":
      return {};
    default:
      return part satisfies never;
  }
}

const finishReasonOf = (parts: readonly StreamPart[], index: number): FinishReason | null => {
  for (const part of parts) if (part.type === "finish" && (part.choice ?? 0) === index) return part.reason;
  return null;
};

/** A whole answer's message as the one delta of a stream: calls have an index there. */
function messageDelta(message: JsonObject): JsonObject {
  const { tool_calls: calls } = message;
  if (!Array.isArray(calls)) return message;
  return { ...message, tool_calls: calls.map((call, index) => (isRecord(call) ? { index, ...call } : call)) };
}

/** The choice of a chunk that says what the choice of a whole answer does. */
const chunkChoice = ({ message, ...choice }: JsonObject): JsonObject => ({
  ...choice,
  delta: isRecord(message) ? messageDelta(message) : {},
});

type NativeEvent = NonNullable<UpstreamEvent["native"]>;

/** What is around the JSON of a text. */
interface Frame {
  readonly before: string;
  readonly after: string;
}

class ChatEncoder implements AnswerEncoder {
  readonly #prompt: ChatPrompt;
  readonly #head: { readonly id: string; readonly created: number; readonly model: string };
  /** What all chunks begin with, without the closing brace. */
  readonly #start: string;
  /** The choices whose role has been sent. */
  readonly #opened = new Set<number>();
  /** The upstream's last event of token counts alone. */
  #usageEvent: JsonObject | undefined;
  /** What the client gets around each text of a choice, where the gateway makes the events. */
  readonly #frames: (Frame | undefined)[] = [];
  /** What the client gets of an event, around its text: that of all events like it. */
  #alike: (Frame & { readonly like: JsonObject }) | undefined;

  constructor(prompt: ChatPrompt, { id, createdAtMs, model }: AnswerHead) {
    this.#prompt = prompt;
    this.#head = { id: `chatcmpl-${id}`, created: Math.floor(createdAtMs / 1000), model };
    this.#start = JSON.stringify({ object: "chat.completion.chunk", ...this.#head }).slice(0, -1);
  }

  whole(answer: Answer, usage: Usage): string {
    const native = answer.native?.event;
    const choices: readonly unknown[] = Array.isArray(native?.choices) ? native.choices : [];
    const choiceAt = (index: number) => choices.find((choice) => isRecord(choice) && choice.index === index);
    return JSON.stringify({
      ...withoutPadding(native ?? answer.fields),
      object: "chat.completion",
      ...this.#head,
      choices: answer.replies.map((reply, index) => encodeChoice(reply, index, choiceAt(index))),
      usage: encodeUsage(usage),
    });
  }

  open(): string {
    let events = "";
    for (let index = 0; index < this.#prompt.choices; index++) events += this.#role(index);
    return events;
  }

  event(event: UpstreamEvent): string {
    const { native, parts } = event;
    if (native?.format === "chat-completions") {
      return native.like === undefined
        ? this.#passOn(native, parts)
        : this.#passOnAlike(native, native.like, parts);
    }
    let events = "";
    for (const part of parts) events += this.#part(part);
    return events;
  }

  comment(text: string): string {
    return encodeSseComment(text);
  }

  keepAlive(): string {
    return encodeSseComment("keep-alive");
  }

  close(_answer: Answer, countTokens: () => Usage): string {
    // Unasked, a chunk without choices crashes some clients.
    const counts = this.#prompt.usage
      ? this.#chunk("[]", { ...this.#usageEvent, usage: encodeUsage(countTokens()) })
      : "";
    return counts + encodeSseEvent("[DONE]");
  }

  fail(error: ApiError): string {
    return encodeSseEvent(JSON.stringify(error.toBody()));
  }

  /** `choices` is a JSON list; `usage` and further fields are those of the chunk. */
  #chunk(choices: string, fields: JsonObject = {}): string {
    let json = `${this.#start},"choices":${choices}`;
    if (this.#prompt.usage && fields.usage === undefined) json += ',"usage":null';
    // String by string, as to copy each event's fields costs more than to write them.
    for (const name in fields) {
      if (!chunkFields.has(name)) json += `,${JSON.stringify(name)}:${JSON.stringify(fields[name])}`;
    }
    return encodeSseEvent(`${json}}`);
  }

  #choice(index: number, delta: JsonObject, finishReason: string | null): string {
    const reason = finishReason === null ? "null" : JSON.stringify(finishReason);
    return this.#chunk(
      `[{"index":${index},"delta":${JSON.stringify(delta)},"logprobs":null,"finish_reason":${reason}}]`,
    );
  }

  /** openai-node's stream helper throws unless the first chunk has a role; some clients print a null content. */
  #role(index: number): string {
    this.#opened.add(index);
    return this.#choice(index, { role: "assistant", content: "" }, null);
  }

  #part(part: StreamPart): string {
    if (part.type === "usage") return "";
    const { choice: index = 0 } = part;
    const role = this.#opened.has(index) ? "" : this.#role(index);
    if (part.type === "text-delta") return role + this.#text(index, part.delta);
    return role + this.#choice(index, encodeDelta(part), part.type === "finish" ? part.reason : null);
  }

  /** Written around the text: of a hundred chunks for one reply, nothing else differs. */
  #text(index: number, text: string): string {
    let frame = this.#frames[index];
    if (frame === undefined) {
      const chunk = this.#choice(index, { content: "" }, null);
      const at = chunk.indexOf('{"content":""}') + '{"content":'.length;
      frame = { before: chunk.slice(0, at), after: chunk.slice(at + '""'.length) };
      this.#frames[index] = frame;
    }
    return aroundText(frame.before, text, frame.after);
  }

  /** The upstream's own event: with what the schema needs, and without what is the gateway's alone. */
  #passOn({ event, isWhole }: NativeEvent, parts: readonly StreamPart[]): string {
    const { choices } = event;
    if (!Array.isArray(choices)) return "";
    if (choices.length === 0 && isRecord(event.usage)) {
      this.#usageEvent = event;
      return "";
    }
    const mended: unknown[] = [];
    for (let position = 0; position < choices.length; position++) {
      const choice: unknown = choices[position];
      if (!isRecord(choice)) continue;
      mended.push(this.#mend(isWhole ? chunkChoice(choice) : choice, position, parts));
    }
    return this.#chunk(JSON.stringify(mended), event);
  }

  /** An event that differs from another in its text: so do the two as the client gets them. */
  #passOnAlike(native: NativeEvent, like: JsonObject, parts: readonly StreamPart[]): string {
    const [part] = parts;
    const text = part?.type === "text-delta" ? part.delta : "";
    if (this.#alike?.like === like) return aroundText(this.#alike.before, text, this.#alike.after);
    const json = JSON.stringify(text);
    const event = this.#passOn(native, parts);
    const at = event.indexOf(`"content":${json}`) + '"content":'.length;
    const isOnlyOne = event.indexOf('"content":') === event.lastIndexOf('"content":');
    if (isOnlyOne && event.startsWith(json, at))
      this.#alike = { like, before: event.slice(0, at), after: event.slice(at + json.length) };
    return event;
  }

  /** The choice as it is where it needs nothing, as most do. */
  #mend(choice: JsonObject, position: number, parts: readonly StreamPart[]): JsonObject {
    const index = Number.isInteger(choice.index) ? (choice.index as number) : position;
    const reason = finishReasonOf(parts, index);
    const delta = this.#withRole(index, isRecord(choice.delta) ? mendDelta(choice.delta, parts, index) : {});
    const isAsItShouldBe =
      delta === choice.delta &&
      index === choice.index &&
      reason === choice.finish_reason &&
      !("p" in choice || "obfuscation" in choice);
    return isAsItShouldBe ? choice : { ...withoutPadding(choice), index, delta, finish_reason: reason };
  }

  /** The first delta of a choice has a role. */
  #withRole(index: number, delta: JsonObject): JsonObject {
    if (this.#opened.has(index)) return delta;
    this.#opened.add(index);
    return delta.role ? delta : { ...delta, role: "assistant" };
  }
}

/** What a chunk has from the gateway, and padding. */
const chunkFields: ReadonlySet<string> = new Set([
  "id",
  "object",
  "created",
  "model",
  "choices",
  "p",
  "obfuscation",
]);

/**
 * OpenAI's Chat Completions, `POST /v1/chat/completions`: the dialect of a handler that is given none.
 *
 * @example
 * ```ts
 * import { createHandler, type Dialect, openAiChat } from "kimi-ai-2api";
 *
 * declare const mine: Dialect;
 * const handler = createHandler({ dialects: [openAiChat, mine] });
 * ```
 */
export const openAiChat: Dialect = {
  name: "openai-chat",
  routes: ({ chat }) => [
    {
      method: "POST",
      path: "/chat/completions",
      isLimited: true,
      handle: (routed) => chat(routed, parse),
    },
  ],
  encodeError: (error) => ({ body: error.toBody() }),
};
