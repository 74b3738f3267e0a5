/** The messages of a chat as the pieces of one text. */
import type { Attachment, ChatMessage, Role } from "../../../types.ts";
import { isSystem } from "../../../util/messages.ts";
import type { PromptLabels } from "../settings.ts";
import { countCodePoints, leastShortened, shorten } from "./shorten.ts";

/** What stands between two pieces. */
export const separator = "\n";

/** A message's place in the prompt. Sizes are code points, with the label and the separator before it. */
export interface Piece {
  /** The message's index in the chat. */
  readonly index: number;
  readonly kind: "system" | "question" | "reply";
  readonly label: string;
  readonly text: string;
  /** The size of the whole piece. */
  readonly size: number;
  /** The least that is told of it where it is told at all: a line. */
  readonly leastSize: number;
  /** What is told of it so far; 0 for nothing. */
  share: number;
}

/** How much a line is: less of a message is not worth its label and the mark of what is missing. */
const lineSize = 80;

const labelOf = {
  system: "system",
  developer: "system",
  user: "user",
  assistant: "assistant",
  tool: "tool",
  function: "tool",
} as const satisfies Record<Role, keyof PromptLabels>;

/** Undefined for a message that says nothing. */
export function readPiece(message: ChatMessage, index: number, labels: PromptLabels): Piece | undefined {
  const text = contentOf(message);
  if (isBlank(text)) return undefined;
  const kind = isSystem(message) ? "system" : message.role === "user" ? "question" : "reply";
  return createPiece(kind, { index, label: labels[labelOf[message.role]], text });
}

export function createPiece(
  kind: Piece["kind"],
  { index, label, text }: Pick<Piece, "index" | "label" | "text">,
): Piece {
  const overhead = separator.length + countCodePoints(label);
  const size = overhead + countCodePoints(text);
  const leastSize = Math.min(size, Math.max(lineSize, overhead + leastShortened));
  return { index, kind, label, text, size, leastSize, share: 0 };
}

/** The piece as it is told, without the separator. */
export function tellPiece({ label, text, size, share }: Piece): string {
  if (share >= size) return label + text;
  return label + shorten(text, share - separator.length - countCodePoints(label));
}

/** Whether a message has nothing that the model could read. Most show by their first character that they have. */
export function isSilent(message: ChatMessage): boolean {
  return isBlank(message.text) && isBlank(contentOf(message));
}

/** Whether nothing would be left once the site has trimmed the ends, as PHP's trim does. */
function isBlank(text: string): boolean {
  return !(text.charCodeAt(0) > 0x20) && !/[^ \t\n\r\0\v]/.test(text);
}

/** A message's text; what it has beside text as `[image]`; the tool calls of an assistant as `name(arguments)`. */
function contentOf(message: ChatMessage): string {
  const { text, attachments = [] } = message;
  const marks = attachments.map(attachmentMark).join(" ");
  const said = marks === "" ? text : text === "" ? marks : `${text} ${marks}`;
  const calls = callsOf(message);
  return calls.length === 0 ? said : [...(said === "" ? [] : [said]), ...calls].join(separator);
}

const shortTypes: Readonly<Record<string, string>> = {
  image_url: "image",
  input_image: "image",
  input_audio: "audio",
  input_file: "file",
};

/** The longest name that is repeated of a file or of a kind of attachment. */
const maxNameLength = 100;

/** What an attachment is called, such as "image". */
export const attachmentType = ({ type }: Attachment): string =>
  (shortTypes[type] ?? type).slice(0, maxNameLength);

function attachmentMark(attachment: Attachment): string {
  const { name } = attachment;
  const named =
    name === undefined
      ? ""
      : ` ${name
          .replace(/[\s[\]]+/g, " ")
          .trim()
          .slice(0, maxNameLength)}`;
  return `[${attachmentType(attachment)}${named}]`;
}

/** A tool call as Chat Completions has it, and the older form of one. */
interface FunctionCall {
  readonly name?: unknown;
  readonly arguments?: unknown;
}
interface ToolCall {
  readonly function?: FunctionCall;
}

function callsOf({ role, native }: ChatMessage): string[] {
  if (role !== "assistant" || !(native.tool_calls || native.function_call)) return [];
  return [native.tool_calls, native.function_call].flat().flatMap((call) => {
    const { name, arguments: input } =
      (call as ToolCall | null)?.function ?? (call as FunctionCall | null) ?? {};
    return typeof name === "string" ? [`${name}(${typeof input === "string" ? input : ""})`] : [];
  });
}
