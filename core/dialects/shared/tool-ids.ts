/**
 * Ids of tool calls for clients that take only letters, digits, "_" and "-", as Anthropic's do. An id like Kimi's
 * `functions.name:0` is written with escapes, and read back when the client answers the call: the upstream sees its own.
 */

const prefix = "toolu_x-";
const safe = /^[\w-]+$/;

/** A UTF-16 unit as two hexadecimal digits, or as "u" and four. */
const escaped = (unit: string): string => {
  const code = unit.charCodeAt(0);
  return code < 0x100 ? `-${code.toString(16).padStart(2, "0")}` : `-u${code.toString(16).padStart(4, "0")}`;
};

/** An upstream's id as one that is safe: itself, wherever it is. */
export const toSafeToolId = (id: string): string =>
  safe.test(id) && !id.startsWith(prefix) ? id : prefix + id.replace(/\W/g, escaped);

/** The upstream's id; any other text is its own. */
export function fromSafeToolId(id: string): string {
  if (!id.startsWith(prefix)) return id;
  const original = id
    .slice(prefix.length)
    .replace(/-(?:u([0-9a-f]{4})|([0-9a-f]{2}))/g, (_, long?: string, short?: string) =>
      String.fromCharCode(Number.parseInt(long ?? short ?? "", 16)),
    );
  // A client's own id may begin so too.
  return toSafeToolId(original) === id ? original : id;
}
