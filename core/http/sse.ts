/** Server-sent events: framing, and a body stream that keeps silent connections alive. */
import type { Clock } from "../types.ts";

/** One event. `data` has no line breaks, as JSON never has. */
export const encodeSseEvent = (data: string): string => `data: ${data}\n\n`;

/** A line that every parser skips. */
export const encodeSseComment = (comment: string): string => `: ${comment}\n\n`;

export interface SseStreamOptions {
  readonly clock: Clock;
  /** Silence, in milliseconds, after which a comment line is sent. */
  readonly keepAliveMs: number;
  /** Called once when `texts` fails; returns the last text to send. */
  readonly onError: (error: unknown) => string;
  /** Called once when the reader goes away before the end. */
  readonly onCancel: () => void;
}

const encoder = new TextEncoder();

/** Before a piece larger than its buffer of 16 KiB, Bun sends every header in system calls of its own, fifty or more. */
const maxPieceBytes = 8 * 1024;

const enqueue = (controller: ReadableStreamDefaultController<Uint8Array>, text: string): void => {
  const bytes = encoder.encode(text);
  if (bytes.length <= maxPieceBytes) {
    controller.enqueue(bytes);
    return;
  }
  for (let at = 0; at < bytes.length; at += maxPieceBytes) {
    controller.enqueue(bytes.subarray(at, at + maxPieceBytes));
  }
};

/** A response body of events that are all there. */
export const sseBody = (text: string): string | ReadableStream<Uint8Array> =>
  // No character has more than three bytes for one unit of length.
  text.length * 3 <= maxPieceBytes
    ? text
    : new ReadableStream<Uint8Array>({
        start(controller) {
          enqueue(controller, text);
          controller.close();
        },
      });

/**
 * A response body of the texts that are yielded and, as the last one, returned. It asks for the next one only when
 * the reader wants it, so a slow reader holds the upstream back and fills no memory.
 */
export function sseStream(
  texts: AsyncIterator<string, string>,
  { clock, keepAliveMs, onError, onCancel }: SseStreamOptions,
): ReadableStream<Uint8Array> {
  let lastBytesMs = clock.now();
  let reading = false;
  let over = false;
  let cancelBeat = () => {};
  const stop = () => {
    over = true;
    cancelBeat();
  };

  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        const beat = () => {
          const silentMs = clock.now() - lastBytesMs;
          // A comment that nobody has read yet is enough.
          if (silentMs >= keepAliveMs && reading && (controller.desiredSize ?? 0) >= 0) {
            lastBytesMs = clock.now();
            controller.enqueue(encoder.encode(encodeSseComment("keep-alive")));
          }
          cancelBeat = clock.schedule(beat, silentMs < keepAliveMs ? keepAliveMs - silentMs : keepAliveMs);
        };
        cancelBeat = clock.schedule(beat, keepAliveMs);
      },
      pull(controller) {
        const send = ({ value, done }: { readonly value: string; readonly done?: boolean | undefined }) => {
          reading = false;
          if (over) return;
          lastBytesMs = clock.now();
          if (value !== "") enqueue(controller, value);
          if (done) {
            stop();
            controller.close();
          }
        };
        reading = true;
        return texts.next().then(send, (error) => send({ value: over ? "" : onError(error), done: true }));
      },
      cancel() {
        stop();
        onCancel();
      },
    },
    { highWaterMark: 0 },
  );
}
