/** Any WordPress chat as a provider: one text goes in, one text comes back. What differs between plug-ins is a preset. */

import { ApiError } from "../../errors.ts";
import type {
  ChatRequest,
  Fetch,
  Provider,
  ProviderAnswer,
  ProviderContext,
  StreamPart,
  UpstreamEvent,
} from "../../types.ts";
import { sleep, systemClock } from "../../util/time.ts";
import { atOnce } from "../shared/at-once.ts";
import { Asking } from "./ask.ts";
import { maxMessages } from "./prompt/prompt.ts";
import { summarize } from "./prompt/summary.ts";
import { PieceLimiter } from "./reply/limit-pieces.ts";
import { checkRequest } from "./request-bounds.ts";
import { defaultSite, describedSite, type SiteDescription, type SiteSettings } from "./settings.ts";
import { type SiteParts, siteClient } from "./site-client.ts";
import { saysForgotten, siteMemory } from "./site-memory.ts";
import { freshSession, sessionOf, Talk } from "./talk.ts";
import { replyParts } from "./tools/reply-parts.ts";
import { createTask, performTask, type ReplyTask, type TaskReply } from "./tools/task.ts";

/** What is left out is as in the settings when nothing is set. */
export interface KimiWebOptions extends Partial<SiteSettings>, SiteParts {}

/** A site by its preset and what overrides it, as an entry of the setting PROVIDERS. */
export interface WordpressChatOptions extends SiteDescription, SiteParts {}

/** About what a token has. */
const charsPerToken = 4;

/** 2025-09-05, when Kimi K2 0905 came out. */
const modelsCreatedAt = 1_757_030_400;

/**
 * A provider that answers through the chat page of kimi-ai.chat. Its `maxChars` are code points, its times milliseconds.
 * Requests fail with ApiError: docs/errors.md lists what becomes of the site's faults.
 *
 * @example
 * ```ts
 * import { createHandler, kimiWeb } from "kimi-ai-2api";
 *
 * const patient = kimiWeb({ maxConcurrency: 2, labels: { system: "", user: "Q: ", assistant: "A: ", tool: "" } });
 * const handler = createHandler({ providers: [patient] });
 * ```
 */
export function kimiWeb(options: KimiWebOptions = {}): Provider {
  return createSiteProvider({ ...defaultSite(), ...options }, options);
}

/**
 * A provider that answers through the chat of any WordPress site: `preset` names its plug-in, `site` is its address, and
 * every part of a preset can be overridden. docs/wordpress.md has the presets and says how to make one. Throws TypeError
 * for a description that can't be used; requests fail with ApiError.
 *
 * @example
 * ```ts
 * import { createHandler, wordpressChat } from "kimi-ai-2api";
 *
 * const shop = wordpressChat({
 *   name: "shop",
 *   preset: "deepseek-chatbot",
 *   site: "https://shop.example",
 *   nonce: { in: "shopChat", path: "ajax.nonce", field: "security" },
 *   body: { form: { action: "shop_say", text: "{message}", thread: "{session}" } },
 *   models: ["shop-1"],
 * });
 * const handler = createHandler({ providers: [shop] });
 * ```
 */
export function wordpressChat({
  fetch,
  clock,
  store,
  onSecret,
  holdOffMs,
  ...site
}: WordpressChatOptions): Provider {
  return createSiteProvider(describedSite(site), {
    ...(fetch && { fetch }),
    ...(clock && { clock }),
    ...(store && { store }),
    ...(onSecret && { onSecret }),
    ...(holdOffMs !== undefined && { holdOffMs }),
  });
}

/** The provider of a site whose settings have been read. */
export function createSiteProvider(site: SiteSettings, parts: SiteParts = {}): Provider {
  const { name, protocol, maxChars, labels, overflow, longInput } = site;
  const { chunkChars, chunkDelayMs, maxConcurrency } = site;
  const { clock = systemClock, store } = parts;
  const fetch: Fetch = parts.fetch ?? ((url, init) => globalThis.fetch(url, init));
  const { read, credentials, sendMessage } = siteClient(site, { ...parts, fetch, clock });

  const siteNames = new Map(site.models.map(({ id, siteName }) => [id, siteName]));
  const models = site.models.map(({ id, siteName, aliases = [] }) => ({
    id,
    aliases: [...aliases, siteName],
    createdAt: modelsCreatedAt,
    contextTokens: Math.ceil(maxChars / charsPerToken),
  }));

  const taskOptions = { maxChars, byPrompt: site.toolsByPrompt };
  /** What requests want that have been checked; to tell of tools takes long, so it is done once. */
  const tasks = new WeakMap<ChatRequest, ReplyTask>();
  const taskOf = (request: ChatRequest): ReplyTask => {
    let task = tasks.get(request);
    if (task === undefined) {
      checkRequest(request);
      task = createTask(request, taskOptions);
      tasks.set(request, task);
    }
    return task;
  };

  const memory = site.remembers && store !== undefined ? siteMemory(name, store) : undefined;

  /** A part at a time, with a pause between two. */
  async function* paced(parts: readonly StreamPart[], signal: AbortSignal) {
    for (const [index, part] of parts.entries()) {
      if (index > 0) await sleep(chunkDelayMs, { clock, signal });
      yield [{ parts: [part] }];
    }
  }

  /** The events of a reply that is all there. */
  function wholeEvents(
    reply: TaskReply,
    { stream, usage }: ChatRequest,
    asking: Asking,
    signal: AbortSignal,
  ): ProviderAnswer["events"] {
    const parts = replyParts(reply, stream ? chunkChars : undefined);
    const finish = parts.splice(-1);
    if (usage) finish.push({ type: "usage", usage: asking.usage(reply) });
    return stream && chunkDelayMs > 0
      ? paced([...parts, ...finish], signal)
      : atOnce([{ parts }, { parts: finish }]);
  }

  /** The events of a reply that comes in pieces, up to where a limit ends it. */
  async function* pieceEvents(
    pieces: AsyncIterable<string>,
    request: ChatRequest,
    asking: Asking,
    onEnd: (reply: TaskReply) => Promise<void>,
  ): AsyncGenerator<readonly UpstreamEvent[], undefined> {
    const limiter = new PieceLimiter(request);
    const textEvent = (delta: string): UpstreamEvent[] =>
      delta === "" ? [] : [{ parts: [{ type: "text-delta", delta }] }];
    for await (const piece of pieces) {
      const events = textEvent(limiter.add(piece));
      if (events.length > 0) yield events;
      if (limiter.end !== undefined) break;
    }
    const rest = limiter.finish();
    const reply: TaskReply = { text: "", reason: "stop", ...limiter.end, calls: [] };
    await onEnd(reply);
    const last = replyParts({ ...reply, text: rest });
    if (request.usage) last.push({ type: "usage", usage: asking.usage(reply) });
    yield last.map((part) => ({ parts: [part] }));
  }

  /** Asks in one of the site's sessions; `asked` is the request with the messages that the site has not seen in it. */
  async function ask(
    request: ChatRequest,
    asked: ChatRequest,
    {
      model,
      session,
      context,
    }: { readonly model: string; readonly session: string; readonly context: ProviderContext },
  ): Promise<ProviderAnswer> {
    const talk = new Talk({ sendMessage, model, safeText: site.safeText, clock });
    const condensing = { maxChars, labels, longInput, store, clock, context, ask: talk.ask.bind(talk) };
    const { conversation } = asked;
    const asking = new Asking({ site, condensing, talk, conversation, session, context });
    const task = taskOf(asked);
    const keep = async ({ text, calls }: TaskReply) => {
      const toolCalls = calls.map((call) => ({ ...call, id: "" }));
      await memory?.keep(request, { text, toolCalls }, asking.session ?? session, context.log);
    };

    const isLive = request.stream && read.events !== undefined && task.isPlain;
    const said = isLive ? await asking.begin(task.question) : undefined;
    const isComplete = said === undefined || said.text !== undefined;
    let events: ProviderAnswer["events"];
    if (said !== undefined && said.text === undefined) {
      events = pieceEvents(said.pieces, request, asking, keep);
    } else {
      const reply = await performTask(
        task,
        said === undefined ? (question) => asking.ask(question) : async () => said.text ?? "",
      );
      if (memory !== undefined) await keep(reply);
      events = wholeEvents(reply, request, asking, context.signal);
    }

    const { droppedMessages, shortenedMessages = 0 } = asking.context;
    const isWhole = droppedMessages + shortenedMessages === 0;
    return {
      events,
      context: asking.context,
      calls: talk.calls,
      ...(isComplete && { isComplete }),
      ...(longInput.mode === "condense" &&
        !isWhole && {
          summarize: (afterwards) => summarize(request, { ...condensing, context: afterwards }),
        }),
    };
  }

  return {
    name,
    maxConcurrency,
    // Of a turn that is told in part, the reply may be left out. Which session goes on is found by all of them.
    ...(memory === undefined && {
      maxHistoryMessages: maxMessages({ maxChars, labels }) * (overflow === "drop" ? 1 : 2),
    }),
    // The site knows its callers by their address.
    sharesRateLimit: true,
    // A reply comes whole, and takes seconds.
    streamCommitMs: 25_000,
    models: () => models,
    check: (request) => void taskOf(request),

    async answer(request, context) {
      const model = siteNames.get(request.model);
      if (model === undefined) {
        throw new ApiError("model_not_found", `The provider ${name} has no model ${request.model}.`);
      }
      // A site that names sessions itself begins one where none is named.
      const begun = protocol.session === undefined ? undefined : "";
      if (memory === undefined) {
        const session = begun ?? sessionOf(request.conversation);
        return ask(request, request, { model, session, context });
      }
      const known = await memory.take(request, context.log);
      if (known !== undefined) {
        const { id, startedAtMs } = request.conversation;
        // A summary of what the site has seen itself would be told twice.
        const asked = { ...request, messages: known.messages, conversation: { id, startedAtMs } };
        try {
          return await ask(request, asked, { model, session: known.session, context });
        } catch (error) {
          if (!(error instanceof ApiError) || !saysForgotten(error) || context.signal.aborted) throw error;
          context.log.info("recall.forgotten", { provider: name });
        }
      }
      return ask(request, request, { model, session: begun ?? freshSession(clock), context });
    },

    warmUp: credentials.warmUp,
  };
}
