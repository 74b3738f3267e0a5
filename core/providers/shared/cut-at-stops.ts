/** Ends a reply at the first of some texts, for upstreams that take fewer of them than a client may send. */
import type { StreamPart, UpstreamEvent } from "../../types.ts";

/** Where a stop text begins, and which it is. */
function findStop(
  text: string,
  stops: readonly string[],
): { readonly at: number; readonly stop: string } | undefined {
  let found: { at: number; stop: string } | undefined;
  for (const stop of stops) {
    const at = text.indexOf(stop);
    if (at >= 0 && (found === undefined || at < found.at)) found = { at, stop };
  }
  return found;
}

/** Where the longest end of a text begins that could become a stop text. */
function safeEnd(text: string, stops: readonly string[]): number {
  const longest = Math.max(...stops.map(({ length }) => length)) - 1;
  for (let at = Math.max(0, text.length - longest); at < text.length; at++) {
    if (stops.some((stop) => stop.startsWith(text.slice(at)))) return at;
  }
  return text.length;
}

/**
 * The events of one reply, up to the first stop text; what could be the beginning of one is held back. Stops reading
 * there, which ends the upstream's call.
 */
export async function* cutAtStops(
  batches: AsyncIterable<readonly UpstreamEvent[]>,
  stops: readonly string[],
): AsyncGenerator<readonly UpstreamEvent[], undefined> {
  let held = "";
  for await (const events of batches) {
    const parts: StreamPart[] = [];
    for (const part of events.flatMap((event) => event.parts)) {
      if (part.type === "usage") {
        parts.push(part);
        continue;
      }
      const isText = part.type === "text-delta";
      const text = isText ? held + part.delta : held;
      const end = isText ? safeEnd(text, stops) : text.length;
      const found = findStop(text, stops);
      // One that begins before it may still come.
      const isCut = found !== undefined && found.at <= end;
      const delta = text.slice(0, isCut ? found.at : end);
      if (delta !== "") parts.push({ type: "text-delta", delta });
      if (isCut) {
        parts.push({ type: "finish", reason: "stop", stopSequence: found.stop });
        yield [{ parts }];
        return;
      }
      held = text.slice(end);
      if (!isText) parts.push(part);
    }
    if (parts.length > 0) yield [{ parts }];
  }
}
