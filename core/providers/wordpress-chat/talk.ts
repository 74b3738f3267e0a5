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

export interface Talk {
  /** Calls made so far. */
  readonly calls: number;
  /** Sends a text in a session; resolves once the reply is there, or has begun where the site streams. */
  say(text: string, session: string, context: CallContext): Promise<Said>;
  /** Sends a text that belongs to no conversation; resolves to the reply, which counts as used. */
  ask(text: string, context: CallContext): Promise<string>;
  /** An estimate of all texts that were sent, the replies to `ask`, and what became of those to `say`. */
  usage(replies: readonly string[]): Usage;
}

/** What the site gets to see of a conversation. */
export const sessionOf = ({ id, startedAtMs }: Pick<ConversationRef, "id" | "startedAtMs">): string =>
  `session_${startedAtMs}_${id}`;

/** A session that no other text belongs to. */
export const freshSession = (clock: Pick<Clock, "now">): string =>
  sessionOf({ id: crypto.randomUUID().replaceAll("-", "").slice(0, 9), startedAtMs: clock.now() });

/** All of a reply. */
export async function wholeText({ text, pieces }: Said): Promise<string> {
  if (text !== undefined) return text;
  let whole = "";
  for await (const piece of pieces) whole += piece;
  return whole;
}

async function* changed(pieces: AsyncIterable<string>, change: (piece: string) => string) {
  for await (const piece of pieces) yield change(piece);
}

const nothing: AsyncIterable<string> = { async *[Symbol.asyncIterator]() {} };

export function createTalk({ sendMessage, model, safeText: isSafe, clock }: TalkOptions): Talk {
  let calls = 0;
  /** Kept as texts: most requests want no counts. */
  const sent: string[] = [];
  const used: string[] = [];

  async function say(text: string, session: string, context: CallContext): Promise<Said> {
    sent.push(text);
    calls += 1;
    const written = isSafe ? safeText(text) : text;
    const { answer, calls: made } = await sendMessage({ message: written, model, session }, context);
    calls += made - 1;
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

  const countTokens = (texts: readonly string[]): number =>
    texts.reduce((sum, text) => sum + estimateTokens(text), 0);

  return {
    get calls() {
      return calls;
    },
    say,
    async ask(text, context) {
      const reply = await wholeText(await say(text, freshSession(clock), context));
      used.push(reply);
      return reply;
    },
    usage(replies) {
      const promptTokens = countTokens(sent);
      const completionTokens = countTokens([...used, ...replies]);
      return { promptTokens, completionTokens, totalTokens: promptTokens + completionTokens };
    },
  };
}
