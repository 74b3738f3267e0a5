/** Replies as messages of Chat Completions, and back: for answers, and for the conversations that keep them. */
import type {
  Attachment,
  ChatMessage,
  FinishReason,
  JsonObject,
  Reply,
  Role,
  StreamPart,
  ToolCall,
  UpstreamEvent,
  Usage,
} from "../../types.ts";
import { isRecord } from "../../util/json.ts";

const encodeToolCall = ({ id, name, arguments: json, fields }: ToolCall): JsonObject => ({
  ...fields,
  id,
  type: "function",
  function: { name, arguments: json },
});

/** A reply's message, as an answer has it and later turns repeat it. */
export function encodeReply(reply: Reply): JsonObject {
  const { text, reasoning, refusal, toolCalls, messageFields } = reply;
  const { tool_calls: customCalls, ...fields } = messageFields;
  const calls = [...toolCalls.map(encodeToolCall), ...(Array.isArray(customCalls) ? customCalls : [])];
  const hasText = text !== "" || (calls.length === 0 && refusal === undefined);
  return {
    role: "assistant",
    content: hasText ? text : null,
    ...(reasoning !== "" && { reasoning_content: reasoning }),
    ...(refusal !== undefined && { refusal }),
    ...(calls.length > 0 && { tool_calls: calls }),
    ...fields,
  };
}

/** A message of Chat Completions with what every provider needs lifted out of it. */
export function liftMessage(
  role: Role,
  text: string,
  native: JsonObject,
  attachments: readonly Attachment[] = [],
): ChatMessage {
  const toolCalls = role === "assistant" ? readToolCalls(native) : [];
  return {
    role,
    text,
    native,
    ...(attachments.length > 0 && { attachments }),
    ...(toolCalls.length > 0 && { toolCalls }),
    ...(typeof native.tool_call_id === "string" && { toolCallId: native.tool_call_id }),
  };
}

/** A reply as the message that later turns read. */
export const replyMessage = (reply: Reply): ChatMessage =>
  liftMessage("assistant", reply.text, encodeReply(reply));

/** The calls of functions in an assistant's message. */
export function readToolCalls(native: JsonObject): ToolCall[] {
  const calls = Array.isArray(native.tool_calls) ? native.tool_calls : [];
  return calls.flatMap((call): ToolCall[] => {
    if (!isRecord(call) || !isRecord(call.function)) return [];
    const { id, type: _type, index: _index, function: called, ...fields } = call;
    return [
      {
        id: typeof id === "string" ? id : "",
        name: typeof called.name === "string" ? called.name : "",
        arguments: typeof called.arguments === "string" ? called.arguments : "",
        ...(Object.keys(fields).length > 0 && { fields }),
      },
    ];
  });
}

/** A remembered reply as the one event of an answer: what `replyMessage` made a message of. */
export function replyEvent(
  { text, native }: ChatMessage,
  finish: { readonly finishReason: FinishReason; readonly usage?: Usage | undefined },
): UpstreamEvent {
  const parts: StreamPart[] = [];
  const { reasoning_content: reasoning, refusal } = native;
  if (typeof reasoning === "string") parts.push({ type: "reasoning-delta", delta: reasoning });
  if (text !== "") parts.push({ type: "text-delta", delta: text });
  if (typeof refusal === "string") parts.push({ type: "refusal-delta", delta: refusal });
  for (const [index, { id, name, arguments: delta, fields }] of readToolCalls(native).entries()) {
    parts.push({ type: "tool-call-delta", index, id, name, delta, ...(fields && { fields }) });
  }
  parts.push({ type: "finish", reason: finish.finishReason });
  if (finish.usage) parts.push({ type: "usage", usage: finish.usage });
  const choice = { index: 0, message: native, finish_reason: finish.finishReason };
  return { parts, native: { format: "chat-completions", isWhole: true, event: { choices: [choice] } } };
}
