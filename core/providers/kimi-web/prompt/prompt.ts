/** Makes one text, which is all that the site takes, out of the messages of a chat. */

import { ApiError } from "../../../errors.ts";
import type { ChatMessage, Role } from "../../../types.ts";
import { isSystem } from "../../../util/messages.ts";
import type { PromptLabels } from "../settings.ts";
import { safeText } from "./safe-text.ts";

/** A tool call as Chat Completions has it, and the older form of one. */
interface FunctionCall {
  readonly name?: unknown;
  readonly arguments?: unknown;
}
interface ToolCall {
  readonly function?: FunctionCall;
}

export interface PromptOptions {
  /** The most characters (code points, as PHP's mb_strlen counts) that the site takes. */
  readonly maxChars: number;
  readonly labels: PromptLabels;
  /** Whether to write what WordPress would eat with look-alikes. */
  readonly safeText: boolean;
}

export interface Prompt {
  readonly text: string;
  /** Messages left out so that the others fit: the oldest but for system texts. */
  readonly droppedMessages: number;
}

const labelOf = {
  system: "system",
  developer: "system",
  user: "user",
  assistant: "assistant",
  tool: "tool",
  function: "tool",
} as const satisfies Record<Role, keyof PromptLabels>;

const separator = "\n";

/**
 * Puts system texts first, then the turns in order. A turn (a user's message with all that answers it) stays or goes
 * as a whole, oldest first; of the newest turn the last message always stays, what led to it as a whole if it fits.
 */
export function buildPrompt(messages: readonly ChatMessage[], options: PromptOptions): Prompt {
  const { maxChars, labels } = options;
  const newestAt = messages.findLastIndex((message) => !isSystem(message) && !isSilent(message));
  const newest = messages[newestAt];
  const system: string[] = [];
  let olderCount = 0;
  // Of most messages the role alone is looked at: a history can have hundreds of times what fits.
  for (let index = 0; index < messages.length; index += 1) {
    const message = messages[index] as ChatMessage;
    if (!isSystem(message)) {
      if (index < newestAt) olderCount += 1;
    } else if (!isSilent(message)) system.push(labelled(message, labels));
  }
  if (newest === undefined && system.length === 0) {
    throw new ApiError("invalid_request", "No message has any text.", { param: "messages" });
  }

  const required = newest === undefined ? system : [...system, labelled(newest, labels)];
  const isLoneUser = system.length === 0 && newest?.role === "user";
  const shortest = isLoneUser ? newest.text : required.join(separator);
  if (shortest.length > maxChars) {
    const shortestChars = countCodePoints(shortest);
    if (shortestChars > maxChars) {
      throw new ApiError(
        "context_length_exceeded",
        `System text and newest message have ${shortestChars} characters; the chat takes ${maxChars} at most.`,
        { param: "messages", overflow: { chars: shortestChars, maxChars } },
      );
    }
  }

  /** With the label that the newest message has once there are others. */
  const ending = isLoneUser ? [labels.user, newest.text] : [shortest];
  /** Newest first. */
  const older: string[] = [];
  let kept = 0;
  let droppedMessages = olderCount;
  let left = olderCount;
  // Code points are never more than UTF-16 units, so they are counted only where those don't fit.
  let units = 0;
  for (const piece of ending) units += piece.length;
  let chars: number | undefined;
  for (let index = newestAt - 1; left > 0; index -= 1) {
    const message = messages[index] as ChatMessage;
    if (isSystem(message)) continue;
    const isSaid = !isSilent(message);
    if (isSaid) {
      const piece = labelled(message, labels);
      units += separator.length + piece.length;
      if (units > maxChars) {
        chars ??= countAll(ending) + countAll(older) + older.length * separator.length;
        // Half its UTF-16 units is the least that it counts: the newest too long message may be huge.
        if (chars + piece.length / 2 > maxChars) break;
        chars += separator.length + countCodePoints(piece);
        if (chars > maxChars) break;
      }
      older.push(piece);
    }
    left -= 1;
    if (left === 0 || (isSaid && message.role === "user")) {
      kept = older.length;
      droppedMessages = left;
    }
  }

  const text =
    kept === 0
      ? shortest
      : [...system, ...older.slice(0, kept).reverse(), ...required.slice(system.length)].join(separator);
  return { text: options.safeText ? safeText(text) : text, droppedMessages };
}

/** The most messages with text that a prompt can have: each takes a line, its label and a character at least. */
export function maxMessages({ maxChars, labels }: Pick<PromptOptions, "maxChars" | "labels">): number {
  const shortestLabel = Math.min(...Object.values(labels).map(countCodePoints));
  return Math.ceil(maxChars / (separator.length + shortestLabel + 1));
}

function labelled(message: ChatMessage, labels: PromptLabels): string {
  return labels[labelOf[message.role]] + contentOf(message);
}

/** Whether a message says nothing. Most show by their first character that they do. */
function isSilent(message: ChatMessage): boolean {
  return isBlank(message.text) && isBlank(contentOf(message));
}

/** Whether nothing would be left once the site has trimmed the ends, as PHP's trim does. */
function isBlank(text: string): boolean {
  return !(text.charCodeAt(0) > 0x20) && !/[^ \t\n\r\0\v]/.test(text);
}

/** A message's text; the tool calls of an assistant, which have none, as `name(arguments)`. */
function contentOf({ role, text, native }: ChatMessage): string {
  if (role !== "assistant" || !(native.tool_calls || native.function_call)) return text;
  const lines = text === "" ? [] : [text];
  for (const call of [native.tool_calls, native.function_call].flat()) {
    const { name, arguments: input } =
      (call as ToolCall | null)?.function ?? (call as FunctionCall | null) ?? {};
    if (typeof name === "string") lines.push(`${name}(${typeof input === "string" ? input : ""})`);
  }
  return lines.join(separator);
}

function countAll(pieces: readonly string[]): number {
  return pieces.reduce((sum, piece) => sum + countCodePoints(piece), 0);
}

function countCodePoints(text: string): number {
  let count = text.length;
  for (let index = 1; index < text.length; index += 1) {
    const isPair =
      (text.charCodeAt(index) & 0xfc00) === 0xdc00 && (text.charCodeAt(index - 1) & 0xfc00) === 0xd800;
    if (isPair) count -= 1;
  }
  return count;
}
