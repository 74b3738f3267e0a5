/** Sends one message to the site, once, and finds out what its answer is. */
import type { Clock, Fetch } from "../../types.ts";
import { isDocument, looksLikeEvents, readAnswer, type SiteReply } from "./protocol/answer.ts";
import type { AnswerForm } from "./protocol/answer-form.ts";
import type { EventForm } from "./protocol/events.ts";
import type { Refused } from "./protocol/failure.ts";
import type { MessageFields, RequestForm } from "./protocol/request-form.ts";
import { maxReplyChars, readStream, type SiteStream } from "./protocol/stream.ts";
import { openSite } from "./site-response.ts";

/** What a message is made of, but for the credentials. */
export type ChatMessageForm = Omit<MessageFields, "nonce">;

/** A preset's templates and places, read once. */
export interface ReadProtocol {
  readonly request: RequestForm;
  readonly answer: AnswerForm;
  /** Absent for a plug-in that does not stream. */
  readonly events: EventForm | undefined;
}

export interface PostOptions {
  readonly nonce: string;
  readonly fetch: Fetch;
  readonly protocol: ReadProtocol;
  readonly headers: Headers;
  /** The `Cookie` header among them; "" for none. */
  readonly cookie: string;
  readonly signal: AbortSignal;
  readonly clock: Pick<Clock, "now">;
  /** Whether the site has accepted a message with this nonce before. */
  readonly isNonceAccepted: boolean;
}

/** What the site made of a message. All else is thrown. */
export type SiteAnswer = Refused | SiteReply | SiteStream;

/** Sends one message, once. Resolves once the answer is there, or has begun where the site streams. */
export async function postMessage(message: ChatMessageForm, options: PostOptions): Promise<SiteAnswer> {
  const { fetch, protocol, headers, nonce, signal } = options;
  const { request, answer: form, events } = protocol;
  const { url, body } = request.request({ ...message, nonce });
  const call = { fetch, url, method: request.method, headers, body, signal };
  const context = { ...options, form };
  const site = await openSite(call, events === undefined ? maxReplyChars : 0);
  if (events === undefined) return readAnswer(await site.whole(maxReplyChars), context);

  // What a stream is shows in its first line, and not for certain in its type: a refusal may come with that of a stream.
  const isNamed = site.headers.get("content-type")?.startsWith("text/event-stream") === true;
  let head = "";
  while (!site.isOver && head.trimStart().length < tellingChars) head += (await site.next()) ?? "";
  if (looksLikeEvents(head) || (isNamed && !beginsOtherwise.test(head)))
    return readStream(site, head, { ...context, events });
  const response = await site.whole(maxReplyChars, head);
  // PHP prints its warnings before a stream too.
  const eventsAt = isDocument(response.text) ? -1 : response.text.search(/^data:/m);
  return eventsAt < 0
    ? readAnswer(response, context)
    : readStream(site, response.text.slice(eventsAt), { ...context, events });
}

/** JSON, a page, or one of WordPress's numbers. */
const beginsOtherwise = /^\s*[{<\d-]/;

/** As many as the longest beginning of an event's line has, `event:` or `retry:`. */
const tellingChars = 6;
