/** What providers share of talking HTTP: bodies, waits that were asked for, error texts fit to be shown. */
import { ApiError } from "../../errors.ts";

/** The longest wait that is passed on; an upstream's typing error should not stop anyone for years. */
const longestRetryAfterMs = 24 * 60 * 60 * 1000;

/** Retry-After (seconds or a date) or OpenAI's finer `retry-after-ms`, as milliseconds from now. */
export function readRetryAfterMs(headers: Headers, nowMs: number): number | undefined {
  const milliseconds = headers.get("retry-after-ms");
  const value = (milliseconds ?? headers.get("retry-after"))?.trim();
  if (!value) return undefined;
  const count = Number(value);
  const waitMs = Number.isNaN(count) ? Date.parse(value) - nowMs : count * (milliseconds === null ? 1000 : 1);
  return Number.isNaN(waitMs) ? undefined : Math.min(Math.max(waitMs, 0), longestRetryAfterMs);
}

const longestErrorText = 300;

/** An upstream's text as an error message may carry it: one line, at most 300 characters, no control characters. */
export function cleanErrorText(text: string): string {
  const line = text
    .slice(0, 4 * longestErrorText)
    .replace(/[\p{Cc}\p{Cs}\u2028\u2029]+/gu, " ")
    .trim();
  const characters = Array.from(line);
  return characters.length > longestErrorText
    ? `${characters.slice(0, longestErrorText - 1).join("")}…`
    : line;
}

const errorCode = (error: unknown): string | undefined => {
  if (!(error instanceof Error)) return undefined;
  const { code, cause } = error as Error & { readonly code?: unknown };
  return typeof code === "string" ? code : errorCode(cause);
};

/** Whether a connection was closed before any answer came, as Bun (ECONNRESET) and undici (UND_ERR_SOCKET) tell. */
export const isClosedConnection = (error: unknown): boolean =>
  /^(ECONNRESET|EPIPE|UND_ERR_SOCKET)$/.test(errorCode(error) ?? "");

/** Throws what a call has failed of that failed below HTTP: the signal's reason, if that has ended it. */
export function failConnection(upstream: string, error: unknown, signal: AbortSignal): never {
  signal.throwIfAborted();
  throw connectionError(upstream, error);
}

/** A failure below HTTP, as the platform's fetch reports it: Bun and Deno by `code`, Node by its cause's. */
function connectionError(upstream: string, error: unknown): ApiError {
  const code = errorCode(error);
  if ((error instanceof Error && error.name === "TimeoutError") || /time(d)?_?out/i.test(code ?? "")) {
    return new ApiError("upstream_timeout", `${upstream} did not answer in time.`, { cause: error });
  }
  const detail = code !== undefined && /^\w{3,40}$/.test(code) ? ` (${code})` : "";
  return new ApiError("upstream_unreachable", `The connection to ${upstream} failed${detail}.`, {
    cause: error,
  });
}

const lengthOf = ({ headers }: Response): number => {
  const length = headers.get("content-length");
  // A compressed body's length says nothing.
  return length === null || headers.has("content-encoding") ? Number.POSITIVE_INFINITY : Number(length);
};

const nothing: Promise<undefined> = Promise.resolve(undefined);

/** A response's body as text; one known to have at most `maxWholeBytes` comes in one piece, which is much faster. */
export class BodyReader {
  readonly #response: Response;
  readonly #maxWholeBytes: number;
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  #decoder: TextDecoder | undefined;
  #isOver = false;

  constructor(response: Response, maxWholeBytes: number) {
    this.#response = response;
    this.#maxWholeBytes = maxWholeBytes;
  }

  /** The next piece, as it arrives; undefined at the end. */
  next(): Promise<string | undefined> {
    if (this.#isOver) return nothing;
    if (this.#reader === undefined) {
      // Before `body` is touched: in Bun that alone costs more than all the rest.
      if (lengthOf(this.#response) <= this.#maxWholeBytes) {
        this.#isOver = true;
        return this.#response.text();
      }
      this.#reader = this.#response.body?.getReader();
      this.#isOver = this.#reader === undefined;
      if (this.#reader === undefined) return nothing;
    }
    return this.#reader.read().then(({ done, value }) => this.#decode(done ? undefined : value));
  }

  /** Whether there is nothing left to be read. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Lets go of a body that has not been read to its end, and of its connection. */
  release(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    (this.#reader ?? this.#response.body)?.cancel().catch(() => {});
  }

  #decode(bytes: Uint8Array | undefined): string {
    this.#decoder ??= new TextDecoder();
    if (bytes !== undefined) return this.#decoder.decode(bytes, { stream: true });
    this.#isOver = true;
    return this.#decoder.decode();
  }
}

/** All of a body; undefined, and let go of, when it has more than `maxChars` characters. */
export async function readWhole(body: BodyReader, maxChars: number): Promise<string | undefined> {
  let whole = "";
  for (let text = await body.next(); text !== undefined; text = await body.next()) {
    whole += text;
    if (whole.length > maxChars) {
      body.release();
      return undefined;
    }
  }
  return whole;
}
