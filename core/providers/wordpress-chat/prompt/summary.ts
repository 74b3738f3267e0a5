/** The running summary of a conversation: what no longer fits, in few words, for the next turn. */
import type { ChatRequest, ConversationSummary } from "../../../types.ts";
import { isSystem } from "../../../util/messages.ts";
import { condense, cutForCondensing } from "./condense.ts";
import type { CondensingOptions } from "./long-input.ts";
import { readPiece, separator } from "./piece.ts";

/** How much of the limit a summary may take. */
const share = 0.25;

/**
 * Summarises all messages before the newest question, from the summary so far and what came after it. Undefined where
 * there is nothing new, or it would take more calls than allowed. Rejects where a call fails.
 */
export async function summarize(
  { messages, conversation: { summary } }: ChatRequest,
  { maxChars, labels, longInput, context, ask }: CondensingOptions,
): Promise<ConversationSummary | undefined> {
  const told = messages.filter((message) => !isSystem(message));
  const end = told.findLastIndex(({ role }) => role === "user");
  const start = summary === undefined ? 0 : Math.max(told.length - summary.recentMessages, 0);
  if (end <= start) return undefined;
  const added = told.slice(start, end).flatMap((message, index) => {
    const piece = readPiece(message, index, labels);
    return piece === undefined ? [] : [piece.label + piece.text];
  });
  const text = [...(summary ? [summary.text] : []), ...added].join(separator);
  const targetChars = Math.floor(maxChars * share);
  const pieces = cutForCondensing(text, maxChars, longInput.maxCalls);
  if (pieces === undefined) return undefined;
  const condensed = await condense(pieces, targetChars, longInput.maxCalls, {
    maxChars,
    ask: (piece) => ask(piece, context),
    extraSlot: context.extraSlot,
  });
  return { text: condensed.text, recentMessages: told.length - end };
}
