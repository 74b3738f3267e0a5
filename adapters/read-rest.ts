/** The rest of a request's body that an early refusal has left unread. */

const maxRestBytes = 256 * 1024 * 1024;
const maxRestMs = 10_000;

/**
 * Reads what is left of a body, and throws it away. After an answer Bun closes the connection, or takes what still comes
 * for the next request: a client that is still sending would get EPIPE in place of its 413 or 401.
 */
export async function readRest({ body }: Request): Promise<void> {
  if (body === null || body.locked) return;
  const reader = body.getReader();
  const timer = setTimeout(() => reader.cancel().catch(() => {}), maxRestMs);
  try {
    for (let bytes = 0; bytes <= maxRestBytes; ) {
      const { done, value } = await reader.read();
      if (done) break;
      bytes += value.length;
    }
  } catch {
    // The client has left.
  } finally {
    clearTimeout(timer);
  }
}
