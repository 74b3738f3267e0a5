/** Puts an answer together from its events, for all who need it whole: whole bodies, memory, token counts. */
import type { Answer, JsonObject, NativeChatEvent, Reply, StreamPart, UpstreamEvent } from "../types.ts";
import { isRecord } from "../util/json.ts";

/** An answer of which nothing is there yet. */
export const emptyAnswer = (): Answer => ({ replies: [], fields: {}, usage: undefined, native: undefined });

const emptyReply = (): Reply => ({
  text: "",
  reasoning: "",
  refusal: undefined,
  toolCalls: [],
  finishReason: undefined,
  stopSequence: undefined,
  messageFields: {},
  choiceFields: {},
});

const replyAt = (answer: Answer, choice = 0): Reply => {
  while (answer.replies.length <= choice) answer.replies.push(emptyReply());
  return answer.replies[choice] as Reply;
};

const hasEnded = ({ finishReason }: Reply): boolean => finishReason !== undefined;

/** Whether every reply has ended. */
export const isFinished = ({ replies }: Answer): boolean => replies.length > 0 && replies.every(hasEnded);

/** Adds the next event. */
export function addEvent(answer: Answer, event: UpstreamEvent): void {
  for (const part of event.parts) addPart(answer, part);
  const { native } = event;
  if (native === undefined) return;
  if (native.format === "responses") {
    // What such a stream is a stream of.
    if (native.isWhole || isRecord(native.event.response)) answer.native = native;
  }
  // What is beside the text has been added with the event that it is like.
  else if (native.like === undefined) addNative(answer, native);
}

function addPart(answer: Answer, part: StreamPart): void {
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
      const call = toolCalls[part.index] as Reply["toolCalls"][number];
      if (part.id !== undefined) call.id = part.id;
      if (part.name !== undefined) call.name = part.name;
      call.arguments += part.delta;
      if (part.fields !== undefined) {
        call.fields ??= {};
        mergeFields(call.fields, part.fields);
      }
      return;
    }
    case "finish": {
      const reply = replyAt(answer, part.choice);
      reply.finishReason = part.reason;
      reply.stopSequence = part.stopSequence;
      return;
    }
    case "usage":
      answer.usage = part.usage;
      return;
    default:
      part satisfies never;
  }
}

/** What parts say, or what is each event's own. */
const modelledInAnswer = new Set(["id", "object", "created", "model", "choices", "usage"]);
const modelledInChoice = new Set(["index", "delta", "message", "text", "finish_reason", "usage"]);
const modelledInMessage = new Set([
  "role",
  "content",
  "reasoning_content",
  "reasoning",
  "reasoning_text",
  "thinking",
  "refusal",
  "tool_calls",
]);

/** Collects the fields that parts don't model, such as log probabilities, annotations or a thought's signature. */
function addNative(answer: Answer, native: NativeChatEvent): void {
  const { event, isWhole } = native;
  if (isWhole) answer.native = native;
  // Most of these are repeated in every event; a whole answer has its own.
  for (const name in isWhole ? undefined : event) {
    if (modelledInAnswer.has(name) || name === "__proto__" || event[name] === null) continue;
    answer.fields[name] = event[name];
  }
  const { choices } = event;
  if (!Array.isArray(choices)) return;
  for (const [position, choice] of choices.entries()) {
    if (!isRecord(choice)) continue;
    const reply = replyAt(answer, Number.isInteger(choice.index) ? (choice.index as number) : position);
    mergeFields(reply.choiceFields, choice, modelledInChoice);
    const message = isWhole ? choice.message : choice.delta;
    if (!isRecord(message)) continue;
    mergeFields(reply.messageFields, message, modelledInMessage);
    if (!Array.isArray(message.tool_calls)) continue;
    // Calls of functions are modelled, those of custom tools are not.
    const custom = message.tool_calls.filter((call) => isRecord(call) && !isRecord(call.function));
    if (custom.length > 0) mergeFields(reply.messageFields, { tool_calls: custom });
  }
}

/** Lists grow, as log probabilities do piece by piece; everything else is replaced. */
function mergeFields(
  target: Record<string, unknown>,
  fields: JsonObject,
  except?: ReadonlySet<string>,
): void {
  for (const name in fields) {
    const value = fields[name];
    if (value === null || except?.has(name)) continue;
    // JSON may have it as a name like any other; merging into it would change every object there is.
    if (name === "__proto__") continue;
    const before = target[name];
    if (Array.isArray(before) && Array.isArray(value)) for (const item of value) before.push(item);
    else if (isRecord(before) && isRecord(value)) mergeFields(before, value);
    else target[name] = Array.isArray(value) ? [...value] : isRecord(value) ? { ...value } : value;
  }
}
