/** Asks the site what a task wants to know: makes a text that fits out of each question, and keeps the figures. */
import type { ContextReport, ConversationRef, ProviderContext, Usage } from "../../types.ts";
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
  readonly conversation: ConversationRef;
  /** The site's session that the questions belong to. */
  readonly session: string;
  readonly context: ProviderContext;
}

const allTold = { droppedMessages: 0, shortenedMessages: 0 };

export class Asking {
  readonly #options: AskOptions;
  readonly #replies: string[] = [];
  #condensed: ContextReport["condensed"];
  #messages: TaskQuestion["messages"] = [];
  #prompt: Pick<Prompt, "droppedMessages" | "shortenedMessages"> = allTold;
  #said: Said | undefined;

  constructor(options: AskOptions) {
    this.#options = options;
  }

  /** Sends a question; resolves once the reply is there, or has begun. One that is still to come is not asked again. */
  async begin(question: TaskQuestion): Promise<Said> {
    const { site, condensing, talk, conversation, session, context } = this.#options;
    const { requestId, log } = context;
    if (this.#replies.length > 0) log.info("reply.not_in_form", { requestId });
    const { labels, overflow, longInput } = site;
    const leadChars = countCodePoints(question.lead);
    const maxChars = condensing.maxChars - leadChars;
    if (longInput.mode !== "condense") this.#messages = question.messages;
    // What was condensed for the first question will do for the second.
    else if (this.#condensed === undefined) {
      const { messages, condensed } = await condenseLongInput(question.messages, { ...condensing, maxChars });
      this.#messages = messages;
      this.#condensed = condensed;
    }
    const { text, sizes, ...built } = buildPrompt(this.#messages, {
      maxChars,
      leadChars,
      labels,
      overflow,
      longInput: longInput.mode === "refuse" ? "refuse" : "shorten",
      summary: conversation.summary,
    });
    this.#prompt = built;
    log.debug("prompt.built", {
      requestId,
      ...sizes,
      lead: leadChars,
      maxChars: condensing.maxChars,
      ...built,
    });
    this.#said = await talk.say(question.lead + text, session, context);
    return this.#said;
  }

  /** Sends a question; resolves to the reply. */
  async ask(question: TaskQuestion): Promise<string> {
    const reply = await wholeText(await this.begin(question));
    this.#replies.push(reply);
    return reply;
  }

  /** What the site calls the session, where it names them. */
  get session(): string | undefined {
    return this.#said?.session;
  }

  /** What became of the messages of the last question. */
  get context(): ContextReport {
    return { ...this.#prompt, ...(this.#condensed && { condensed: this.#condensed }) };
  }

  /** An estimate of all that was sent and of all replies, the last of them as the client gets it. */
  usage({ text, calls }: TaskReply): Usage {
    const missed = this.#replies.slice(0, -1);
    return this.#options.talk.usage([
      ...missed,
      text,
      ...calls.flatMap((call) => [call.name, call.arguments]),
    ]);
  }
}
