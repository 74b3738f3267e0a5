/**
 * What WordPress's sanitize_text_field and sanitize_textarea_field would take out of a message:
 * - a `<` with what follows it, as a tag (strip_tags), or else they write `&lt;`, three characters more;
 * - `%` with two hex digits, again and again, and blanks in a row as well once they have found any. Replaced here,
 *   none can come together either, as nothing else is taken out of the middle of a text;
 * - the whole message if it isn't UTF-8; URLSearchParams sends half a surrogate pair as U+FFFD, so it is that here.
 * All else arrives: NUL and other control characters only go with a `<` or at the message's ends, as blanks do.
 * https://github.com/WordPress/WordPress/blob/6.8/wp-includes/formatting.php (_sanitize_text_fields)
 */
const eaten = /<|%(?=[0-9a-f]{2})|\p{Surrogate}/giu;
/** Found many times faster; most texts have none. */
const suspicious = /[<%\ud800-\udfff]/;

const lookAlikes = [
  ["<", "＜"],
  ["%", "％"],
] as const;

/** Writes what the site would eat with look-alikes, one character for one; all other text comes back as it is. */
export function safeText(text: string): string {
  if (!suspicious.test(text)) return text;
  return text.replace(eaten, (character) => (character === "<" ? "＜" : character === "%" ? "％" : "\ufffd"));
}

/**
 * Turns look-alikes back in a reply to `text`, which was sent as `written`: each kind that was written there and that the
 * text itself had nowhere, so that code survives the way there and back. Undefined where there is nothing to turn. A reply
 * may be given in pieces: each look-alike is one character.
 */
export function lookAlikeRestorer(text: string, written: string): ((reply: string) => string) | undefined {
  if (written === text) return undefined;
  const used = lookAlikes.filter(([, lookAlike]) => written.includes(lookAlike) && !text.includes(lookAlike));
  if (used.length === 0) return undefined;
  return (reply) => {
    let restored = reply;
    for (const [character, lookAlike] of used) restored = restored.replaceAll(lookAlike, character);
    return restored;
  };
}
