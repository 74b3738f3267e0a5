/**
 * Ids of stored responses and of what they hold. An item's id has that of its response in it, so that an item can be
 * found by its id alone, which is all that an `item_reference` names.
 */

/** `id`: 32 hexadecimal digits. */
export const responseId = (id: string): string => `resp_${id}`;

/** `prefix` is the kind of item, such as "msg"; `index` its place in the response: that of its input is behind its output. */
export const outputItemId = (prefix: string, id: string, index: number): string =>
  `${prefix}_${id}${index.toString(16).padStart(4, "0")}`;

/** The response that an item belongs to; undefined for ids of other makers. */
export function responseOfItem(itemId: string): string | undefined {
  const [, id] = /^[a-z]+_([0-9a-f]{32})[0-9a-f]{4}$/.exec(itemId) ?? [];
  return id === undefined ? undefined : responseId(id);
}
