import type { Socket } from "bun";

/**
 * A keep-alive HTTP/1.1 connection that does no more than a benchmark needs, so that the generator stays cheap
 * beside what it measures: `fetch` would cost as much as the gateway.
 */

export interface Answer {
  readonly status: number;
  /** Milliseconds from sending the request to the first text of the reply, and to the end of the answer. */
  readonly firstTextMs: number;
  readonly totalMs: number;
  /** Milliseconds between two reads that brought events, and how many events each of those reads brought. */
  readonly gapsMs: readonly number[];
  readonly eventsPerRead: readonly number[];
  /** The answer's last 32 bytes, and all of it for the requests that asked for it. */
  readonly ending: string;
  readonly body: string;
}

export interface HttpConnection {
  /** False once the server has closed it, as it does with one that is idle for long. */
  readonly isOpen: boolean;
  /** One request at a time; rejects when the connection is cut. */
  request(bytes: Uint8Array, detail: AnswerDetail): Promise<Answer>;
  close(): void;
}

/** What to find out beyond status and times. */
export interface AnswerDetail {
  readonly keepBody: boolean;
  readonly timeReads: boolean;
}

interface Pending {
  readonly detail: AnswerDetail;
  readonly startedAt: number;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
  status: number;
  firstTextMs: number;
  lastReadAt: number;
  readonly gapsMs: number[];
  readonly eventsPerRead: number[];
  ending: string;
  body: string;
}

const doubleNewline = Buffer.from("\r\n\r\n");
/** A stream's first chunk may hold only the role: its reply begins with the first text that is not empty. */
const textStart = Buffer.from('"content":"');
const quote = 0x22;
const carriageReturn = 0x0d;
const endingBytes = 32;
const eventStart = Buffer.from("data: ");

/** Counts `needle` in `bytes`. */
function count(bytes: Buffer, needle: Buffer): number {
  let found = 0;
  for (let at = bytes.indexOf(needle); at >= 0; at = bytes.indexOf(needle, at + needle.length)) found++;
  return found;
}

function hasText(bytes: Buffer): boolean {
  for (let at = bytes.indexOf(textStart); at >= 0; at = bytes.indexOf(textStart, at + textStart.length)) {
    const next = bytes[at + textStart.length];
    if (next !== undefined && next !== quote) return true;
  }
  return false;
}

export async function connect(hostname: string, port: number): Promise<HttpConnection> {
  let pending: Pending | undefined;
  /** Bytes that wait for the rest of a header or a chunk's size line. */
  let rest: Buffer = Buffer.alloc(0);
  let inBody = false;
  let chunked = false;
  /** Bytes of the body, or of its current chunk, that are still to come. */
  let missing = 0;

  function fail(message: string): void {
    const failed = pending;
    pending = undefined;
    failed?.reject(new Error(message));
  }

  function finish(): void {
    const done = pending;
    pending = undefined;
    inBody = false;
    if (done) done.resolve({ ...done, totalMs: performance.now() - done.startedAt });
  }

  /** Returns how much of `bytes` is the header; 0 while it is not all there. */
  function readHeader(bytes: Buffer, current: Pending): number {
    const end = bytes.indexOf(doubleNewline);
    if (end < 0) return 0;
    const header = bytes.toString("latin1", 0, end).toLowerCase();
    current.status = Number(header.slice(9, 12));
    chunked = header.includes("\r\ntransfer-encoding: chunked");
    const lengthAt = header.indexOf("\r\ncontent-length: ");
    missing = lengthAt < 0 ? 0 : Number.parseInt(header.slice(lengthAt + 18), 10);
    inBody = true;
    if (!chunked && missing === 0) finish();
    return end + 4;
  }

  function readBody(bytes: Buffer, current: Pending): void {
    if (current.firstTextMs < 0 && hasText(bytes))
      current.firstTextMs = performance.now() - current.startedAt;
    current.ending = (
      current.ending + bytes.toString("latin1", Math.max(0, bytes.length - endingBytes))
    ).slice(-endingBytes);
    if (current.detail.keepBody) current.body += bytes.toString("latin1");
  }

  function timeRead(data: Buffer, current: Pending): void {
    const events = count(data, eventStart);
    if (events === 0) return;
    const now = performance.now();
    if (current.lastReadAt > 0) current.gapsMs.push(now - current.lastReadAt);
    current.lastReadAt = now;
    current.eventsPerRead.push(events);
  }

  function read(data: Buffer): void {
    const current = pending;
    if (!current) return;
    if (current.detail.timeReads) timeRead(data, current);
    const bytes = rest.length > 0 ? Buffer.concat([rest, data]) : data;
    let at = 0;
    while (pending && at < bytes.length) {
      if (!inBody) {
        const length = readHeader(bytes.subarray(at), current);
        if (length === 0) break;
        at += length;
      } else if (missing > 0) {
        const piece = bytes.subarray(at, at + missing);
        readBody(piece, current);
        at += piece.length;
        missing -= piece.length;
        if (missing === 0 && !chunked) finish();
      } else {
        // Every chunk but the first is preceded by the line end of the one before.
        const sizeAt = bytes[at] === carriageReturn ? at + 2 : at;
        const lineEnd = bytes.indexOf("\r\n", sizeAt);
        if (lineEnd < 0) break;
        missing = Number.parseInt(bytes.toString("latin1", sizeAt, lineEnd), 16);
        const last = missing === 0;
        if (last && bytes.length < lineEnd + 4) break;
        at = lineEnd + (last ? 4 : 2);
        if (last) finish();
      }
    }
    rest = at < bytes.length ? Buffer.from(bytes.subarray(at)) : Buffer.alloc(0);
  }

  let isOpen = true;
  const socket: Socket = await Bun.connect({
    hostname,
    port,
    socket: {
      binaryType: "buffer",
      data: (_, data) => read(data),
      close() {
        isOpen = false;
        fail("the connection was closed before the answer ended");
      },
      error: (_, error) => fail(error.message),
    },
  });
  socket.setNoDelay(true);

  return {
    get isOpen() {
      return isOpen;
    },
    request(bytes, detail) {
      return new Promise((resolve, reject) => {
        const startedAt = performance.now();
        pending = {
          detail,
          startedAt,
          resolve,
          reject,
          status: 0,
          firstTextMs: -1,
          lastReadAt: 0,
          gapsMs: [],
          eventsPerRead: [],
          ending: "",
          body: "",
        };
        if (socket.write(bytes) !== bytes.length) fail("the connection took no more bytes");
      });
    },
    close() {
      pending = undefined;
      socket.end();
    },
  };
}
