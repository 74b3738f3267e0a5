import { graphemeAt } from "./grapheme.ts";

/**
 * Cuts a text into pieces of `chunkChars` UTF-16 units, or a few more where a cut would break what a reader sees as
 * one character.
 */
export function* cutText(text: string, chunkChars: number): Generator<string, void> {
  for (let start = 0; start < text.length; ) {
    const [, end] = graphemeAt(text, Math.min(start + chunkChars, text.length), start);
    yield text.slice(start, end);
    start = end;
  }
}
