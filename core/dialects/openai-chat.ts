/**
 * OpenAI's Chat Completions: https://platform.openai.com/docs/api-reference/chat
 * What clients choke on is noted where it is obeyed.
 */
import * as v from "valibot";
import { ApiError } from "../errors.ts";
import { encodeSseComment, encodeSseEvent } from "../http/sse.ts";
import type {
  Answer,
  AnswerEncoder,
  AnswerHead,
  Attachment,
  ChatMessage,
  ChatPrompt,
  Dialect,
  DialectCall,
  DialectInput,
  FinishReason,
  JsonObject,
  JsonSchema,
  Reply,
  ResponseFormat,
  Role,
  StreamPart,
  ToolChoice,
  ToolDefinition,
  UpstreamEvent,
  Usage,
} from "../types.ts";
import { isRecord } from "../util/json.ts";
import { encodeReply, liftMessage } from "./shared/chat-completions-message.ts";

const wholeRange = (min: number, max: number) =>
  v.nullish(
    v.pipe(
      v.number(),
      v.integer("must be a whole number"),
      v.minValue(min, `must be at least ${min}`),
      v.maxValue(max, `must be at most ${max}`),
    ),
  );

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

type RequestBody = v.InferOutput<typeof requestSchema>;
type MessageBody = RequestBody["messages"][number];

/** `messages[0].role`, as OpenAI writes it. */
const parameterName = (path: readonly { readonly key: unknown }[] = []): string | undefined =>
  path.length === 0
    ? undefined
    : path
        .map(({ key }, index) => (typeof key === "number" ? `[${key}]` : index === 0 ? key : `.${key}`))
        .join("");

/** What is wrong, without the value that was sent: it may be a message's text. */
const describeIssue = (issue: v.BaseIssue<unknown>): string => {
  if (issue.kind === "validation") return issue.message;
  if (issue.input === undefined) return "is required";
  const got =
    issue.input === null
      ? "null"
      : Array.isArray(issue.input)
        ? "an array"
        : `a value of type ${typeof issue.input}`;
  return `must be ${issue.expected}, but is ${got}`;
};

const textPartTypes: ReadonlySet<string> = new Set(["text", "input_text", "output_text"]);

type Part = v.InferOutput<typeof partSchema>;

const readAttachment = (part: Part): Attachment => {
  // Parts without a type are known by the field that holds them, such as `image_url`.
  const type = part.type ?? Object.keys(part)[0] ?? "empty part";
  const file = isRecord(part.file) ? part.file : part;
  return typeof file.filename === "string" ? { type, name: file.filename } : { type };
};

/** The text that a part is; undefined for anything else. */
function readText(part: string | Part): string | undefined {
  if (typeof part === "string") return part;
  if (typeof part.text === "string" && (part.type == null || textPartTypes.has(part.type))) return part.text;
  return part.type === "refusal" && typeof part.refusal === "string" ? part.refusal : undefined;
}

const roles: ReadonlySet<string> = new Set<Role>([
  "system",
  "developer",
  "user",
  "assistant",
  "tool",
  "function",
]);

/** A role that only some models know, such as `control`, is one of instructions, not of talk. */
const readRole = (role: string): Role => (roles.has(role) ? (role as Role) : "system");

function readMessage(native: MessageBody): ChatMessage {
  const { role, content } = native;
  let text = "";
  const attachments: Attachment[] = [];
  for (const part of typeof content === "string" ? [content] : (content ?? [])) {
    const words = readText(part);
    if (words !== undefined) text += words;
    else if (typeof part !== "string") attachments.push(readAttachment(part));
  }
  return liftMessage(readRole(role), text, native, attachments);
}

const readStops = (stop: RequestBody["stop"]): readonly string[] => {
  if (stop == null) return [];
  return (typeof stop === "string" ? [stop] : stop).filter((text) => text !== "");
};

/** The name of a function, in a tool or in a choice of one. */
const functionName = (tool: unknown): string | undefined =>
  isRecord(tool) && isRecord(tool.function) && typeof tool.function.name === "string"
    ? tool.function.name
    : undefined;

const readTool = (tool: JsonObject): ToolDefinition[] => {
  const name = functionName(tool);
  if (name === undefined) return [];
  const { description, parameters, strict } = tool.function as JsonObject;
  return [
    {
      name,
      ...(typeof description === "string" && { description }),
      ...((isRecord(parameters) || typeof parameters === "boolean") && { parameters }),
      ...(typeof strict === "boolean" && { strict }),
    },
  ];
};

/** `any` is Mistral's and Anthropic's word. Of one that nobody here knows only a provider can tell what it asks for. */
const readChoiceWord = (word: unknown): ToolChoice =>
  word === "auto" || word === "none" ? word : "required";

/** The functions on offer, and which of them the reply must call. */
function readTools({ tools, tool_choice: choice }: RequestBody): Pick<ChatPrompt, "tools" | "toolChoice"> {
  const all = (tools ?? []).flatMap(readTool);
  if (choice == null) return { tools: all, toolChoice: all.length > 0 ? "auto" : "none" };
  if (typeof choice === "string") return { tools: all, toolChoice: readChoiceWord(choice) };
  // A choice among some of the tools: `{type: "allowed_tools", allowed_tools: {mode, tools}}`.
  if (choice.type === "allowed_tools" && isRecord(choice.allowed_tools)) {
    const { mode, tools: allowed } = choice.allowed_tools;
    const names = Array.isArray(allowed) ? allowed.map(functionName) : [];
    return {
      tools: all.filter(({ name }) => names.includes(name)),
      toolChoice: mode === "auto" ? "auto" : "required",
    };
  }
  const tool = functionName(choice) ?? choice.name;
  if (typeof tool === "string") return { tools: all, toolChoice: { tool } };
  return { tools: all, toolChoice: readChoiceWord(choice.type) };
}

/** Formats of other kinds, such as vLLM's grammars, travel in `ChatPrompt.native` alone. */
function readResponseFormat(format: unknown): ResponseFormat {
  if (!isRecord(format)) return "text";
  if (format.type === "json_object") return "json_object";
  if (format.type !== "json_schema") return "text";
  const { name, description, schema } = isRecord(format.json_schema) ? format.json_schema : {};
  return {
    ...(typeof name === "string" && { name }),
    ...(typeof description === "string" && { description }),
    schema: isRecord(schema) || typeof schema === "boolean" ? (schema as JsonSchema) : true,
  };
}

/** Throws ApiError invalid_request. */
function parse({ body }: Pick<DialectInput, "body">): DialectCall {
  const result = v.safeParse(requestSchema, body, { abortEarly: true });
  if (!result.success) {
    const [issue] = result.issues;
    const param = parameterName(issue.path);
    throw new ApiError("invalid_request", `${param ?? "The request body"} ${describeIssue(issue)}.`, {
      param,
    });
  }
  const request = result.output;
  const includeUsage = request.stream_options?.include_usage === true;
  const maxTokens = request.max_completion_tokens ?? request.max_tokens;
  const prompt: ChatPrompt = {
    messages: request.messages.map(readMessage),
    stream: request.stream === true,
    stop: readStops(request.stop),
    choices: request.n ?? 1,
    ...readTools(request),
    parallelToolCalls: request.parallel_tool_calls !== false,
    responseFormat: readResponseFormat(request.response_format),
    usage: request.stream !== true || includeUsage,
    native: request,
    ...(maxTokens != null && { maxTokens }),
  };
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

/** `reasoning` is OpenRouter's, Groq's and Ollama's name for what most clients know as `reasoning_content`. */
const withReasoning = (message: JsonObject): JsonObject =>
  typeof message.reasoning === "string" && message.reasoning_content === undefined
    ? { ...message, reasoning_content: message.reasoning }
    : message;

/** A message whose content was a list of texts and thoughts, which is Mistral's way and not OpenAI's. */
const withTexts = (message: JsonObject, text: string, reasoning: string): JsonObject => ({
  ...message,
  content: text,
  ...(reasoning !== "" && { reasoning_content: reasoning }),
});

const mendMessage = (message: JsonObject, { text, reasoning }: Reply): JsonObject =>
  Array.isArray(message.content) ? withTexts(message, text, reasoning) : withReasoning(message);

/** The deltas of one kind that an event has for a choice, as one text. */
const textOf = (
  parts: readonly StreamPart[],
  type: "text-delta" | "reasoning-delta",
  index: number,
): string =>
  parts.map((part) => (part.type === type && (part.choice ?? 0) === index ? part.delta : "")).join("");

function mendDelta(delta: JsonObject, parts: readonly StreamPart[], index: number): JsonObject {
  return Array.isArray(delta.content)
    ? withTexts(delta, textOf(parts, "text-delta", index), textOf(parts, "reasoning-delta", index))
    : withReasoning(delta);
}

/** The choice of a whole answer: the upstream's own where there is one. */
function encodeChoice(reply: Reply, index: number, native: unknown): JsonObject {
  const own = isRecord(native) ? withoutPadding(native) : undefined;
  const message = isRecord(own?.message) ? mendMessage(own.message, reply) : undefined;
  return {
    logprobs: null,
    ...(own ?? reply.choiceFields),
    index,
    message: { refusal: null, ...(message ?? encodeReply(reply)), role: "assistant" },
    finish_reason: reply.finishReason ?? "stop",
  };
}

/** What a part says in a chunk's `delta`. */
function encodeDelta(part: StreamPart): JsonObject | undefined {
  switch (part.type) {
    case "text-delta":
      return { content: part.delta };
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
    case "usage":
      return undefined;
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

class ChatEncoder implements AnswerEncoder {
  readonly #prompt: ChatPrompt;
  readonly #head: { readonly id: string; readonly created: number; readonly model: string };
  /** What all chunks begin with, without the closing brace. */
  readonly #start: string;
  /** The choices whose role has been sent. */
  readonly #opened = new Set<number>();
  /** The upstream's last event of token counts alone. */
  #usageEvent: JsonObject | undefined;

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
    return event.native?.format === "chat-completions"
      ? this.#passOn(event.native, event.parts)
      : event.parts.map((part) => this.#part(part)).join("");
  }

  comment(text: string): string {
    return encodeSseComment(text);
  }

  keepAlive(): string {
    return encodeSseComment("keep-alive");
  }

  close(_answer: Answer, usage: Usage): string {
    // Unasked, a chunk without choices crashes some clients.
    const counts = this.#prompt.usage
      ? this.#chunk("[]", { ...this.#usageEvent, usage: encodeUsage(usage) })
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
    return this.#chunk(JSON.stringify([{ index, delta, logprobs: null, finish_reason: finishReason }]));
  }

  /** openai-node's stream helper throws unless the first chunk has a role; some clients print a null content. */
  #role(index: number): string {
    this.#opened.add(index);
    return this.#choice(index, { role: "assistant", content: "" }, null);
  }

  #part(part: StreamPart): string {
    const delta = encodeDelta(part);
    if (delta === undefined || part.type === "usage") return "";
    const { choice: index = 0 } = part;
    const role = this.#opened.has(index) ? "" : this.#role(index);
    return role + this.#choice(index, delta, part.type === "finish" ? part.reason : null);
  }

  /** The upstream's own event: with what the schema needs, and without what is the gateway's alone. */
  #passOn({ event, isWhole }: NonNullable<UpstreamEvent["native"]>, parts: readonly StreamPart[]): string {
    const { choices } = event;
    if (!Array.isArray(choices)) return "";
    if (choices.length === 0 && isRecord(event.usage)) {
      this.#usageEvent = event;
      return "";
    }
    const mended = choices.map((choice, position) =>
      isRecord(choice) ? this.#mend(isWhole ? chunkChoice(choice) : choice, position, parts) : choice,
    );
    return this.#chunk(JSON.stringify(mended), event);
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
    return delta.role == null ? { role: "assistant", ...delta } : delta;
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
