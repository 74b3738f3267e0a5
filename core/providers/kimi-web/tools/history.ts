/** Past calls and their results, in the syntax that the model is asked to use. */
import type { ChatMessage, ToolCall } from "../../../types.ts";
import { tryParseJson } from "../../../util/json.ts";
import { isSystem } from "../../../util/messages.ts";
import { countCodePoints, leastShortened, shorten } from "../prompt/shorten.ts";
import { withoutBlanks } from "./json-text.ts";
import { callLine } from "./tell.ts";

/** About what a message's label and line break take. */
const labelRoom = 14;

const textMessage = ({ role, attachments }: ChatMessage, text: string): ChatMessage => ({
  role,
  text,
  native: { role, content: text },
  ...(attachments && { attachments }),
});

const lineOf = ({ name, arguments: json }: ToolCall): string =>
  callLine(name, tryParseJson(json) === undefined ? json || "{}" : withoutBlanks(json));

/** The messages with calls and results as text: `@@name {…}` and `name: result`. */
export function writeCalls(messages: readonly ChatMessage[]): readonly ChatMessage[] {
  const names = new Map<string, string>();
  return messages.map((message) => {
    const { role, text, toolCalls, toolCallId, native } = message;
    if (toolCalls !== undefined) {
      for (const { id, name } of toolCalls) names.set(id, name);
      return textMessage(message, [...(text === "" ? [] : [text]), ...toolCalls.map(lineOf)].join("\n"));
    }
    if (role !== "tool" && role !== "function") return message;
    const name = names.get(toolCallId ?? "") ?? native.name;
    const result = text === "" ? "(nothing)" : text;
    return textMessage(message, typeof name === "string" ? `${name}: ${result}` : result);
  });
}

const isResult = ({ role }: ChatMessage): boolean => role === "tool" || role === "function";

/** What has been said since the newest message of a user, that one among it. */
function newestTurn(messages: readonly ChatMessage[]): readonly ChatMessage[] {
  const start = messages.findLastIndex(({ role }) => role === "user");
  return messages.slice(Math.max(start, 0)).filter((message) => !isSystem(message));
}

const sizeOf = (messages: readonly ChatMessage[]): number =>
  messages.reduce((sum, { text }) => sum + countCodePoints(text) + labelRoom, 0);

/** System texts get half of the room at most. */
const systemChars = (messages: readonly ChatMessage[], room: number): number =>
  Math.min(sizeOf(messages.filter(isSystem)), Math.floor(room / 2));

/** About how many of `maxChars` characters the newest turn and system texts need, with shortened results. */
export function leastChars(messages: readonly ChatMessage[], maxChars: number): number {
  const turn = newestTurn(messages);
  const others = turn.filter((message) => !isResult(message));
  const results = (turn.length - others.length) * (leastShortened + labelRoom);
  return systemChars(messages, maxChars) + sizeOf(others) + results;
}

/**
 * The messages with the results of the newest turn shortened so that its question and its calls fit beside them in
 * `room` characters. The newest results stay the longest.
 */
export function shortenResults(messages: readonly ChatMessage[], room: number): readonly ChatMessage[] {
  const turn = newestTurn(messages);
  const results = turn.filter(isResult);
  let left = room - systemChars(messages, room) - sizeOf(turn.filter((message) => !isResult(message)));
  const shortened = new Map<ChatMessage, ChatMessage>();
  for (const [index, message] of results.toReversed().entries()) {
    const isOldest = index === results.length - 1;
    const share = Math.max(Math.floor(isOldest ? left : left * 0.6) - labelRoom, leastShortened);
    const text = shorten(message.text, share);
    if (text !== message.text) shortened.set(message, textMessage(message, text));
    left -= countCodePoints(text) + labelRoom;
  }
  return shortened.size === 0 ? messages : messages.map((message) => shortened.get(message) ?? message);
}
