/**
 * Which of the site's sessions goes on from what was said, for sites that remember a session themselves. A session is
 * found by all that was said in it, so that a conversation that was edited, answered by another upstream or cut short
 * begins anew. Each is taken once: two requests that go on from the same words never meet in one session.
 */
import type { ChatMessage, ChatRequest, Logger, SessionStore } from "../../types.ts";
import { sha256Hex } from "../../util/hash.ts";
import { marked, unmarked } from "../../util/marked.ts";

/** A session, and the messages that the site has not seen in it. */
export interface KnownSession {
  readonly session: string;
  readonly messages: readonly ChatMessage[];
}

export interface SiteMemory {
  /** Undefined where no session goes on from there. Never rejects. */
  take(request: ChatRequest, log: Logger): Promise<KnownSession | undefined>;
  /** Notes that the site has seen the request's messages in a session, and has replied. Never rejects. */
  keep(
    request: ChatRequest,
    reply: Pick<ChatMessage, "text" | "toolCalls">,
    session: string,
    log: Logger,
  ): Promise<void>;
}

/** How long a session is gone on with; what a site keeps, it mostly keeps for an hour or more. */
const ttlMs = 60 * 60 * 1000;

const taken = "-";

/** A message as it counts: clients trim texts, and write calls anew. */
const lineOf = ({ role, text, toolCalls = [] }: Pick<ChatMessage, "role" | "text" | "toolCalls">): string =>
  JSON.stringify([role, text.trim(), toolCalls.map((call) => [call.name, call.arguments])]);

export function siteMemory(name: string, store: SessionStore): SiteMemory {
  const keyOf = async (model: string, lines: readonly string[]): Promise<string> =>
    `wordpress-chat-session:${await sha256Hex([name, model, ...lines].join("\n"))}`;

  const carefully = async <T>(log: Logger, run: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await run();
    } catch {
      log.warn("recall.failed", { provider: name, store: store.name });
      return undefined;
    }
  };

  return {
    take: ({ model, messages }, log) =>
      carefully(log, async () => {
        const lastReply = messages.findLastIndex(({ role }) => role === "assistant");
        if (lastReply < 0 || lastReply === messages.length - 1) return undefined;
        const key = await keyOf(model, messages.slice(0, lastReply + 1).map(lineOf));
        const stored = await store.get(key);
        const session = stored && unmarked(key, stored.value);
        if (stored === undefined || session === undefined || session === taken) return undefined;
        const isOurs = await store.set(key, marked(key, taken), { ttlMs, ifVersion: stored.version });
        return isOurs === undefined ? undefined : { session, messages: messages.slice(lastReply + 1) };
      }),
    async keep({ model, messages }, reply, session, log) {
      await carefully(log, async () => {
        const key = await keyOf(model, [...messages, { role: "assistant" as const, ...reply }].map(lineOf));
        await store.set(key, marked(key, session), { ttlMs });
      });
    },
  };
}

/** How sites say that they know a session no more. */
const forgotten =
  /\b(?:session|conversation|thread|chat|context)\b[^.]{0,40}\b(?:expired|not found|unknown|invalid|no longer|does ?n[o']t exist|lost|closed)\b|\b(?:expired|unknown|invalid|no such|lost)\b[^.]{0,20}\b(?:session|conversation|thread)\b/i;

/** Whether a failure says that the site has forgotten the session. */
export const saysForgotten = ({ message }: Error): boolean => forgotten.test(message);
