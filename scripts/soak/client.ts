/** A client of the gateway under soak: it says in a word what became of a request. */
import { connect } from "node:net";

export const apiKey = "sk-soak";
export const model = "kimi-k2-instruct-0905";

/** What a client got. */
export interface Answer {
  /** "ok"; an error's code, "late CODE" when it ended a stream; "left"; or what was odd. */
  readonly result: string;
  readonly text: string;
  /** Whether the turn is in the store, as far as the answer tells. */
  readonly isSaved: boolean;
}

export interface Question {
  readonly content: unknown;
  readonly stream: boolean;
  readonly headers?: Readonly<Record<string, string>>;
  readonly fields?: object;
  readonly signal?: AbortSignal;
}

export interface RawQuestion {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal?: AbortSignal;
}

const requestHeaders = { authorization: `Bearer ${apiKey}`, "content-type": "application/json" };

const bodyOf = ({ content, stream, fields }: Question): string =>
  JSON.stringify({ model, stream, messages: [{ role: "user", content }], ...fields });

const answer = (result: string, text = "", isSaved = true): Answer => ({ result, text, isSaved });

interface Chunk {
  readonly error?: { readonly code: string };
  readonly choices?: readonly { readonly delta: { readonly role?: string; readonly content?: string } }[];
}

/** Reads a whole stream of events. */
export function readStream(body: string): Answer {
  let text = "";
  let isDone = false;
  let hasRole = false;
  for (const event of body.split("\n\n")) {
    if (!event.startsWith("data: ")) continue;
    if (isDone) return answer("an event after [DONE]");
    if (event === "data: [DONE]") {
      isDone = true;
      continue;
    }
    const { error, choices } = JSON.parse(event.slice("data: ".length)) as Chunk;
    if (error !== undefined) return answer(body.endsWith("\n\n") ? `late ${error.code}` : "a cut error");
    hasRole ||= choices?.[0]?.delta.role === "assistant";
    text += choices?.[0]?.delta.content ?? "";
  }
  if (!isDone) return answer("a stream without an end");
  return answer(hasRole ? "ok" : "a stream without a role", text, !body.includes(": x-session-saved: false"));
}

function readWhole(response: Response, body: string): Answer {
  const json = JSON.parse(body);
  if (response.headers.get("x-request-id") === null) return answer("an answer without an id");
  if (response.status !== 200) return answer(json.error?.code ?? `status ${response.status} without a code`);
  const isSaved = response.headers.get("x-session-saved") !== "false";
  return answer("ok", json.choices[0].message.content, isSaved);
}

const readResponse = async (response: Response): Promise<Answer> => {
  const body = await response.text();
  const isStream = response.headers.get("content-type")?.startsWith("text/event-stream");
  return isStream ? readStream(body) : readWhole(response, body);
};

export interface Client {
  /** Requests sent so far. */
  readonly sent: number;
  ask(question: Question): Promise<Answer>;
  send(question: RawQuestion): Promise<Answer>;
  /** Asks for a stream and leaves after its first bytes. */
  leaveWithinStream(question: Question): Promise<Answer>;
  /** Asks for a stream and reads no more than 16 KiB in 10 ms. */
  readSlowly(question: Question): Promise<Answer>;
}

export function gatewayClient(origin: string): Client {
  let sent = 0;

  const request = ({
    method = "POST",
    path = "/v1/chat/completions",
    headers,
    body,
    signal,
  }: RawQuestion) => {
    sent++;
    return fetch(`${origin}${path}`, {
      method,
      headers: { ...requestHeaders, ...headers },
      ...(body !== undefined && { body }),
      ...(signal && { signal }),
    });
  };

  const orLeft = (signal: AbortSignal | undefined) => (error: unknown) => {
    if (signal?.aborted) return answer("left");
    return answer(`no answer: ${(error as Error).message}`);
  };

  const send = async (question: RawQuestion): Promise<Answer> => {
    try {
      return await readResponse(await request(question));
    } catch (error) {
      return orLeft(question.signal)(error);
    }
  };

  const rawOf = (question: Question): RawQuestion => ({
    body: bodyOf(question),
    ...(question.headers && { headers: question.headers }),
    ...(question.signal && { signal: question.signal }),
  });

  return {
    get sent() {
      return sent;
    },
    send,
    ask: (question) => send(rawOf(question)),

    async leaveWithinStream(question) {
      const controller = new AbortController();
      try {
        const response = await request({ ...rawOf(question), signal: controller.signal });
        if (!response.ok) return await readResponse(response);
        await response.body?.getReader().read();
        controller.abort();
        return answer("left");
      } catch (error) {
        return orLeft(controller.signal)(error);
      }
    },

    readSlowly(question) {
      sent++;
      const { hostname, port } = new URL(origin);
      const body = bodyOf({ ...question, stream: true });
      const head = Object.entries({ ...requestHeaders, host: `${hostname}:${port}`, connection: "close" })
        .map(([name, value]) => `${name}: ${value}\r\n`)
        .join("");
      const length = Buffer.byteLength(body);
      return new Promise((resolve) => {
        const pieces: Buffer[] = [];
        const socket = connect(Number(port), hostname, () => {
          socket.write(
            `POST /v1/chat/completions HTTP/1.1\r\n${head}content-length: ${length}\r\n\r\n${body}`,
          );
        });
        socket.on("data", (piece: Buffer) => {
          pieces.push(piece);
          socket.pause();
          setTimeout(() => socket.resume(), (piece.length / 16_384) * 10);
        });
        socket.once("error", (error) => resolve(answer(`no answer: ${error.message}`)));
        socket.once("close", () => {
          const parsed = parseResponse(Buffer.concat(pieces));
          readResponse(parsed).then(resolve, (error) => resolve(answer(`no answer: ${error.message}`)));
        });
      });
    },
  };
}

/** All that a connection has carried. */
function parseResponse(bytes: Buffer): Response {
  const headEnd = bytes.indexOf("\r\n\r\n");
  const [statusLine = "", ...lines] = bytes.toString("latin1", 0, headEnd).split("\r\n");
  const headers = new Headers(
    lines.map((line): [string, string] => [
      line.slice(0, line.indexOf(":")),
      line.slice(line.indexOf(":") + 2),
    ]),
  );
  const body = bytes.subarray(headEnd + 4);
  const isChunked = headers.get("transfer-encoding") === "chunked";
  return new Response(isChunked ? withoutChunkSizes(body) : new Uint8Array(body), {
    status: Number(statusLine.split(" ")[1]),
    headers,
  });
}

/** The body that chunked transfer coding wraps. */
function withoutChunkSizes(chunked: Buffer): Blob {
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  for (let at = 0; at < chunked.length; ) {
    const lineEnd = chunked.indexOf("\r\n", at);
    const size = Number.parseInt(chunked.toString("latin1", at, lineEnd), 16);
    if (lineEnd < 0 || !(size > 0)) break;
    pieces.push(new Uint8Array(chunked.subarray(lineEnd + 2, lineEnd + 2 + size)));
    at = lineEnd + 2 + size + 2;
  }
  return new Blob(pieces);
}
