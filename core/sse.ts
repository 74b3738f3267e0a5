/** Server-sent events: framing, and a body stream that keeps silent connections alive. */
import type { Clock } from "./types.ts";

/** One event. `data` has no line breaks, as JSON never has. */
export const encodeSseEvent = (data: string): string => `data: ${data}\n\n`;

/** A line that every parser skips. */
export const encodeSseComment = (comment: string): string => `: ${comment}\n\n`;

export interface SseStreamOptions {
  readonly clock: Clock;
  /** Silence, in milliseconds, after which a comment line is sent. */
  readonly keepAliveMs: number;
  /** Called once when the reader goes away before the end. */
  readonly onCancel: () => void;
}

const encoder = new TextEncoder();

/**
 * A response body of the texts that `next` resolves to, until undefined. It asks for the next one only when the
 * reader wants it, so a slow reader holds the upstream back and not memory. `next` never rejects.
 */
export function sseStream(
  next: () => Promise<string | undefined>,
  { clock, keepAliveMs, onCancel }: SseStreamOptions,
): ReadableStream<Uint8Array> {
  let lastBytesMs = clock.now();
  let reading = false;
  let cancelBeat = () => {};
  const stop = () => {
    cancelBeat();
    cancelBeat = () => {};
  };

  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        const beat = () => {
          const silentMs = clock.now() - lastBytesMs;
          // A comment in the queue that nobody has read yet is enough.
          if (silentMs >= keepAliveMs && reading && (controller.desiredSize ?? 0) >= 0) {
            controller.enqueue(encoder.encode(encodeSseComment("keep-alive")));
            lastBytesMs = clock.now();
          }
          cancelBeat = clock.schedule(beat, silentMs >= keepAliveMs ? keepAliveMs : keepAliveMs - silentMs);
        };
        cancelBeat = clock.schedule(beat, keepAliveMs);
      },
      async pull(controller) {
        reading = true;
        const text = await next();
        reading = false;
        lastBytesMs = clock.now();
        if (text !== undefined) return controller.enqueue(encoder.encode(text));
        stop();
        controller.close();
      },
      cancel() {
        stop();
        onCancel();
      },
    },
    { highWaterMark: 0 },
  );
}
