import { estimateTokenCount } from "tokenx";

/** About how many tokens a text has: an estimate by rules of thumb, some percent off, but cheap and for any model. */
export const estimateTokens = (text: string): number => estimateTokenCount(text);
