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
}

/**
 * Does what the site can't: ends a reply before the first stop text, and where its tokens are used up. Those are an
 * estimate, so it errs on the long side.
 */
export function limitReply(reply: string, { stop, maxTokens }: ReplyLimits): LimitedReply {
  let stopIndex = reply.length;
  for (const text of stop) {
    const index = text === "" ? -1 : reply.indexOf(text);
    if (index !== -1 && index < stopIndex) stopIndex = index;
  }
  const text = reply.slice(0, graphemeAt(reply, stopIndex)[0]);
  if (maxTokens === undefined) return { text, reason: "stop" };
  const [, end] = graphemeAt(text, endOfTokens(text, maxTokens));
  return end === text.length ? { text, reason: "stop" } : { text: text.slice(0, end), reason: "length" };
}
