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

const systemChars = (messages: readonly ChatMessage[]): number => sizeOf(messages.filter(isSystem));

/** About how many characters the newest turn needs with shortened results, and system texts of `maxSystem` at most. */
export function leastChars(messages: readonly ChatMessage[], maxSystem: number): number {
  const turn = newestTurn(messages);
  const others = turn.filter((message) => !isResult(message));
  const results = (turn.length - others.length) * (leastShortened + labelRoom);
  return Math.min(systemChars(messages), maxSystem) + sizeOf(others) + results;
}

/**
 * The messages with the results of the newest turn shortened so that its question and its calls fit beside them in
 * `room` characters. The newest results stay the longest: of many steps, the oldest get a line at most.
 */
export function shortenResults(messages: readonly ChatMessage[], room: number): readonly ChatMessage[] {
  const [question, ...steps] = newestTurn(messages);
  const system = Math.min(systemChars(messages), Math.floor(room / 2));
  let left = room - system - (question ? sizeOf([question]) : 0);
  const oldestAt = steps.findIndex(isResult);
  const beforeOldest = sizeOf(steps.slice(0, Math.max(oldestAt, 0)));
  const shortened = new Map<ChatMessage, ChatMessage>();
  for (let at = steps.length - 1; at >= 0; at -= 1) {
    const message = steps[at] as ChatMessage;
    if (!isResult(message)) {
      left -= sizeOf([message]);
      continue;
    }
    const share = Math.floor(at === oldestAt ? left - beforeOldest : left * 0.6) - labelRoom;
    const text = shorten(message.text, Math.max(share, leastShortened));
    if (text !== message.text) shortened.set(message, textMessage(message, text));
    left -= sizeOf([{ ...message, text }]);
  }
  return shortened.size === 0 ? messages : messages.map((message) => shortened.get(message) ?? message);
}
