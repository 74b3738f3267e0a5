/** The rest of a request's body that an early refusal has left unread. */

const maxRestBytes = 256 * 1024 * 1024;
const maxRestMs = 10_000;
/** A client that has sent nothing for so long waits for the answer, or is gone. */
const maxPauseMs = 500;

const pause = Symbol("pause");

/**
 * Reads what a client is still sending, and throws it away. After an answer Bun closes the connection, or takes what
 * still comes for the next request: the client would get EPIPE in place of its 413 or 401.
 */
export async function readRest({ body }: Request): Promise<void> {
  if (body === null || body.locked) return;
  const reader = body.getReader();
  const startedMs = performance.now();
  try {
    for (let bytes = 0; bytes <= maxRestBytes && performance.now() - startedMs < maxRestMs; ) {
      let timer: ReturnType<typeof setTimeout> | undefined;
      const paused = new Promise<typeof pause>((resolve) => {
        timer = setTimeout(resolve, maxPauseMs, pause);
      });
      const read = await Promise.race([reader.read(), paused]).finally(() => clearTimeout(timer));
      if (read === pause || read.done) return;
      bytes += read.value.length;
    }
  } catch {
    // The client has left.
  }
}
