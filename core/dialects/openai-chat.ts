/**
 * OpenAI's Chat Completions: https://platform.openai.com/docs/api-reference/chat
 * What clients choke on is noted where it is obeyed.
 */
import * as v from "valibot";
import { ApiError } from "../errors.ts";
import { encodeSseEvent } from "../http/sse.ts";
import type {
  Answer,
  ChatMessage,
  ChatPrompt,
  Dialect,
  DialectCall,
  Reply,
  Shown,
  StreamEncoder,
  ToolCall,
  Usage,
} from "../types.ts";

const range = (min: number, max: number) =>
  v.nullish(
    v.pipe(v.number(), v.minValue(min, `must be at least ${min}`), v.maxValue(max, `must be at most ${max}`)),
  );

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
const partsSchema = v.array(v.looseObject({ type: textSchema }));
const stopsSchema = v.pipe(v.array(textSchema), v.maxLength(4, "must hold at most four texts"));
const toolChoiceWordSchema = v.picklist(["none", "auto", "required"]);
const toolChoiceSchema = v.looseObject({});

const messageSchema = v.looseObject({
  role: v.picklist(["system", "developer", "user", "assistant", "tool", "function"]),
  // Not a union: its error would name no part.
  content: v.nullish(v.lazy((content) => (Array.isArray(content) ? partsSchema : textSchema))),
});

/** OpenAI's own limit. */
const maxMessages = 2048;

const isNotTooMany = (messages: unknown) => !Array.isArray(messages) || messages.length <= maxMessages;

const requestSchema = v.looseObject({
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
  max_tokens: wholeRange(1, Number.MAX_SAFE_INTEGER),
  max_completion_tokens: wholeRange(1, Number.MAX_SAFE_INTEGER),
  n: wholeRange(1, 128),
  temperature: range(0, 2),
  top_p: range(0, 1),
  presence_penalty: range(-2, 2),
  frequency_penalty: range(-2, 2),
  top_logprobs: wholeRange(0, 20),
  seed: v.nullish(v.pipe(v.number(), v.integer("must be a whole number"))),
  tools: v.nullish(v.array(v.looseObject({}))),
  tool_choice: v.nullish(
    v.lazy((choice) => (typeof choice === "object" ? toolChoiceSchema : toolChoiceWordSchema)),
  ),
  response_format: v.nullish(v.looseObject({ type: v.picklist(["text", "json_object", "json_schema"]) })),
});

type Mutable<Type> = { -readonly [Key in keyof Type]: Type[Key] };

type RequestBody = v.InferOutput<typeof requestSchema>;
type MessageBody = RequestBody["messages"][number];

/** `messages[0].role`, as OpenAI writes it. */
const parameterName = (path: readonly { readonly key: unknown }[] = []): string | undefined =>
  path.length === 0
    ? undefined
    : path
        .map(({ key }, index) => (typeof key === "number" ? `[${key}]` : index === 0 ? key : `.${key}`))
        .join("");

/** What is wrong, without what was sent: that may be anybody's text. */
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

const readMessage = (native: MessageBody): ChatMessage => {
  const { role, content } = native;
  if (typeof content === "string") return { role, text: content, native };
  if (content === null || content === undefined) return { role, text: "", native };
  let text = "";
  const attachments: string[] = [];
  for (const part of content) {
    if (textPartTypes.has(part.type) && typeof part.text === "string") text += part.text;
    else if (part.type === "refusal" && typeof part.refusal === "string") text += part.refusal;
    else attachments.push(part.type);
  }
  return attachments.length > 0 ? { role, text, attachments, native } : { role, text, native };
};

const readStops = (stop: RequestBody["stop"]): readonly string[] => {
  if (stop == null) return [];
  return (typeof stop === "string" ? [stop] : stop).filter((text) => text !== "");
};

type ToolChoice = NonNullable<RequestBody["tool_choice"]>;

const readToolChoice = (choice: ToolChoice): NonNullable<ChatPrompt["toolChoice"]> => {
  if (typeof choice === "string") return choice;
  // A choice among some of the tools demands a call only in the mode "required".
  const allowed = choice.type === "allowed_tools" ? choice.allowed_tools : undefined;
  return (allowed as { mode?: unknown } | null | undefined)?.mode === "auto" ? "auto" : "named";
};

/** Throws ApiError invalid_request. */
function parse(body: unknown): DialectCall {
  const result = v.safeParse(requestSchema, body, { abortEarly: true });
  if (!result.success) {
    const [issue] = result.issues;
    const param = parameterName(issue.path);
    throw new ApiError("invalid_request", `${param ?? "The request body"} ${describeIssue(issue)}.`, {
      param,
    });
  }
  const request = result.output;
  const { stop, tool_choice: toolChoice } = request;
  const includeUsage = request.stream_options?.include_usage === true;
  const maxTokens = request.max_completion_tokens ?? request.max_tokens;
  const prompt: Mutable<ChatPrompt> = {
    messages: request.messages.map(readMessage),
    stream: request.stream === true,
    stop: readStops(stop),
    choices: request.n ?? 1,
    usage: request.stream !== true || includeUsage,
    native: request,
  };
  if (maxTokens != null) prompt.maxTokens = maxTokens;
  if (toolChoice != null) prompt.toolChoice = readToolChoice(toolChoice);
  if (request.response_format != null) prompt.responseFormat = request.response_format.type;
  const call: Mutable<DialectCall> = { prompt };
  if (request.model) call.model = request.model;
  if (request.user) call.user = request.user;
  return call;
}

const encodeUsage = (usage: Usage) => ({
  ...usage.details,
  prompt_tokens: usage.promptTokens,
  completion_tokens: usage.completionTokens,
  total_tokens: usage.totalTokens,
});

const encodeReply = (reply: Reply, index: number) => {
  const { text, reasoning, toolCalls } = reply;
  const hasText = text !== "" || (toolCalls.length === 0 && reply.refusal === undefined);
  return {
    index,
    message: {
      role: "assistant",
      content: hasText ? text : null,
      refusal: reply.refusal ?? null,
      ...(reasoning !== "" && { reasoning_content: reasoning }),
      ...(toolCalls.length > 0 && { tool_calls: toolCalls.map(encodeToolCall) }),
      ...reply.messageFields,
    },
    logprobs: null,
    ...reply.choiceFields,
    finish_reason: reply.finishReason ?? "stop",
  };
};

const encodeToolCall = ({ id, name, arguments: json, fields }: ToolCall) => ({
  ...fields,
  id,
  type: "function",
  function: { name, arguments: json },
});

const newId = () => `chatcmpl-${crypto.randomUUID().replaceAll("-", "")}`;
const createdSeconds = ({ createdAtMs }: Shown) => Math.floor(createdAtMs / 1000);

const encode = (answer: Answer, usage: Usage, shown: Shown): string =>
  JSON.stringify({
    id: newId(),
    object: "chat.completion",
    created: createdSeconds(shown),
    model: shown.model,
    ...answer.fields,
    choices: answer.replies.map(encodeReply),
    usage: encodeUsage(usage),
  });

function streamEncoder(call: DialectCall, shown: Shown): StreamEncoder {
  const id = newId();
  const created = createdSeconds(shown);
  const model = JSON.stringify(shown.model);
  // What all chunks share is serialised once.
  const head = `data: {"id":"${id}","object":"chat.completion.chunk","created":${created},"model":${model}`;
  const tail = call.prompt.usage ? ',"usage":null}\n\n' : "}\n\n";

  const chunk = (
    choice = 0,
    delta: string,
    finishReason = "null",
    choiceFields = '"logprobs":null',
    answerFields = "",
  ) =>
    `${head}${answerFields},"choices":[{"index":${choice},"delta":${delta},${choiceFields},"finish_reason":${finishReason}}]${tail}`;
  // Nearly all events of a stream are texts of its one reply.
  const textHead = `${head},"choices":[{"index":0,"delta":{"content":`;
  const textTail = `},"logprobs":null,"finish_reason":null}]${tail}`;
  const fieldsOf = (fields: Readonly<Record<string, unknown>>) => JSON.stringify(fields).slice(1, -1);

  return {
    open() {
      // openai-node's stream helper throws unless the first chunk has a role; some clients print a null content.
      let events = "";
      for (let choice = 0; choice < call.prompt.choices; choice++) {
        events += chunk(choice, '{"role":"assistant","content":""}');
      }
      return events;
    },

    event(part) {
      switch (part.type) {
        case "text-delta":
          return part.choice
            ? chunk(part.choice, `{"content":${JSON.stringify(part.delta)}}`)
            : textHead + JSON.stringify(part.delta) + textTail;
        case "reasoning-delta":
          return chunk(part.choice, `{"reasoning_content":${JSON.stringify(part.delta)}}`);
        case "refusal-delta":
          return chunk(part.choice, `{"refusal":${JSON.stringify(part.delta)}}`);
        case "tool-call-delta": {
          const { index, id: callId, name, delta } = part;
          const toolCall = {
            ...part.fields,
            index,
            ...(callId !== undefined && { id: callId, type: "function" }),
            function: { ...(name !== undefined && { name }), arguments: delta },
          };
          return chunk(part.choice, JSON.stringify({ tool_calls: [toolCall] }));
        }
        case "extension": {
          const fields = fieldsOf(part.fields);
          if (fields === "") return "";
          if (part.scope === "message") return chunk(part.choice, `{${fields}}`);
          if (part.scope === "choice") return chunk(part.choice, "{}", "null", fields);
          return chunk(part.choice, "{}", "null", '"logprobs":null', `,${fields}`);
        }
        case "finish":
          return chunk(part.choice, "{}", `"${part.reason}"`);
        case "usage":
          return "";
        default:
          return part satisfies never;
      }
    },

    close(usage) {
      // Unasked, a chunk without choices crashes some clients.
      const usageChunk = call.prompt.usage
        ? `${head},"choices":[],"usage":${JSON.stringify(encodeUsage(usage))}}\n\n`
        : "";
      return usageChunk + encodeSseEvent("[DONE]");
    },
  };
}

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
  path: "/chat/completions",
  parse,
  encode,
  streamEncoder,
};
