/** Reads a site's stream of events: piece by piece, as it comes. */
import { createParser } from "eventsource-parser";
import type { ApiError } from "../../../errors.ts";
import { isRecord, tryParseJson } from "../../../util/json.ts";
import { brokenOff, type SiteBody } from "../site-response.ts";
import { type AnswerContext, isErrorText, type SiteReply, sessionAt, withoutSecrets } from "./answer.ts";
import type { EventForm, RawEvent } from "./events.ts";
import { failureText, type Refused, readFailure, saysSuccess, siteRefusal, unusable } from "./failure.ts";
import { placesOfTexts, textAt } from "./paths.ts";

/** A reply that has begun. */
export interface SiteStream {
  readonly kind: "stream";
  /** The pieces of the reply as they come. Throws ApiError. Returning the iterator early ends the call. */
  readonly pieces: AsyncIterable<string>;
  /** What the site calls the session, where it names them; known once the pieces are over. */
  readonly session: string | undefined;
}

/** Of a whole answer, and of a stream. */
export const maxReplyChars = 4_000_000;

export interface StreamOptions extends AnswerContext {
  readonly events: EventForm;
}

/** Reads events up to the first piece of the reply, and the rest on demand. `head` is what was read of the body. */
export async function readStream(
  body: SiteBody,
  head: string,
  options: StreamOptions,
): Promise<Refused | SiteReply | SiteStream> {
  const { form, clock } = options;
  const reading = new StreamReading(body, head, options);
  try {
    let first = "";
    // An error that comes as a reply may come in pieces.
    const longestMark = Math.max(0, ...form.errors.map(({ length }) => length));
    do {
      const piece = await reading.next();
      if (piece === undefined) break;
      first += piece;
    } while (first.length < longestMark);
    const isError = first !== "" && isErrorText(first, form);
    if (isError) {
      for (let piece = await reading.next(); piece !== undefined; piece = await reading.next())
        first += piece;
      reading.failure = first;
    }
    // Once a part of the reply is there, the site has taken the message.
    if (reading.failure !== undefined && (first === "" || isError)) {
      body.release();
      const text = withoutSecrets(reading.failure, options);
      return readFailure(body, text, { form, nowMs: clock.now() });
    }
    if (first === "") throw reading.nothing(body.status);
    return {
      kind: "stream",
      pieces: reading.pieces(first),
      get session() {
        return reading.session;
      },
    };
  } catch (error) {
    body.release();
    throw error;
  }
}

class StreamReading {
  readonly #body: SiteBody;
  readonly #options: StreamOptions;
  readonly #parser: ReturnType<typeof createParser>;
  readonly #pieces: string[] = [];
  #head: string;
  #chars = 0;
  #hasText = false;
  #isOver = false;
  #isEnded = false;
  /** An event that said nothing, for the message. */
  #strange: unknown;
  session: string | undefined;
  /** In the site's words. */
  failure: string | undefined;

  constructor(body: SiteBody, head: string, options: StreamOptions) {
    this.#body = body;
    this.#head = head;
    this.#options = options;
    this.#parser = createParser({ onEvent: (event) => this.#take(event) });
  }

  /** The next piece; undefined at the end, and before a failure. Throws ApiError for a stream that breaks off. */
  async next(): Promise<string | undefined> {
    while (this.#pieces.length === 0) {
      if (this.failure !== undefined || this.#isOver) return undefined;
      await this.#read();
    }
    // Those that arrived together go out together.
    return this.#pieces.splice(0).join("");
  }

  async *pieces(first: string): AsyncGenerator<string, undefined> {
    try {
      yield first;
      for (let piece = await this.next(); piece !== undefined; piece = await this.next()) yield piece;
      if (this.failure !== undefined) throw this.#lateFailure(withoutSecrets(this.failure, this.#options));
    } finally {
      this.#body.release();
    }
  }

  async #read(): Promise<void> {
    const text = this.#head === "" ? await this.#body.next() : this.#head;
    this.#head = "";
    this.#chars += text?.length ?? 0;
    if (this.#chars > maxReplyChars) throw unusable("more than 4 million characters");
    if (text !== undefined) this.#parser.feed(text);
    if (text === undefined || this.#body.isOver) {
      // The last event may lack the blank line that ends it.
      this.#parser.feed("\n\n");
      this.#isOver = true;
      if (this.#options.events.hasEnd && !this.#isEnded && this.#hasText && this.failure === undefined)
        throw brokenOff();
    } else if (this.#isEnded) this.#isOver = true;
  }

  #take(event: RawEvent): void {
    if (this.#isEnded || this.failure !== undefined) return;
    const { events, form } = this.#options;
    const { text, failure, isEnd, last, json } = events.read(event);
    this.session ??= sessionAt(json, form);
    if (failure !== undefined) {
      this.failure = failure;
      return;
    }
    if (text !== undefined) this.#pieces.push(text);
    else if (isEnd && !this.#hasText) this.#takeWhole(json, last);
    else if (!isEnd) this.#strange ??= json ?? event.data;
    this.#hasText ||= this.#pieces.length > 0;
    this.#isEnded ||= isEnd === true;
  }

  /** A site that streams nothing may still have the whole reply in the event that ends it, as JSON or in a text of JSON. */
  #takeWhole(json: unknown, last: string | undefined): void {
    const inner = last === undefined ? undefined : tryParseJson(last);
    if (isRecord(inner) && saysSuccess(inner) === false) {
      this.failure = failureText(inner.data) || failureText(inner);
      return;
    }
    const found = textAt(isRecord(inner) ? inner : json, this.#options.form.reply);
    if (found !== undefined) this.#pieces.push(found.text);
  }

  /** What the site says amid a reply. */
  #lateFailure(text: string): ApiError {
    const { form, clock } = this.#options;
    return siteRefusal(readFailure(this.#body, text, { form, nowMs: clock.now() }).text);
  }

  nothing(status: number): ApiError {
    const places = placesOfTexts(this.#strange);
    const seen = places.length === 0 ? "" : `; one has texts at ${places.join(", ")}`;
    return unusable(
      `its events have no piece of a reply where \`stream\` of its preset says (status ${status})${seen}`,
    );
  }
}
