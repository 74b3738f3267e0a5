/** Puts an answer together from its parts, for all who need it whole: whole bodies, memory, token counts. */
import type { Answer, Reply, StreamPart, StreamParts, ToolCall } from "../types.ts";

/** One part or several, as a list. */
export const listParts = (parts: StreamParts): readonly StreamPart[] => ("type" in parts ? [parts] : parts);

/** An answer without any parts yet. */
export const emptyAnswer = (): Answer => ({ replies: [], fields: {}, usage: undefined });

const emptyReply = (): Reply => ({
  text: "",
  reasoning: "",
  refusal: undefined,
  toolCalls: [],
  finishReason: undefined,
  messageFields: {},
  choiceFields: {},
});

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Lists grow, as log probabilities do piece by piece; everything else is replaced. */
const mergeFields = (target: Record<string, unknown>, fields: Readonly<Record<string, unknown>>): void => {
  for (const [name, value] of Object.entries(fields)) {
    // JSON may have it as a name like any other; merging into it would change every object there is.
    if (name === "__proto__") continue;
    const before = target[name];
    if (Array.isArray(before) && Array.isArray(value)) before.push(...value);
    else if (isRecord(before) && isRecord(value)) mergeFields(before, value);
    else target[name] = Array.isArray(value) ? [...value] : isRecord(value) ? { ...value } : value;
  }
};

const replyAt = (answer: Answer, choice = 0): Reply => {
  while (answer.replies.length <= choice) answer.replies.push(emptyReply());
  return answer.replies[choice] as Reply;
};

const extensionTarget = (answer: Answer, part: Extract<StreamPart, { type: "extension" }>) => {
  if (part.scope === "answer") return answer.fields;
  const reply = replyAt(answer, part.choice);
  return part.scope === "message" ? reply.messageFields : reply.choiceFields;
};

/** Adds the next part. */
export function addPart(answer: Answer, part: StreamPart): void {
  switch (part.type) {
    case "text-delta":
      replyAt(answer, part.choice).text += part.delta;
      return;
    case "reasoning-delta":
      replyAt(answer, part.choice).reasoning += part.delta;
      return;
    case "refusal-delta": {
      const reply = replyAt(answer, part.choice);
      reply.refusal = (reply.refusal ?? "") + part.delta;
      return;
    }
    case "tool-call-delta": {
      const { toolCalls } = replyAt(answer, part.choice);
      while (toolCalls.length <= part.index) toolCalls.push({ id: "", name: "", arguments: "" });
      const call = toolCalls[part.index] as ToolCall;
      if (part.id !== undefined) call.id = part.id;
      if (part.name !== undefined) call.name = part.name;
      call.arguments += part.delta;
      if (part.fields !== undefined) {
        call.fields ??= {};
        mergeFields(call.fields, part.fields);
      }
      return;
    }
    case "extension": {
      mergeFields(extensionTarget(answer, part), part.fields);
      return;
    }
    case "finish":
      replyAt(answer, part.choice).finishReason = part.reason;
      return;
    case "usage":
      answer.usage = part.usage;
      return;
    default:
      part satisfies never;
  }
}
