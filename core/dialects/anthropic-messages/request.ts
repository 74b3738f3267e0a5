/** A request of Anthropic's Messages as a body of Chat Completions, which every provider reads. */
import * as v from "valibot";
import { ApiError } from "../../errors.ts";
import type { ChatPrompt, JsonObject } from "../../types.ts";
import { isRecord } from "../../util/json.ts";
import {
  type ChatBody,
  type ChatMessageBody,
  type ChatPart,
  readPrompt,
} from "../shared/chat-completions-prompt.ts";
import { checkBody, wholeRange } from "../shared/check-body.ts";
import { fromSafeToolId } from "../shared/tool-ids.ts";

const textSchema = v.string();
const blocksSchema = v.array(v.looseObject({}));
// Not a union: its error would name no block.
const contentSchema = v.nullish(v.lazy((content) => (Array.isArray(content) ? blocksSchema : textSchema)));

/** Fields that nobody here knows are let through and ignored, as clients send new ones every month. */
export const requestSchema = v.looseObject({
  model: v.nullish(v.string()),
  messages: v.pipe(
    v.array(v.looseObject({ role: v.picklist(["user", "assistant", "system"]), content: contentSchema })),
    v.minLength(1, "must hold at least one message"),
  ),
  system: contentSchema,
  max_tokens: wholeRange(1, Number.MAX_SAFE_INTEGER),
  stream: v.nullish(v.boolean()),
  temperature: v.nullish(v.number()),
  top_p: v.nullish(v.number()),
  stop_sequences: v.nullish(v.array(v.string())),
  tools: v.nullish(blocksSchema),
  tool_choice: v.nullish(v.looseObject({})),
  thinking: v.nullish(v.looseObject({})),
  output_config: v.nullish(v.looseObject({})),
  output_format: v.nullish(v.looseObject({})),
});

type RequestBody = v.InferOutput<typeof requestSchema>;
type Content = RequestBody["system"];

export interface MessagesRequest {
  readonly model?: string;
  readonly prompt: ChatPrompt;
  /** Whether the client wants to see the model think. */
  readonly showsThinking: boolean;
}

/** Chat Completions takes no more of them. */
const maxStops = 4;

const text = (value: unknown): string => (typeof value === "string" ? value : "");

const blocksOf = (content: unknown): readonly JsonObject[] => {
  if (typeof content === "string") return [{ type: "text", text: content }];
  return Array.isArray(content) ? content.filter(isRecord) : [];
};

/** The line by which Claude Code says who pays: it is no part of the prompt, and spoils caches of it. */
const attribution = /^x-anthropic-billing-header:.*\n*/;

const textsOf = (content: Content): string[] =>
  blocksOf(content)
    .map((block) => text(block.text).replace(attribution, ""))
    .filter((line) => line !== "");

/** Wherever system messages stand, they come first: left in their places they break tool calls at many upstreams. */
function systemText({ system, messages }: RequestBody): string {
  const later = messages.filter(({ role }) => role === "system");
  return [system, ...later.map(({ content }) => content)].flatMap(textsOf).join("\n\n");
}

const dataUrl = ({ media_type: type, data }: JsonObject, defaultType: string): string =>
  `data:${text(type) || defaultType};base64,${text(data)}`;

const urlOf = (source: JsonObject, defaultType: string): string =>
  text(source.url) || dataUrl(source, defaultType);

/** A document as text where it is text, else as a file. */
function readDocument({ source, title }: JsonObject): ChatPart[] {
  if (!isRecord(source)) return [];
  if (source.type === "text") return [{ type: "text", text: text(source.data) }];
  if (source.type === "content") return blocksOf(source.content).flatMap(readPart);
  const file = { filename: text(title) || "document.pdf", file_data: urlOf(source, "application/pdf") };
  return [{ type: "file", file }];
}

/** A block of a user's message, or of a tool's result; those of unknown kinds are none. */
function readPart(block: JsonObject): ChatPart[] {
  switch (block.type) {
    case "text":
      return [{ type: "text", text: text(block.text) }];
    case "image":
      return isRecord(block.source)
        ? [{ type: "image_url", image_url: { url: urlOf(block.source, "image/png") } }]
        : [];
    case "document":
      return readDocument(block);
    case "search_result": {
      const lines = [
        text(block.title),
        text(block.source),
        ...blocksOf(block.content).map((each) => text(each.text)),
      ];
      return [{ type: "text", text: lines.filter((line) => line !== "").join("\n") }];
    }
    default:
      return [];
  }
}

const isText = (part: ChatPart): boolean => part.type === "text";
const joined = (parts: readonly ChatPart[]): string => parts.map((part) => text(part.text)).join("\n\n");

/** One text where all parts are text, since many upstreams take no lists. */
const contentOf = (parts: readonly ChatPart[]): string | readonly ChatPart[] =>
  parts.every(isText) ? joined(parts) : parts;

/** Results of tools first, each a message of its own; then everything else, with what those messages can't hold. */
function readUser(content: Content): ChatMessageBody[] {
  const results: ChatMessageBody[] = [];
  const parts: ChatPart[] = [];
  for (const block of blocksOf(content)) {
    if (block.type !== "tool_result") {
      parts.push(...readPart(block));
      continue;
    }
    const inside = blocksOf(block.content).flatMap(readPart);
    parts.push(...inside.filter((part) => !isText(part)));
    const result = joined(inside.filter(isText));
    results.push({
      role: "tool",
      tool_call_id: fromSafeToolId(text(block.tool_use_id)),
      content: block.is_error === true ? `Error: ${result}` : result,
    });
  }
  const hasMore = parts.length > 0 || results.length === 0;
  return hasMore ? [...results, { role: "user", content: contentOf(parts) }] : results;
}

function readAssistant(content: Content): ChatMessageBody[] {
  let said = "";
  let thought = "";
  const calls: JsonObject[] = [];
  for (const block of blocksOf(content)) {
    if (block.type === "text") said += text(block.text);
    if (block.type === "thinking") thought += text(block.thinking);
    if (block.type !== "tool_use") continue;
    const called = { name: text(block.name), arguments: JSON.stringify(block.input ?? {}) };
    calls.push({ id: fromSafeToolId(text(block.id)), type: "function", function: called });
  }
  if (said === "" && calls.length === 0) return [];
  return [
    {
      role: "assistant",
      content: said === "" ? null : said,
      ...(thought !== "" && { reasoning_content: thought }),
      ...(calls.length > 0 && { tool_calls: calls }),
    },
  ];
}

function readMessages(request: RequestBody): ChatMessageBody[] {
  const system = systemText(request);
  const messages = request.messages.flatMap(({ role, content }) => {
    if (role === "system") return [];
    return role === "user" ? readUser(content) : readAssistant(content);
  });
  if (system !== "") messages.unshift({ role: "system", content: system });
  if (messages.length > 0) return messages;
  throw new ApiError("invalid_request", "messages has nothing in it that a model could read.", {
    param: "messages",
  });
}

/** A tool as a function; those that Anthropic's servers would run have no schema and are left out. */
function readTool({ type, name, description, input_schema: schema, strict }: JsonObject): JsonObject[] {
  const isOwn = type == null || type === "custom" || isRecord(schema);
  if (!isOwn || typeof name !== "string") return [];
  const parameters = isRecord(schema) ? schema : { type: "object", properties: {} };
  return [
    {
      type: "function",
      function: {
        name,
        ...(typeof description === "string" && { description }),
        parameters,
        ...(typeof strict === "boolean" && { strict }),
      },
    },
  ];
}

function readToolChoice(choice: JsonObject, names: readonly unknown[]): ChatBody["tool_choice"] {
  switch (choice.type) {
    case "any":
      return "required";
    case "none":
      return "none";
    case "tool":
      // A tool that was left out can't be called for.
      return names.includes(choice.name) ? { type: "function", function: { name: choice.name } } : "auto";
    default:
      return "auto";
  }
}

function readTools({ tools, tool_choice: choice }: RequestBody): Partial<ChatBody> {
  const functions = (tools ?? []).flatMap(readTool);
  if (functions.length === 0) return {};
  const names = functions.map((tool) => (tool.function as JsonObject).name);
  return {
    tools: functions,
    ...(choice && { tool_choice: readToolChoice(choice, names) }),
    ...(choice?.disable_parallel_tool_use === true && { parallel_tool_calls: false }),
  };
}

/** `output_config.format`, or its older name `output_format`. */
function readFormat({ output_config: config, output_format: older }: RequestBody): Partial<ChatBody> {
  const format = isRecord(config?.format) ? config.format : older;
  if (format?.type !== "json_schema") return {};
  const named = { name: text(format.name) || "answer", schema: format.schema ?? true };
  return { response_format: { type: "json_schema", json_schema: named } };
}

/** How much a client that sets a budget wants thought about. */
const effortOf = (budget: number): string => (budget <= 2048 ? "low" : budget <= 8192 ? "medium" : "high");

/**
 * The effort is told where the client asks for a budget of thinking. Claude Code asks every model to think as it likes
 * and names an effort, which models that can't think would refuse.
 */
const readEffort = ({ thinking }: RequestBody): Partial<ChatBody> =>
  thinking?.type === "enabled" && typeof thinking.budget_tokens === "number"
    ? { reasoning_effort: effortOf(thinking.budget_tokens) }
    : {};

/** Reads a body of `/messages` or `/messages/count_tokens`. Throws ApiError invalid_request. */
export function readRequest(body: unknown): MessagesRequest {
  const request = checkBody(requestSchema, body);
  const { model, max_tokens, stream, temperature, top_p, stop_sequences, thinking } = request;
  const stops = (stop_sequences ?? []).filter((stop) => stop !== "");
  const chat: ChatBody = {
    messages: readMessages(request),
    stream: stream === true,
    ...(max_tokens != null && { max_tokens }),
    ...(temperature != null && { temperature }),
    ...(top_p != null && { top_p }),
    ...(stops.length > 0 && { stop: stops.slice(0, maxStops) }),
    ...readTools(request),
    ...readFormat(request),
    ...readEffort(request),
  };
  return {
    ...(model && { model }),
    prompt: { ...readPrompt(chat, { usage: true }), stop: stops },
    showsThinking:
      (thinking?.type === "enabled" || thinking?.type === "adaptive") && thinking.display !== "omitted",
  };
}
