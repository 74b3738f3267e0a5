/** What one request says to the site: its messages, and what it has condensed for it. */
import type { Clock, ConversationRef, ProviderContext, Usage } from "../../types.ts";
import { estimateTokens } from "../../util/estimate-tokens.ts";
import { lookAlikeRestorer, safeText } from "./prompt/safe-text.ts";
import type { SendMessage } from "./send-message.ts";

export interface TalkOptions {
  readonly sendMessage: SendMessage;
  /** The model's name at the site. */
  readonly model: string;
  /** Whether text that WordPress would delete is written with look-alikes, and those in replies are turned back. */
  readonly safeText: boolean;
  readonly clock: Pick<Clock, "now">;
}

type CallContext = Pick<ProviderContext, "signal" | "log">;

/** A reply of the site. */
export interface Said {
  /** The reply where it is all there; else it comes in pieces. */
  readonly text: string | undefined;
  /** Its pieces as they come. */
  readonly pieces: AsyncIterable<string>;
  /** What the site calls the session, where it names them; known once the reply is over. */
  readonly session: string | undefined;
}

/** What the site gets to see of a conversation. */
export const sessionOf = ({ id, startedAtMs }: Pick<ConversationRef, "id" | "startedAtMs">): string =>
  `session_${startedAtMs}_${id}`;

/** A session that no other text belongs to. */
export const freshSession = (clock: Pick<Clock, "now">): string =>
  sessionOf({ id: crypto.randomUUID().replaceAll("-", "").slice(0, 9), startedAtMs: clock.now() });

/** All of a reply. */
export function wholeText({ text, pieces }: Said): Promise<string> {
  return text === undefined ? joined(pieces) : Promise.resolve(text);
}

async function joined(pieces: AsyncIterable<string>): Promise<string> {
  let whole = "";
  for await (const piece of pieces) whole += piece;
  return whole;
}

async function* changed(pieces: AsyncIterable<string>, change: (piece: string) => string) {
  for await (const piece of pieces) yield change(piece);
}

const nothing: AsyncIterable<string> = { async *[Symbol.asyncIterator]() {} };

export class Talk {
  readonly #options: TalkOptions;
  /** Kept as texts: most requests want no counts. */
  readonly #sent: string[] = [];
  readonly #used: string[] = [];
  #calls = 0;

  constructor(options: TalkOptions) {
    this.#options = options;
  }

  /** Calls made so far. */
  get calls(): number {
    return this.#calls;
  }

  /** Sends a text in a session; resolves once the reply is there, or has begun where the site streams. */
  async say(text: string, session: string, context: CallContext): Promise<Said> {
    const { sendMessage, model, safeText: isSafe } = this.#options;
    this.#sent.push(text);
    this.#calls += 1;
    const written = isSafe ? safeText(text) : text;
    const { answer, calls } = await sendMessage({ message: written, model, session }, context);
    this.#calls += calls - 1;
    const restore = isSafe ? lookAlikeRestorer(text, written) : undefined;
    if (answer.kind === "reply") {
      return { text: restore?.(answer.text) ?? answer.text, pieces: nothing, session: answer.session };
    }
    return {
      text: undefined,
      pieces: restore === undefined ? answer.pieces : changed(answer.pieces, restore),
      get session() {
        return answer.session;
      },
    };
  }

  /** Sends a text that belongs to no conversation; resolves to the reply, which counts as used. */
  async ask(text: string, context: CallContext): Promise<string> {
    const reply = await wholeText(await this.say(text, freshSession(this.#options.clock), context));
    this.#used.push(reply);
    return reply;
  }

  /** An estimate of all texts that were sent, the replies to `ask`, and what became of those to `say`. */
  usage(replies: readonly string[]): Usage {
    const promptTokens = countTokens(this.#sent);
    const completionTokens = countTokens(this.#used) + countTokens(replies);
    return { promptTokens, completionTokens, totalTokens: promptTokens + completionTokens };
  }
}

function countTokens(texts: readonly string[]): number {
  let tokens = 0;
  for (const text of texts) tokens += estimateTokens(text);
  return tokens;
}
