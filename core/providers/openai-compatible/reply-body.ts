/** The body of an answer as it arrives: a stream of events, or JSON in one piece. */
import { createParser, type EventSourceParser } from "eventsource-parser";
import { ApiError } from "../../errors.ts";
import { isDeeperThan, tryParseJson } from "../../util/json.ts";

export interface ReplyReaderOptions {
  /** The upstream's, for messages. */
  readonly name: string;
  /** The most characters that one event, or a reply that is not a stream, may have. */
  readonly maxEventChars: number;
  /** Makes an ApiError of an error object that came in place of, or amid, a reply. */
  readonly failure: (body: unknown) => ApiError;
  /** The tags around the thoughts at the beginning of a text, without brackets; none by default. */
  readonly reasoningTags?: readonly string[] | undefined;
}

/** Reads one reply; its events are pushed to a list, which the caller empties. */
export interface AnswerReader {
  /** Whether the upstream has marked its stream's end; the connection may still be open. */
  readonly done: boolean;
  /** How many replies have begun. */
  readonly choices: number;
  /** How many chunks have been read. */
  readonly chunks: number;
  /** Whether everything that began has ended, so that a connection lost now has cost nothing. */
  readonly complete: boolean;
  /** Reads the next piece of the body; throws after the parts that came before a fault. */
  feed(text: string): void;
  /** Reads what the end of the body means. */
  end(): void;
}

/** Text with fewer characters can't be nested so deep that it does harm, and most have fewer. */
const shallowChars = 10_000;
const maxDepth = 1000;

export class ReplyBody {
  readonly #options: ReplyReaderOptions;
  readonly #onEvent: (data: string, type: string | undefined) => void;
  /** Reads the body if it is a stream of events. */
  #parser: EventSourceParser | undefined;
  /** The body, or its beginning until it is clear that it is a stream. */
  #head = "";
  #sawEvent = false;

  /** `onEvent` gets the events of a stream that have data. */
  constructor(options: ReplyReaderOptions, onEvent: (data: string, type: string | undefined) => void) {
    this.#options = options;
    this.#onEvent = onEvent;
  }

  feed(text: string): void {
    if (this.#parser !== undefined) {
      this.#parser.feed(text);
      return;
    }
    this.#head = this.#head === "" ? text.trimStart() : this.#head + text;
    if (this.#head === "") return;
    // What the body is, its first character tells; a Content-Type may be wrong.
    if (!"{[<".includes(this.#head.charAt(0))) {
      this.#parser = this.#eventParser();
      this.#parser.feed(this.#head);
    } else if (this.#head.length > this.#options.maxEventChars) throw this.#tooLarge();
  }

  /** The parsed body that was no stream; undefined after a stream, whose last event has been read then. */
  end(): unknown {
    if (this.#head === "") throw this.invalid("answered with an empty body");
    if (this.#parser === undefined) return this.#parseObject();
    try {
      // The last event may lack the blank line that ends it, or be only half there.
      this.#parser.feed("\n\n");
    } catch (error) {
      if (!(error instanceof ApiError) || error.code !== "upstream_invalid_response") throw error;
    }
    return undefined;
  }

  /** What it means that a stream ended before its reply did. */
  unfinished(): ApiError {
    return this.#sawEvent || this.#head.startsWith(":")
      ? new ApiError("upstream_unreachable", `${this.#options.name} broke off in the middle of its reply.`)
      : this.invalid("answered with neither JSON nor events");
  }

  /** The JSON of an event; undefined for remarks such as "ping". */
  parseEvent(data: string): unknown {
    try {
      return this.#parseJson(data);
    } catch (cause) {
      if (cause instanceof ApiError) throw cause;
      // What was to be a chunk is not skipped.
      if (!data.trimStart().startsWith("{")) return undefined;
      const message = `${this.#options.name} sent an event that is not JSON.`;
      throw new ApiError("upstream_invalid_response", message, { cause });
    }
  }

  invalid(what: string): ApiError {
    return new ApiError("upstream_invalid_response", `${this.#options.name} ${what}.`);
  }

  #tooLarge(): ApiError {
    return this.invalid(`sent more than ${this.#options.maxEventChars} characters at once`);
  }

  #eventParser(): EventSourceParser {
    return createParser({
      maxBufferSize: this.#options.maxEventChars,
      onEvent: ({ data, event }) => {
        if (data === "") return;
        this.#sawEvent = true;
        this.#onEvent(data, event);
      },
      onError: ({ type, field, value = "" }) => {
        if (type === "max-buffer-size-exceeded") throw this.#tooLarge();
        // llama.cpp's errors are a field of their own, in the place of `data`.
        if (field === "error") throw this.#options.failure(tryParseJson(value) ?? value);
      },
    });
  }

  #parseJson(text: string): unknown {
    if (text.length > shallowChars && isDeeperThan(maxDepth, text)) {
      throw this.invalid("sent JSON nested too deeply");
    }
    return JSON.parse(text);
  }

  #parseObject(): unknown {
    try {
      return this.#parseJson(this.#head);
    } catch (cause) {
      if (cause instanceof ApiError) throw cause;
      const what = this.#head.startsWith("<") ? "answered with a web page" : "answered with what is not JSON";
      throw new ApiError("upstream_invalid_response", `${this.#options.name} ${what}.`, { cause });
    }
  }
}
