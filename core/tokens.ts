import { estimateTokenCount, isWithinTokenLimit, sliceByTokens } from "tokenx";

/** About how many tokens a text has: an estimate by rules of thumb, some percent off, but cheap and for any model. */
export const estimateTokens = (text: string): number => estimateTokenCount(text);

/** About where the first `maxTokens` tokens of a text end; its length if it has no more. */
export function endOfTokens(text: string, maxTokens: number): number {
  // Hardly any character takes more than one token, and counting takes time.
  if (maxTokens >= text.length || isWithinTokenLimit(text, maxTokens)) return text.length;
  return sliceByTokens(text, 0, maxTokens).length;
}
