/** HTTP as no client library would send it. */
import { connect } from "node:net";

export interface RawAnswer {
  /** 0 where the connection ended without an answer. */
  readonly status: number;
  readonly text: string;
  /** How many answers came. */
  readonly count: number;
}

export interface RawOptions {
  /** Whether the sender closes its side after the last byte. */
  readonly endsAfter?: boolean;
  /** Reads on for this long after the first answer; without it the connection is closed then. */
  readonly readMs?: number;
  readonly timeoutMs?: number;
}

/** Whether the first answer is there to its end. */
function isWhole(text: string): boolean {
  const [head = "", ...rest] = text.split("\r\n\r\n");
  if (rest.length === 0) return false;
  const body = rest.join("\r\n\r\n");
  if (/^transfer-encoding: chunked/im.test(head)) return /(?:^|\r\n)0\r\n/.test(body);
  return body.length >= Number(/^content-length: (\d+)/im.exec(head)?.[1] ?? 0);
}

/** Sends bytes and reads what comes back until an answer is there, or the connection ends. */
export function rawRequest(
  url: string,
  pieces: readonly (string | Uint8Array)[],
  { endsAfter = false, readMs = 0, timeoutMs = 5000 }: RawOptions = {},
): Promise<RawAnswer> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname);
    let text = "";
    let isAnswered = false;
    const finish = () => {
      clearTimeout(timer);
      socket.destroy();
      const statuses = [...text.matchAll(/^HTTP\/1\.1 (\d{3})/gm)];
      resolve({ status: Number(statuses[0]?.[1] ?? 0), text, count: statuses.length });
    };
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new Error(`neither an answer nor an end within ${timeoutMs} ms`));
    }, timeoutMs);
    socket.on("data", (bytes) => {
      text += bytes.toString("latin1");
      if (isAnswered || !isWhole(text)) return;
      isAnswered = true;
      setTimeout(finish, readMs);
    });
    socket.on("error", finish);
    socket.on("close", finish);
    socket.on("connect", () => {
      for (const piece of pieces) socket.write(piece);
      if (endsAfter) socket.end();
    });
  });
}
