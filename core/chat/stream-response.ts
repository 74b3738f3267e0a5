/** The body of a streamed answer: its texts as they come, and a sign of life in each silence. */
import { withoutSeparators } from "../http/sse.ts";
import type { Clock } from "../types.ts";

export const streamHeaders = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-cache, no-transform",
  // nginx and its like would gather the stream first.
  "x-accel-buffering": "no",
};

export interface StreamOptions {
  readonly clock: Clock;
  /** Silence, in milliseconds, after which `keepAlive` is sent. */
  readonly keepAliveMs: number;
  /** Gets how long there has been no text, in milliseconds. */
  readonly keepAlive: (silentMs: number) => string;
  /** Called once when all texts have been handed over. */
  readonly onEnd: () => void;
  /** Called once when `texts` fails; returns the last text to send. */
  readonly onError: (error: unknown) => string;
  /** Called once when the reader goes away before the end. */
  readonly onCancel: () => void;
}

const encoder = new TextEncoder();

/** Before a piece larger than its buffer of 16 KiB, Bun sends every header in system calls of its own, fifty or more. */
const maxPieceBytes = 8 * 1024;

const enqueue = (controller: ReadableStreamDefaultController<Uint8Array>, text: string): void => {
  const bytes = encoder.encode(withoutSeparators(text));
  if (bytes.length <= maxPieceBytes) controller.enqueue(bytes);
  else {
    for (let at = 0; at < bytes.length; at += maxPieceBytes) {
      controller.enqueue(bytes.subarray(at, at + maxPieceBytes));
    }
  }
};

/**
 * A response body of `first` and of the texts that are yielded and, as the last one, returned. It asks for the next one
 * only when the reader wants it, so a slow reader holds the upstream back and fills no memory. What is there from the
 * start goes out together with the headers: Bun sends these alone otherwise, and the text up to a millisecond later.
 */
export function createStream(
  first: string,
  texts: AsyncIterator<string, string>,
  { clock, keepAliveMs, keepAlive, onEnd, onError, onCancel }: StreamOptions,
): ReadableStream<Uint8Array> {
  let lastBytesMs = clock.monotonic();
  let lastTextMs = lastBytesMs;
  let isWaiting = false;
  let isOver = false;
  let cancelTimer = () => {};
  const stop = () => {
    isOver = true;
    cancelTimer();
  };

  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        if (first !== "") enqueue(controller, first);
        const beat = () => {
          const silentMs = clock.monotonic() - lastBytesMs;
          // One that the client has not read yet is enough.
          if (silentMs >= keepAliveMs && isWaiting && (controller.desiredSize ?? 0) >= 0) {
            lastBytesMs = clock.monotonic();
            enqueue(controller, keepAlive(lastBytesMs - lastTextMs));
          }
          cancelTimer = clock.schedule(beat, silentMs < keepAliveMs ? keepAliveMs - silentMs : keepAliveMs);
        };
        cancelTimer = clock.schedule(beat, keepAliveMs);
      },
      async pull(controller) {
        isWaiting = true;
        let text: string;
        let isLast = true;
        try {
          const { value, done } = await texts.next();
          text = value;
          isLast = done === true;
          if (isLast && !isOver) onEnd();
        } catch (error) {
          text = isOver ? "" : onError(error);
        }
        isWaiting = false;
        if (isOver) return;
        lastBytesMs = lastTextMs = clock.monotonic();
        enqueue(controller, text);
        if (isLast) {
          stop();
          controller.close();
        }
      },
      cancel() {
        stop();
        onCancel();
      },
    },
    { highWaterMark: 0 },
  );
}
