/** A body of Chat Completions as a prompt: of its own dialect, and of every other one, which writes such a body first. */
import type {
  Attachment,
  ChatMessage,
  ChatPrompt,
  JsonObject,
  JsonSchema,
  ResponseFormat,
  Role,
  ToolChoice,
  ToolDefinition,
} from "../../types.ts";
import { isRecord } from "../../util/json.ts";
import { roles } from "../../util/roles.ts";
import { liftMessage } from "./chat-completions-message.ts";

export interface ChatPart {
  readonly type?: string | null | undefined;
  readonly [field: string]: unknown;
}

export interface ChatMessageBody extends JsonObject {
  readonly role: string;
  readonly content?: string | null | readonly (string | ChatPart)[] | undefined;
}

/** What is read of a body; all its fields travel in `ChatPrompt.native`. */
export interface ChatBody extends JsonObject {
  readonly messages: readonly ChatMessageBody[];
  readonly stream?: boolean | null | undefined;
  readonly stop?: string | readonly string[] | null | undefined;
  readonly max_tokens?: number | null | undefined;
  readonly max_completion_tokens?: number | null | undefined;
  readonly n?: number | null | undefined;
  readonly tools?: readonly JsonObject[] | null | undefined;
  readonly tool_choice?: string | JsonObject | null | undefined;
}

const textPartTypes: ReadonlySet<string> = new Set(["text", "input_text", "output_text"]);

const readAttachment = (part: ChatPart): Attachment => {
  // Parts without a type are known by the field that holds them, such as `image_url`.
  const type = part.type ?? Object.keys(part)[0] ?? "empty part";
  const file = isRecord(part.file) ? part.file : part;
  return typeof file.filename === "string" ? { type, name: file.filename } : { type };
};

/** The text that a part is; undefined for anything else. */
function readText(part: string | ChatPart): string | undefined {
  if (typeof part === "string") return part;
  if (typeof part.text === "string" && (part.type == null || textPartTypes.has(part.type))) return part.text;
  return part.type === "refusal" && typeof part.refusal === "string" ? part.refusal : undefined;
}

/** A role that only some models know, such as `control`, is one of instructions, not of talk. */
const readRole = (role: string): Role => (roles.has(role) ? (role as Role) : "system");

/** A message of any role, in Chat Completions' shape. */
export function readMessage(native: ChatMessageBody): ChatMessage {
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

const readStops = (stop: ChatBody["stop"]): readonly string[] => {
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
function readTools({ tools, tool_choice: choice }: ChatBody): Pick<ChatPrompt, "tools" | "toolChoice"> {
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

/** `usage`: whether the client gets token counts. */
export function readPrompt(body: ChatBody, { usage }: Pick<ChatPrompt, "usage">): ChatPrompt {
  const maxTokens = body.max_completion_tokens ?? body.max_tokens;
  return {
    messages: body.messages.map(readMessage),
    stream: body.stream === true,
    stop: readStops(body.stop),
    choices: body.n ?? 1,
    ...readTools(body),
    parallelToolCalls: body.parallel_tool_calls !== false,
    responseFormat: readResponseFormat(body.response_format),
    usage,
    native: body,
    ...(maxTokens != null && { maxTokens }),
  };
}
