/** Asks the site what a task wants to know: makes a text that fits out of each question, and keeps the figures. */
import type { ChatRequest, ContextReport, ProviderContext, Usage } from "../../types.ts";
import { type CondensingOptions, condenseLongInput } from "./prompt/long-input.ts";
import { buildPrompt, type Prompt } from "./prompt/prompt.ts";
import { countCodePoints } from "./prompt/shorten.ts";
import type { SiteSettings } from "./settings.ts";
import { type Said, type Talk, wholeText } from "./talk.ts";
import type { TaskQuestion, TaskReply } from "./tools/task.ts";

export interface AskOptions {
  readonly site: Pick<SiteSettings, "labels" | "overflow" | "longInput">;
  readonly condensing: CondensingOptions;
  readonly talk: Talk;
  /** The site's session that the questions belong to. */
  readonly session: string;
  readonly context: ProviderContext;
}

export interface Asking {
  /** Sends a question; resolves once the reply is there, or has begun. One that is still to come is not asked again. */
  begin(question: TaskQuestion): Promise<Said>;
  /** Sends a question; resolves to the reply. */
  ask(question: TaskQuestion): Promise<string>;
  /** What the site calls the session, where it names them. */
  readonly session: string | undefined;
  /** What became of the messages of the last question. */
  readonly context: ContextReport;
  /** An estimate of all that was sent and of all replies, the last of them as the client gets it. */
  usage(reply: TaskReply): Usage;
}

export function createAsking(
  { conversation }: Pick<ChatRequest, "conversation">,
  { site, condensing, talk, session, context: { requestId, log, ...context } }: AskOptions,
): Asking {
  const { labels, overflow, longInput } = site;
  const replies: string[] = [];
  let condensed: ContextReport["condensed"];
  let messages: TaskQuestion["messages"] = [];
  let prompt: Pick<Prompt, "droppedMessages" | "shortenedMessages"> = {
    droppedMessages: 0,
    shortenedMessages: 0,
  };

  let said: Said | undefined;

  const begin = async (question: TaskQuestion): Promise<Said> => {
    if (replies.length > 0) log.info("reply.not_in_form", { requestId });
    const leadChars = countCodePoints(question.lead);
    const maxChars = condensing.maxChars - leadChars;
    // What was condensed for the first question will do for the second.
    if (condensed === undefined) {
      ({ messages, condensed } =
        longInput.mode === "condense"
          ? await condenseLongInput(question.messages, { ...condensing, maxChars })
          : { messages: question.messages, condensed: undefined });
    }
    const { text, sizes, ...built } = buildPrompt(messages, {
      maxChars,
      leadChars,
      labels,
      overflow,
      longInput: longInput.mode === "refuse" ? "refuse" : "shorten",
      summary: conversation.summary,
    });
    prompt = built;
    log.debug("prompt.built", {
      requestId,
      ...sizes,
      lead: leadChars,
      maxChars: condensing.maxChars,
      ...built,
    });
    said = await talk.say(question.lead + text, session, { ...context, log });
    return said;
  };

  return {
    begin,

    async ask(question) {
      const reply = await wholeText(await begin(question));
      replies.push(reply);
      return reply;
    },

    get session() {
      return said?.session;
    },

    get context() {
      return { ...prompt, ...(condensed && { condensed }) };
    },

    usage({ text, calls }) {
      const missed = replies.slice(0, -1);
      return talk.usage([...missed, text, ...calls.flatMap((call) => [call.name, call.arguments])]);
    },
  };
}
