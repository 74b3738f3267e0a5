/** The WordPress chat of kimi-ai.chat as a provider: one text goes in, one text comes back. */

import { ApiError } from "../../errors.ts";
import type { ChatRequest, Clock, Fetch, Provider, SessionStore, StreamPart } from "../../types.ts";
import { sleep, systemClock } from "../../util/time.ts";
import { atOnce } from "../shared/at-once.ts";
import { createAsking } from "./ask.ts";
import { credentialSource } from "./nonce/credentials.ts";
import { maxMessages } from "./prompt/prompt.ts";
import { summarize } from "./prompt/summary.ts";
import { checkRequest } from "./request-bounds.ts";
import { createMessageSender } from "./send-message.ts";
import { defaultSite, type SiteSettings } from "./settings.ts";
import { createTalk } from "./talk.ts";
import { replyParts } from "./tools/reply-parts.ts";
import { createTask, performTask } from "./tools/task.ts";

/** What is left out is as in the settings when nothing is set. */
export interface KimiWebOptions extends Partial<SiteSettings> {
  /** Default "kimi-web". */
  readonly name?: string;
  readonly fetch?: Fetch;
  readonly clock?: Clock;
  /** Shares the nonce with other instances. */
  readonly store?: SessionStore | undefined;
  /** Gets every nonce and cookie that is used, so that no log line and no error shows one. */
  readonly onSecret?: (secret: string) => void;
  /** How many milliseconds the chat page is left alone after a renewal of the nonce that did not help; 0 for not at all. */
  readonly holdOffMs?: number;
}

/** About what a token has. */
const charsPerToken = 4;

/** 2025-09-05, when Kimi K2 0905 came out. */
const modelsCreatedAt = 1_757_030_400;

const browserHeaders = {
  "user-agent":
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
  "accept-language": "en-US,en;q=0.9",
};

/**
 * A provider that answers through the chat page of a WordPress site, by default kimi-ai.chat. Its `maxChars` are code
 * points, its times milliseconds. Requests fail with ApiError: docs/errors.md lists what becomes of the site's faults.
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
  const site: SiteSettings = { ...defaultSite(), ...options };
  const { pageUrl, ajaxUrl, maxChars, labels, overflow, longInput } = site;
  const { chunkChars, chunkDelayMs, maxConcurrency } = site;
  const { name = "kimi-web", clock = systemClock, store, onSecret, holdOffMs = 30_000 } = options;
  const fetch: Fetch = options.fetch ?? ((url, init) => globalThis.fetch(url, init));
  const { cookie: ownCookie = "", ...ownHeaders } = Object.fromEntries(new Headers(site.headers));

  const credentials = credentialSource({
    fetch,
    clock,
    pageUrl,
    headers: {
      ...browserHeaders,
      accept: "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
      "upgrade-insecure-requests": "1",
      ...ownHeaders,
    },
    cookie: ownCookie,
    store,
    holdOffMs,
    onSecret,
  });
  const sendMessage = createMessageSender({
    fetch,
    clock,
    ajaxUrl,
    headers: new Headers({
      ...browserHeaders,
      accept: "application/json, text/javascript, */*; q=0.01",
      "x-requested-with": "XMLHttpRequest",
      origin: new URL(pageUrl).origin,
      referer: pageUrl,
      ...ownHeaders,
      "content-type": "application/x-www-form-urlencoded; charset=UTF-8",
    }),
    credentials,
  });

  const siteNames = new Map(site.models.map(({ id, siteName }) => [id, siteName]));
  const models = site.models.map(({ id, siteName, aliases = [] }) => ({
    id,
    aliases: [...aliases, siteName],
    createdAt: modelsCreatedAt,
    contextTokens: Math.ceil(maxChars / charsPerToken),
  }));

  const taskOf = (request: ChatRequest) => createTask(request, { maxChars, byPrompt: site.toolsByPrompt });

  /** A part at a time, with a pause between two. */
  async function* paced(parts: readonly StreamPart[], signal: AbortSignal) {
    for (const [index, part] of parts.entries()) {
      if (index > 0) await sleep(chunkDelayMs, { clock, signal });
      yield [{ parts: [part] }];
    }
  }

  return {
    name,
    maxConcurrency,
    // Of a turn that is told in part, the reply may be left out.
    maxHistoryMessages: maxMessages({ maxChars, labels }) * (overflow === "drop" ? 1 : 2),
    // The site knows its callers by their address.
    sharesRateLimit: true,
    // A reply comes whole, and takes seconds.
    streamCommitMs: 25_000,
    models: () => models,
    check(request) {
      checkRequest(request);
      taskOf(request);
    },

    async answer(request, context) {
      const model = siteNames.get(request.model);
      if (model === undefined) {
        throw new ApiError("model_not_found", `The provider ${name} has no model ${request.model}.`);
      }
      checkRequest(request);
      const talk = createTalk({ sendMessage, model, safeText: site.safeText, clock });
      const condensing = { maxChars, labels, longInput, store, clock, context, ask: talk.ask };
      const asking = createAsking(request, { site, condensing, talk, context });
      const reply = await performTask(taskOf(request), asking.ask);

      const parts = replyParts(reply, request.stream ? chunkChars : undefined);
      if (request.usage) parts.push({ type: "usage", usage: asking.usage(reply) });
      const isPaced = request.stream && chunkDelayMs > 0;
      const events = isPaced
        ? paced(parts, context.signal)
        : atOnce(parts.map((part) => ({ parts: [part] })));
      const { droppedMessages, shortenedMessages = 0 } = asking.context;
      const isWhole = droppedMessages + shortenedMessages === 0;
      return {
        events,
        context: asking.context,
        calls: talk.calls,
        isComplete: true,
        ...(longInput.mode === "condense" &&
          !isWhole && {
            summarize: (afterwards) => summarize(request, { ...condensing, context: afterwards }),
          }),
      };
    },

    warmUp: credentials.warmUp,
  };
}
