/**
 * Texts that say under which key they are kept: should a store, or a client of one, ever hand out another key's, it is told
 * to nobody. Keys end in a hash.
 */
const markOf = (key: string): string => `${key.slice(-16)} `;

export const marked = (key: string, text: string): string => markOf(key) + text;

/** The text as it was before `marked`; undefined for one of another key. */
export const unmarked = (key: string, value: string): string | undefined =>
  value.startsWith(markOf(key)) ? value.slice(markOf(key).length) : undefined;
