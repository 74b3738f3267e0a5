/** What one request says to the site: its message, and what it has condensed for it. */
import type { Clock, ConversationRef, ProviderContext, Usage } from "../../types.ts";
import { estimateTokens } from "../../util/estimate-tokens.ts";
import { safeText, withoutLookAlikes } from "./prompt/safe-text.ts";
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

export interface Talk {
  /** Calls made so far. */
  readonly calls: number;
  /** Sends a text in a conversation; resolves to the reply. */
  say(text: string, conversation: ConversationRef, context: CallContext): Promise<string>;
  /** Sends a text that belongs to no conversation; resolves to the reply, which counts as used. */
  ask(text: string, context: CallContext): Promise<string>;
  /** An estimate of all texts that were sent, the replies to `ask`, and what became of those to `say`. */
  usage(replies: readonly string[]): Usage;
}

export function createTalk({ sendMessage, model, safeText: isSafe, clock }: TalkOptions): Talk {
  let calls = 0;
  /** Kept as texts: most requests want no counts. */
  const sent: string[] = [];
  const used: string[] = [];

  async function say(text: string, { id, startedAtMs }: ConversationRef, context: CallContext) {
    sent.push(text);
    calls += 1;
    const form = {
      message: isSafe ? safeText(text) : text,
      model,
      sessionId: `session_${startedAtMs}_${id}`,
    };
    const reply = await sendMessage(form, context);
    calls += reply.calls - 1;
    return isSafe ? withoutLookAlikes(reply.text, text) : reply.text;
  }

  const countTokens = (texts: readonly string[]): number =>
    texts.reduce((sum, text) => sum + estimateTokens(text), 0);

  return {
    get calls() {
      return calls;
    },
    say,
    async ask(text, context) {
      const id = crypto.randomUUID().replaceAll("-", "").slice(0, 9);
      const reply = await say(text, { id, startedAtMs: clock.now() }, context);
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
