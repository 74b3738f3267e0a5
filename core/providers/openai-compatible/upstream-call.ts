/** One request at an OpenAI-compatible upstream, from its first byte to the end of its connection. */
import { ApiError } from "../../errors.ts";
import type { Clock, Fetch, UpstreamEvent } from "../../types.ts";
import { BodyReader, failConnection, isClosedConnection } from "../shared/upstream-http.ts";
import type { AnswerReader } from "./reply-body.ts";

/** What all requests at one upstream have in common. */
export interface UpstreamEndpoint {
  readonly name: string;
  readonly url: string;
  readonly headers: Headers;
  readonly send: Fetch;
  readonly clock: Clock;
  /** The most characters that one event, or a reply that is not a stream, may have. */
  readonly maxEventChars: number;
  /** The most characters that a whole answer may have, whatever they are. */
  readonly maxAnswerChars: number;
  /** Makes an ApiError of an error object that came in place of, or amid, a reply. */
  readonly failure: (body: unknown) => ApiError;
  /** The tags around the thoughts at the beginning of a text, without brackets. */
  readonly reasoningTags?: readonly string[] | undefined;
  /** Makes an ApiError of a response that is no answer. */
  readonly readFailure: (response: Response, body: BodyReader, signal: AbortSignal) => Promise<ApiError>;
}

/** How long a connection may take to end after the last event; it is closed then, and not used again. */
const lingerMs = 1000;
/** How long the upstream may take for what comes after the last finish, such as token counts. */
const afterFinishMs = 3000;
/** A kept connection that turns out to be closed does so at once; after this long, the upstream had begun to work. */
const staleConnectionMs = 1000;

/** Makes a function that posts a body, once more where a kept connection was closed before the request could get through. */
export function createSender({ name, url, headers, send, clock }: UpstreamEndpoint) {
  /** Whether there can be a connection that was kept. */
  let hasAnswered = false;

  return async (body: string, signal: AbortSignal): Promise<{ response: Response; calls: number }> => {
    signal.throwIfAborted();
    // No answer can make the gateway call another host.
    const init: RequestInit = { method: "POST", headers, body, redirect: "manual", signal };
    const startedMs = clock.monotonic();
    for (let calls = 1; ; calls++) {
      try {
        const response = await send(url, init);
        hasAnswered = true;
        return { response, calls };
      } catch (error) {
        const isStale = hasAnswered && clock.monotonic() - startedMs < staleConnectionMs;
        if (calls > 1 || !isStale || !isClosedConnection(error) || signal.aborted) {
          failConnection(name, error, signal);
        }
      }
    }
  };
}

/** The connection can be used again once its response has ended, which is nearly always at once. */
function linger(body: BodyReader, clock: Clock): void {
  if (body.isOver) return;
  const cancelTimer = clock.schedule(() => body.release(), lingerMs);
  const end = () => {
    cancelTimer();
    body.release();
  };
  body.next().then(end, end);
}

/** Events of Responses that come before the model has begun. */
const openings: ReadonlySet<unknown> = new Set([
  "response.created",
  "response.queued",
  "response.in_progress",
  "keepalive",
]);

/** Whether an event says something of the reply: until then a failure can still have its true status, or be mended. */
const isTelling = ({ parts, native }: UpstreamEvent): boolean =>
  parts.length > 0 || (native?.format === "responses" && !openings.has(native.event.type));

/** Resolves as `task` does, or to undefined after `ms`. */
function atMost<Result>(task: Promise<Result>, ms: number, clock: Clock): Promise<Result | undefined> {
  return new Promise((resolve, reject) => {
    const cancel = clock.schedule(() => resolve(undefined), ms);
    task.then(resolve, reject).finally(cancel);
  });
}

export interface ReplyOptions {
  /** How many replies there will be. */
  readonly choices: number;
  readonly signal: AbortSignal;
  readonly createReader: (events: UpstreamEvent[]) => AnswerReader;
}

/**
 * The events of a response with `choices` replies, as they arrive. Once all replies have finished, the answer is complete
 * within seconds, whatever the connection does. Returning the iterator early ends the call.
 */
export async function* readReply(
  response: Response,
  endpoint: UpstreamEndpoint,
  { choices, signal, createReader }: ReplyOptions,
): AsyncGenerator<readonly UpstreamEvent[], undefined> {
  const { name, clock, maxEventChars, maxAnswerChars, readFailure } = endpoint;
  const isStream = response.headers.get("content-type")?.startsWith("text/event-stream");
  const body = new BodyReader(response, isStream ? 0 : maxEventChars);
  const events: UpstreamEvent[] = [];
  const reply = createReader(events);
  let hasBegun = false;
  let chars = 0;
  let chunks = 0;
  let completeByMs = Number.POSITIVE_INFINITY;
  try {
    if (!response.ok) throw await readFailure(response, body, signal);
    for (let isOver = false; !isOver; ) {
      let text: string | undefined;
      try {
        text =
          completeByMs === Number.POSITIVE_INFINITY
            ? await body.next()
            : await atMost(body.next(), completeByMs - clock.monotonic(), clock);
      } catch (error) {
        // What was complete before the connection broke is an answer.
        if (!reply.complete) failConnection(name, error, signal);
      }
      signal.throwIfAborted();
      let failure: unknown;
      chars += text?.length ?? 0;
      try {
        if (chars > maxAnswerChars) {
          const message = `${name} sent an answer of more than ${maxAnswerChars} characters.`;
          throw new ApiError("upstream_invalid_response", message);
        }
        if (text === undefined) reply.end();
        else reply.feed(text);
      } catch (error) {
        failure = error;
      }
      isOver = text === undefined || reply.done || failure !== undefined;
      // A chunk after a finish may be the last of many that each have one; a comment is nothing.
      if (reply.complete && reply.choices >= choices) {
        if (reply.chunks > chunks) completeByMs = clock.monotonic() + afterFinishMs;
        chunks = reply.chunks;
      } else completeByMs = Number.POSITIVE_INFINITY;
      hasBegun ||= events.some(isTelling);
      if (hasBegun && events.length > 0) yield events.splice(0);
      if (failure !== undefined) throw failure;
    }
  } finally {
    if (reply.done) linger(body, clock);
    else body.release();
  }
}
