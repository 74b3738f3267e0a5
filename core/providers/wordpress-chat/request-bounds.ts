/**
 * What a request to the site may ask for. The site takes a text and nothing else; what the gateway does in its place, or
 * leaves out, has OpenAI's bounds, so that a mistake shows.
 */
import { ApiError } from "../../errors.ts";
import type { Attachment, ChatMessage, ChatRequest, JsonObject } from "../../types.ts";
import { isRecord } from "../../util/json.ts";
import { roles } from "../../util/roles.ts";
import { attachmentType } from "./prompt/piece.ts";

interface Bound {
  readonly min: number;
  readonly max: number;
  readonly isWhole?: boolean;
  readonly remedy?: string;
}

const tokens: Bound = {
  min: 1,
  max: Number.MAX_SAFE_INTEGER,
  isWhole: true,
  remedy: "; leave it out for no limit",
};

const bounds = Object.entries<Bound>({
  max_tokens: tokens,
  max_completion_tokens: tokens,
  temperature: { min: 0, max: 2 },
  top_p: { min: 0, max: 1 },
  presence_penalty: { min: -2, max: 2 },
  frequency_penalty: { min: -2, max: 2 },
  top_logprobs: { min: 0, max: 20, isWhole: true },
});

/** Each is looked for in the whole reply. */
const maxStops = 64;

const toolChoices: ReadonlySet<unknown> = new Set([
  ...[undefined, null, "auto", "none", "required", "any"],
  ...["function", "tool", "allowed_tools"],
]);
const formats: ReadonlySet<unknown> = new Set([undefined, null, "text", "json_object", "json_schema"]);

const invalid = (param: string, problem: string): ApiError =>
  new ApiError("invalid_request", `${param} ${problem}.`, { param });

function checkNumber(native: JsonObject, param: string, { min, max, isWhole, remedy = "" }: Bound): void {
  const value = native[param];
  if (value === undefined || value === null) return;
  const isFit = typeof value === "number" && value >= min && value <= max;
  if (isFit && (!isWhole || Number.isInteger(value))) return;
  const kind = isWhole ? "a whole number" : "a number";
  const range = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`;
  throw invalid(param, `must be ${kind} ${range}${remedy}`);
}

const isUsers = ({ role }: ChatMessage): boolean => role === "user";

/** Throws ApiError: invalid_request for what nobody could do, unsupported_* for what another upstream may do. */
export function checkRequest({ messages, choices, stop, native }: ChatRequest): void {
  for (const [param, bound] of bounds) checkNumber(native, param, bound);
  if (stop.length > maxStops) throw invalid("stop", `must hold at most ${maxStops} texts`);

  const stranger = messages.findIndex((message) => !roles.has(message.native.role));
  if (stranger >= 0)
    throw unsupported(
      `messages[${stranger}].role`,
      `be told messages of other roles than ${[...roles].join(", ")}`,
    );
  // Those of older messages are told as marks, lest one picture end a chat.
  const { attachments = [] } = messages.findLast(isUsers) ?? {};
  if (attachments.length > 0) throw textOnly(attachments);
  if (choices > 1) throw unsupported("n", "give more than one reply to a request");
  const { response_format: format, tool_choice: choice } = native;
  if (!toolChoices.has(isRecord(choice) ? choice.type : choice))
    throw unsupported("tool_choice", "call tools by a choice of that kind");
  if (format != null && !(isRecord(format) && formats.has(format.type)))
    throw unsupported("response_format", "be held to a format of that kind");
}

function textOnly(attachments: readonly Attachment[]): ApiError {
  const types = new Set(attachments.map(attachmentType));
  const kinds = [...types].map((type) => (type === "audio" ? type : `${type}s`)).join(", ");
  return new ApiError(
    "unsupported_content",
    // The client named them, and at any length.
    `The chat site takes text only: no ${kinds.slice(0, 200)}. Send the message as text alone.`,
    { param: "messages" },
  );
}

const unsupported = (param: string, what: string): ApiError =>
  new ApiError(
    "unsupported_parameter",
    `The chat site can't ${what}. Change ${param}, or use a model of another upstream.`,
    { param },
  );
