import type { StreamPart } from "../../../types.ts";
import { cutText } from "../reply/cut-text.ts";
import type { TaskReply } from "./task.ts";

/** A reply as parts: its text, in pieces of `chunkChars` where that is given, then its calls, each as a whole. */
export function replyParts(
  { text, calls, reason, stopSequence }: TaskReply,
  chunkChars = Number.POSITIVE_INFINITY,
): StreamPart[] {
  const parts: StreamPart[] = [];
  for (const delta of cutText(text, chunkChars)) parts.push({ type: "text-delta", delta });
  for (const [index, { name, arguments: delta }] of calls.entries()) {
    const id = `call_${crypto.randomUUID().replaceAll("-", "").slice(0, 24)}`;
    parts.push({ type: "tool-call-delta", index, id, name, delta });
  }
  parts.push({ type: "finish", reason, ...(stopSequence !== undefined && { stopSequence }) });
  return parts;
}
