/**
 * The items of a chain of responses, and what its model reads of them. From a user's message on, items are read without
 * what came before, so that only the newest of them are ever read anew, however long the chain is.
 */
import type { ChatMessage, JsonObject, ResponseMemory } from "../types.ts";
import type { Items } from "./response-record.ts";
import { Transcript } from "./transcript.ts";

export interface Chain {
  readonly items: Items;
  /** What the model reads of the first items, whatever comes after them. */
  readonly settled: readonly ChatMessage[];
  /** How many items these are. */
  readonly settledItems: number;
}

export const unsettled = (items: Items): Chain => ({ items, settled: [], settledItems: 0 });

const isUsers = ({ type, role }: JsonObject): boolean => type === "message" && role === "user";

/**
 * Settles all items up to the newest message of the user; none while a call among them has its result only after that
 * message, or in `input`: a result is told beside its call.
 */
export function settle(
  { items, settled, settledItems }: Chain,
  input: Items,
  toMessages: ResponseMemory["toMessages"],
): Chain {
  const newest = items.findLastIndex(isUsers);
  if (newest <= settledItems) return { items, settled, settledItems };
  const past = items.slice(settledItems, newest);
  const later = new Set([...items.slice(newest), ...input].map(({ call_id: id }) => id));
  const goesOn = past.some(({ call_id: id }) => id !== undefined && later.has(id));
  if (goesOn) return { items, settled, settledItems };
  const more = toMessages(past, "past");
  return { items, settled: settled.concat(more), settledItems: newest };
}

/** What the model reads of a settled chain and what comes after it. */
export const transcriptOf = (
  { items, settled, settledItems }: Chain,
  input: Items,
  { instructions, toMessages }: ResponseMemory,
): Transcript => {
  const newest = settledItems === 0 ? [...items, ...input] : [...items.slice(settledItems), ...input];
  return new Transcript(toMessages(newest, "present"), settled, instructions);
};
