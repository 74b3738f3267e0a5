/**
 * Input items as messages of Chat Completions. There a message holds all calls of a reply, and their results follow it
 * at once; items come one by one, with anything between them.
 */
import { ApiError } from "../../errors.ts";
import type { JsonObject } from "../../types.ts";
import { isRecord } from "../../util/json.ts";
import type { ChatMessageBody } from "../shared/chat-completions-prompt.ts";
import { customArguments, type Tools } from "./tools.ts";

type Part = { readonly type: string; readonly [field: string]: unknown };

const text = (value: unknown): string => (typeof value === "string" ? value : "");
const isText = ({ type }: Part): boolean => type === "text";

const unsupported = (what: string): ApiError =>
  new ApiError("unsupported_content", `input has ${what}, which this server has no files for.`, {
    param: "input",
  });

/** A part of a message or of a tool's result; those of unknown kinds are none. */
function readPart(part: unknown): Part[] {
  if (typeof part === "string") return [{ type: "text", text: part }];
  if (!isRecord(part)) return [];
  switch (part.type) {
    case "input_text":
    case "output_text":
    case "text":
    case "summary_text":
    case "reasoning_text":
      return [{ type: "text", text: text(part.text) }];
    case "refusal":
      return [{ type: "text", text: text(part.refusal) }];
    case "input_image": {
      if (typeof part.image_url !== "string") throw unsupported("an image without image_url");
      const { image_url: url, detail } = part;
      return [{ type: "image_url", image_url: { url, ...(typeof detail === "string" && { detail }) } }];
    }
    case "input_file": {
      if (typeof part.file_data !== "string") throw unsupported("a file without file_data");
      const { file_data, filename } = part;
      return [{ type: "file", file: { file_data, ...(typeof filename === "string" && { filename }) } }];
    }
    case "input_audio":
      return [{ type: "input_audio", input_audio: part.input_audio }];
    default:
      return [];
  }
}

const readParts = (content: unknown): Part[] => {
  if (typeof content === "string") return [{ type: "text", text: content }];
  return Array.isArray(content) ? content.flatMap(readPart) : [];
};

/** One text where all parts are texts, since many upstreams take no lists. */
const contentOf = (parts: readonly Part[], separator = "\n\n"): string | readonly Part[] =>
  parts.every(isText) ? parts.map((part) => text(part.text)).join(separator) : parts;

const reasoningText = ({ summary, content }: JsonObject): string => {
  const summarized = contentOf(readParts(summary).filter(isText));
  return text(summarized) || text(contentOf(readParts(content).filter(isText)));
};

/** What is no text in a result goes to a user's message, as a tool's can't hold it. */
interface Result {
  readonly text: string;
  readonly attachments: readonly Part[];
}

const readResult = ({ output }: JsonObject): Result => {
  if (typeof output === "string") return { text: output, attachments: [] };
  const parts = readParts(output);
  const isKnown = Array.isArray(output) && (parts.length > 0 || output.length === 0);
  if (!isKnown) return { text: JSON.stringify(output ?? null), attachments: [] };
  return {
    text: text(contentOf(parts.filter(isText))),
    attachments: parts.filter((part) => !isText(part)),
  };
};

/** Calls of the tools that Codex and others run themselves, with the field that says what to do. */
const localCalls: ReadonlyMap<unknown, string> = new Map([
  ["local_shell_call", "action"],
  ["shell_call", "action"],
  ["apply_patch_call", "operation"],
]);

const resultTypes: ReadonlySet<unknown> = new Set([
  "function_call_output",
  "custom_tool_call_output",
  ...[...localCalls.keys()].map((type) => `${type}_output`),
]);

export const isResult = ({ type }: JsonObject): boolean => resultTypes.has(type);

function readCall(item: JsonObject, tools: Tools): JsonObject | undefined {
  const call = (name: string, json: string) => ({
    id: text(item.call_id) || text(item.id),
    type: "function",
    function: { name, arguments: json },
  });
  const named = () =>
    tools.functionName(text(item.name), typeof item.namespace === "string" ? item.namespace : undefined);
  if (item.type === "function_call") return call(named(), text(item.arguments));
  if (item.type === "custom_tool_call") return call(named(), customArguments(text(item.input)));
  const field = localCalls.get(item.type);
  if (field === undefined) return undefined;
  return call(text(item.type).replace(/_call$/, ""), JSON.stringify(item[field] ?? {}));
}

const isMessage = ({ type, role }: JsonObject): boolean =>
  type === "message" || (type == null && role != null);

/** An assistant's message that further calls may still join. */
interface OpenReply {
  /** Its place among the messages. */
  at: number;
  message: ChatMessageBody;
  readonly calls: JsonObject[];
  /** A result has been passed: the next call is another reply's. */
  isAnswered: boolean;
}

class Conversation {
  readonly #messages: ChatMessageBody[] = [];
  readonly #tools: Tools;
  /** By the id of their call. */
  readonly #results = new Map<string, JsonObject>();
  #called = new Set<string>();
  #reply: OpenReply | undefined;
  #reasoning = "";

  constructor(items: readonly JsonObject[], tools: Tools) {
    this.#tools = tools;
    for (const item of items) if (isResult(item)) this.#results.set(text(item.call_id), item);
    for (const item of items) this.#add(item);
    this.#endReply();
  }

  get messages(): readonly ChatMessageBody[] {
    return this.#messages;
  }

  #add(item: JsonObject): void {
    const call = readCall(item, this.#tools);
    if (isMessage(item)) this.#addMessage(item);
    else if (item.type === "reasoning") this.#addReasoning(item);
    else if (isResult(item)) this.#addResult(item);
    else if (call !== undefined) this.#addCall(call);
  }

  #addReasoning(item: JsonObject): void {
    if (this.#reply?.isAnswered) this.#endReply();
    this.#reasoning += reasoningText(item);
  }

  #addMessage({ role, content }: JsonObject): void {
    const parts = readParts(content);
    if (role === "assistant") {
      this.#endReply();
      this.#openReply(text(contentOf(parts.filter(isText), "")));
      return;
    }
    if (role === "user") {
      this.#endReply();
      this.#reasoning = "";
      this.#messages.push({ role: "user", content: contentOf(parts) });
      return;
    }
    // Many upstreams know no role but "system" for it.
    const system: ChatMessageBody = { role: "system", content: text(contentOf(parts.filter(isText))) };
    const isAmidCalls = this.#reply !== undefined && this.#reply.calls.length > 0 && !this.#reply.isAnswered;
    if (!isAmidCalls) this.#endReply();
    if (this.#reply !== undefined) this.#messages.splice(this.#reply.at++, 0, system);
    else this.#messages.push(system);
  }

  #openReply(content: string | null): OpenReply {
    const message: ChatMessageBody = {
      role: "assistant",
      content,
      ...(this.#reasoning !== "" && { reasoning_content: this.#reasoning }),
    };
    this.#reasoning = "";
    this.#reply = { at: this.#messages.length, message, calls: [], isAnswered: false };
    this.#messages.push(message);
    return this.#reply;
  }

  #addCall(call: JsonObject): void {
    if (this.#reply?.isAnswered) this.#endReply();
    const reply = this.#reply ?? this.#openReply(null);
    reply.calls.push(call);
    this.#called.add(text(call.id));
    const content = reply.message.content === "" ? null : (reply.message.content ?? null);
    reply.message = { ...reply.message, content, tool_calls: [...reply.calls] };
    this.#messages[reply.at] = reply.message;
  }

  #addResult(item: JsonObject): void {
    if (this.#called.has(text(item.call_id))) {
      if (this.#reply !== undefined) this.#reply.isAnswered = true;
      return;
    }
    // Nobody has called for it as far as is known here.
    this.#endReply();
    const result = readResult(item);
    const said: Part = { type: "text", text: `Result of a tool: ${result.text}` };
    this.#messages.push({ role: "user", content: contentOf([said, ...result.attachments]) });
  }

  /** The results of all calls follow them at once. */
  #endReply(): void {
    const { calls = [] } = this.#reply ?? {};
    this.#reply = undefined;
    const attachments: Part[] = [];
    for (const { id } of calls) {
      const item = this.#results.get(text(id));
      const result: Result = item === undefined ? { text: "aborted", attachments: [] } : readResult(item);
      attachments.push(...result.attachments);
      this.#messages.push({ role: "tool", tool_call_id: id, content: result.text });
    }
    if (attachments.length > 0) this.#messages.push({ role: "user", content: attachments });
  }
}

/** A model that waits for its tools' results may want its thoughts again; of earlier turns nobody does. */
const withoutReasoning = (message: ChatMessageBody): ChatMessageBody => {
  if (message.reasoning_content === undefined) return message;
  const { reasoning_content: _, ...rest } = message;
  return rest as ChatMessageBody;
};

/**
 * Items as messages: "past" ones are of turns that are over, "present" ones go up to the newest. Throws ApiError
 * unsupported_content for what only OpenAI's file store could resolve.
 */
export function readItems(
  items: readonly JsonObject[],
  tools: Tools,
  time: "past" | "present",
): readonly ChatMessageBody[] {
  const { messages } = new Conversation(items, tools);
  const turnStart = time === "past" ? messages.length : messages.findLastIndex(({ role }) => role === "user");
  return messages.map((message, index) => (index > turnStart ? message : withoutReasoning(message)));
}

/** The tools that items bring along. */
export const toolsIn = (items: readonly JsonObject[]): JsonObject[] =>
  items.flatMap(({ type, tools }) =>
    type === "additional_tools" && Array.isArray(tools) ? tools.filter(isRecord) : [],
  );
