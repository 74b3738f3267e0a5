import { endOfTokens } from "../../../util/estimate-tokens.ts";
import { graphemeAt } from "./grapheme.ts";

export interface ReplyLimits {
  /** Texts that end the reply and are no part of it. */
  readonly stop: readonly string[];
  readonly maxTokens?: number | undefined;
}

export interface LimitedReply {
  readonly text: string;
  readonly reason: "stop" | "length";
  /** The stop text that ended it. */
  readonly stopSequence?: string;
}

/**
 * Does what the site can't: ends a reply before the first stop text, and where its tokens are used up. Those are an
 * estimate, so it errs on the long side.
 */
export function limitReply(reply: string, { stop, maxTokens }: ReplyLimits): LimitedReply {
  let stopIndex = reply.length;
  let stopSequence: string | undefined;
  for (const text of stop) {
    const index = text === "" ? -1 : reply.indexOf(text);
    if (index === -1 || index >= stopIndex) continue;
    stopIndex = index;
    stopSequence = text;
  }
  const text = reply.slice(0, graphemeAt(reply, stopIndex)[0]);
  const [, end] = maxTokens === undefined ? [0, text.length] : graphemeAt(text, endOfTokens(text, maxTokens));
  if (end < text.length) return { text: text.slice(0, end), reason: "length" };
  return { text, reason: "stop", ...(stopSequence !== undefined && { stopSequence }) };
}
