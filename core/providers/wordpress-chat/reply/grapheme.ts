/** Made with the first text: on Node that takes 10 ms, which a start need not wait for. */
let segmenter: Intl.Segmenter | undefined;

/** UTF-16 units behind the place in question that the segmenter is shown at first: Node takes all of a text each time. */
const lookahead = 32;

/** Latin letters, signs and ideographs: none of them joins another, but for the two of a line break. */
const standsAlone = (code: number): boolean => code < 0x300 || (code >= 0x4e00 && code < 0xa000);

/** Whether it takes no segmenter to see that a cluster ends there: asked each time, it took a third of a streamed reply. */
const isPlainBoundary = (text: string, index: number): boolean =>
  standsAlone(text.charCodeAt(index - 1)) &&
  standsAlone(text.charCodeAt(index)) &&
  !text.startsWith("\r\n", index - 1);

/**
 * Where the grapheme cluster (what a reader sees as one character) around `index` starts and ends; both are `index` if
 * a cluster ends there. `from` is an earlier place at which a cluster is known to start.
 */
export function graphemeAt(text: string, index: number, from = 0): readonly [start: number, end: number] {
  if (index <= from || index >= text.length || isPlainBoundary(text, index)) return [index, index];
  segmenter ??= new Intl.Segmenter("en", { granularity: "grapheme" });
  for (let size = lookahead; ; size *= 2) {
    const view = text.slice(from, index + size);
    const cluster = segmenter.segment(view).containing(index - from) as Intl.SegmentData;
    const start = from + cluster.index;
    if (start === index) return [index, index];
    // A cluster that ends with the view may go on behind it; so may one before half a surrogate pair.
    const end = start + cluster.segment.length;
    if (end < from + view.length - 1 || from + view.length === text.length) return [start, end];
  }
}
