/** A request of Responses as a body of Chat Completions, which every provider reads. */
import * as v from "valibot";
import { ApiError } from "../../errors.ts";
import type { ChatMessage, ChatPrompt, JsonObject } from "../../types.ts";
import { isRecord } from "../../util/json.ts";
import {
  type ChatBody,
  type ChatMessageBody,
  readMessage,
  readPrompt,
} from "../shared/chat-completions-prompt.ts";
import { checkBody, range, wholeRange } from "../shared/check-body.ts";
import { outputItemId } from "../shared/response-ids.ts";
import { readItems, toolsIn } from "./items.ts";
import { readToolChoice, readTools, type Tools } from "./tools.ts";

const textSchema = v.string();
const objectSchema = v.looseObject({});
const itemsSchema = v.array(objectSchema);
// Not a union: its error would name no item.
const textOrItems = v.nullish(v.lazy((value) => (Array.isArray(value) ? itemsSchema : textSchema)));

/** Fields that nobody here knows are let through and ignored, as clients send new ones every month. */
export const requestSchema = v.looseObject({
  model: v.nullish(v.string()),
  input: textOrItems,
  instructions: textOrItems,
  previous_response_id: v.nullish(v.string()),
  store: v.nullish(v.boolean()),
  stream: v.nullish(v.boolean()),
  background: v.nullish(v.boolean()),
  tools: v.nullish(itemsSchema),
  tool_choice: v.nullish(v.lazy((choice) => (isRecord(choice) ? objectSchema : textSchema))),
  parallel_tool_calls: v.nullish(v.boolean()),
  max_tool_calls: wholeRange(1, Number.MAX_SAFE_INTEGER),
  text: v.nullish(v.looseObject({ format: v.nullish(objectSchema), verbosity: v.nullish(v.string()) })),
  reasoning: v.nullish(v.looseObject({ effort: v.nullish(v.string()), summary: v.nullish(v.string()) })),
  include: v.nullish(v.array(v.unknown())),
  max_output_tokens: wholeRange(1, Number.MAX_SAFE_INTEGER),
  temperature: range(0, 2),
  top_p: range(0, 1),
  presence_penalty: range(-2, 2),
  frequency_penalty: range(-2, 2),
  top_logprobs: wholeRange(0, 20),
  metadata: v.nullish(objectSchema),
});

type RequestBody = v.InferOutput<typeof requestSchema>;

export interface ResponsesRequest {
  readonly model?: string;
  readonly prompt: ChatPrompt;
  readonly tools: Tools;
  readonly previous?: string;
  readonly store: boolean;
  /** All input items, each with a type. */
  readonly input: readonly JsonObject[];
  /** Whether reasoning goes out a second time, in the form in which clients without a store send it back. */
  readonly wantsEncryptedReasoning: boolean;
  /** What the response object repeats of the request. */
  readonly echo: JsonObject;
  /** As of `ResponseMemory`. */
  readonly instructions: readonly ChatMessage[];
  toMessages(items: readonly JsonObject[], time: "past" | "present"): readonly ChatMessage[];
}

const unsupported = (param: string, instead: string): ApiError =>
  new ApiError("unsupported_parameter", `${param} is not supported: ${instead}`, { param });

/** What no upstream may be asked, as its ids are not the caller's alone, or would be lost with the connection. */
function refuseAnywhere(request: RequestBody): void {
  if (request.conversation != null)
    throw unsupported("conversation", "continue with previous_response_id, or send the whole history.");
  if (request.background === true && request.stream === true)
    throw unsupported("background", "leave out stream and ask for the response until it is there.");
}

/** What can't be ignored, as the answer would be one to another question. */
function refuseInChat(request: RequestBody): void {
  if (request.background === true) throw unsupported("background", "leave it out and wait for the answer.");
  if (request.prompt != null)
    throw unsupported("prompt", "send the prompt's text as instructions and input.");
  if (request.input == null && !request.previous_response_id)
    throw new ApiError("invalid_request", "input is required.", { param: "input" });
}

const idPrefixes: ReadonlyMap<string, string> = new Map([
  ["message", "msg"],
  ["reasoning", "rs"],
  ["function_call", "fc"],
  ["custom_tool_call", "ctc"],
]);

/** Each item has a type. */
function withTypes(input: RequestBody["input"]): readonly JsonObject[] {
  if (input == null) return [];
  if (typeof input === "string") return [{ type: "message", role: "user", content: input }];
  return input.map((item) => {
    if (typeof item.type === "string") return item;
    const isReference = item.role == null && typeof item.id === "string";
    return { ...item, type: isReference ? "item_reference" : "message" };
  });
}

/** A message's content as a list of parts. */
const partsOf = ({ role, content: text }: JsonObject): unknown =>
  typeof text === "string" ? [{ type: role === "assistant" ? "output_text" : "input_text", text }] : text;

/** Input items have places behind those of the output, whose ids are made in the same way. */
const firstInputPlace = 0x8000;

/** Each item has an id, and each message a list of parts, as clients that list a response's input expect. */
export const identify = (items: readonly JsonObject[], id: string): readonly JsonObject[] =>
  items.map((item, index) => ({
    ...item,
    id:
      typeof item.id === "string" && item.id !== ""
        ? item.id
        : outputItemId(idPrefixes.get(String(item.type)) ?? "item", id, firstInputPlace + index),
    ...(item.type === "message" && { content: partsOf(item) }),
  }));

/** The instructions as a message, if there are any. */
const systemMessages = ({ instructions }: RequestBody, tools: Tools): readonly ChatMessageBody[] => {
  const texts = Array.isArray(instructions)
    ? readItems(instructions, tools, "past").map(({ content }) => content)
    : [instructions];
  const content = texts.filter((each) => typeof each === "string" && each !== "").join("\n\n");
  return content === "" ? [] : [{ role: "system", content }];
};

const readFormat = (text: RequestBody["text"]): Partial<ChatBody> => {
  const { type, name, description, schema, strict }: JsonObject = text?.format ?? {};
  if (type === "json_object") return { response_format: { type } };
  if (type !== "json_schema") return {};
  if (!isRecord(schema)) return { response_format: { type: "json_object" } };
  const described = {
    name: typeof name === "string" ? name : "answer",
    schema,
    ...(typeof strict === "boolean" && { strict }),
    ...(typeof description === "string" && { description }),
  };
  return { response_format: { type, json_schema: described } };
};

/** The fields that mean the same in Chat Completions, most of them under the same names. */
function readSampling(request: RequestBody): Partial<ChatBody> {
  const { max_output_tokens, reasoning, text } = request;
  const { temperature, top_p, presence_penalty, frequency_penalty } = request;
  const fields = {
    max_completion_tokens: max_output_tokens,
    reasoning_effort: reasoning?.effort,
    verbosity: text?.verbosity,
    temperature,
    top_p,
    presence_penalty,
    frequency_penalty,
  };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value != null));
}

/** The kinds of tools that an answer repeats: of the others nothing was made. */
const isEchoed = ({ type }: JsonObject): boolean =>
  type === "function" || type === "custom" || type === "namespace";

const echoTool = (tool: JsonObject): JsonObject =>
  tool.type === "function"
    ? {
        ...tool,
        description: tool.description ?? null,
        parameters: tool.parameters ?? null,
        strict: tool.strict ?? null,
      }
    : tool;

function readEcho(request: RequestBody): JsonObject {
  const { text, reasoning, tools } = request;
  return {
    background: false,
    instructions: request.instructions ?? null,
    max_output_tokens: request.max_output_tokens ?? null,
    max_tool_calls: request.max_tool_calls ?? null,
    parallel_tool_calls: request.parallel_tool_calls ?? true,
    previous_response_id: request.previous_response_id ?? null,
    prompt_cache_key: request.prompt_cache_key ?? null,
    reasoning: { effort: reasoning?.effort ?? null, summary: reasoning?.summary ?? null },
    safety_identifier: request.safety_identifier ?? null,
    service_tier: "default",
    store: request.store ?? true,
    temperature: request.temperature ?? 1,
    text: {
      format: text?.format ?? { type: "text" },
      ...(text?.verbosity != null && { verbosity: text.verbosity }),
    },
    tool_choice: request.tool_choice ?? "auto",
    tools: (tools ?? []).filter(isEchoed).map(echoTool),
    top_logprobs: request.top_logprobs ?? 0,
    top_p: request.top_p ?? 1,
    presence_penalty: request.presence_penalty ?? 0,
    frequency_penalty: request.frequency_penalty ?? 0,
    truncation: "disabled",
    user: request.user ?? null,
    metadata: request.metadata ?? {},
  };
}

/** The request as a chat; where it can't be one, with the reason for that instead of messages. */
function readChat(
  request: RequestBody,
  input: readonly JsonObject[],
  tools: Tools,
): { readonly chat: ChatPrompt; readonly instructions: readonly ChatMessage[] } {
  const stream = request.stream === true;
  try {
    refuseInChat(request);
    const choice = readToolChoice(tools, request.tool_choice);
    const system = systemMessages(request, tools);
    const messages = [...system, ...readItems(input, tools, "present")];
    // A probe of Codex has no input at all.
    const isEmpty = messages.every(({ role }) => role === "system");
    const chat: ChatBody = {
      messages: isEmpty ? [...messages, { role: "user", content: "" }] : messages,
      stream,
      ...readSampling(request),
      ...readFormat(request.text),
      ...choice,
      ...(choice.tools && request.parallel_tool_calls === false && { parallel_tool_calls: false }),
    };
    return { chat: readPrompt(chat, { usage: true }), instructions: system.map(readMessage) };
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    const nothing = readPrompt({ messages: [], stream }, { usage: true });
    return { chat: { ...nothing, unsayable: error }, instructions: [] };
  }
}

/** Reads a body of `/responses` or `/responses/input_tokens`. Throws ApiError. */
export function readRequest(body: unknown): ResponsesRequest {
  const request = checkBody(requestSchema, body);
  refuseAnywhere(request);
  const { model, previous_response_id: previous, store } = request;
  const input = withTypes(request.input);
  const tools = readTools([...(request.tools ?? []), ...toolsIn(input)]);
  const { chat, instructions } = readChat(request, input, tools);
  return {
    ...(model && { model }),
    prompt: { ...chat, response: body as JsonObject },
    tools,
    ...(previous && { previous }),
    store: store !== false,
    input,
    wantsEncryptedReasoning: request.include?.includes("reasoning.encrypted_content") === true,
    echo: readEcho(request),
    instructions,
    toMessages: (items, time) => readItems(items, tools, time).map(readMessage),
  };
}
