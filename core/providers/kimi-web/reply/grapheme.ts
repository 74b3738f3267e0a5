/** Where a text may be cut so that nothing a reader sees as one character (a grapheme cluster) breaks. */

/** Made when a text first needs it. */
let segmenter: Intl.Segmenter | undefined;

/** UTF-16 units behind the place in question that the segmenter is shown at first. */
const lookahead = 32;

/**
 * Where the cluster around `index` starts and ends; both are `index` if a cluster ends there. `from` is a place before
 * `index` that is known not to be within a cluster: what stands before it is not looked at.
 */
export function graphemeAt(text: string, index: number, from = 0): readonly [start: number, end: number] {
  if (index <= from || index >= text.length || isBetweenPlain(text, index)) return [index, index];
  let start = index - 1;
  while (start > from && !isBetweenPlain(text, start)) start -= 1;
  segmenter ??= new Intl.Segmenter("en", { granularity: "grapheme" });
  for (let size = index - start + lookahead; ; size *= 2) {
    const view = text.slice(start, start + size);
    const cluster = segmenter.segment(view).containing(index - start) as Intl.SegmentData;
    const clusterStart = start + cluster.index;
    if (clusterStart === index) return [index, index];
    // One that ends with the view may go on behind it; so may one before half a surrogate pair.
    const clusterEnd = clusterStart + cluster.segment.length;
    if (clusterEnd < start + view.length - 1 || start + view.length === text.length) {
      return [clusterStart, clusterEnd];
    }
  }
}

/** Letters that are more than that: prefixes, vowel signs, the letters that Hangul syllables are built of. */
const joiningLetter = /[\u0d4e\u0e33\u0eb3\u1100-\u11ff\ua960-\ua97f\ud7b0-\ud7ff\uff9e\uff9f]/;
const plainCharacter = /[\p{L}\p{N}\p{P}\p{S}\p{Zs}]/u;

/** Whether the places before and after `index` hold plain characters, so that a cluster ends there for certain. */
function isBetweenPlain(text: string, index: number): boolean {
  return isPlain(text.charCodeAt(index - 1)) && isPlain(text.charCodeAt(index));
}

/**
 * Whether a UTF-16 unit is a whole character that never joins with another such. Emoji are not known here: they take
 * two units. https://www.unicode.org/reports/tr29/#Grapheme_Cluster_Boundary_Rules
 */
function isPlain(unit: number): boolean {
  if (unit < 0x300) return unit !== 0x0d;
  const character = String.fromCharCode(unit);
  return plainCharacter.test(character) && !joiningLetter.test(character);
}
