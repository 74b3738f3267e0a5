/** The WordPress chat of kimi-ai.chat as a provider: one text goes in, one text comes back. */

import { ApiError } from "../../errors.ts";
import type { Clock, Fetch, Provider, SessionStore, StreamPart } from "../../types.ts";
import { sleep, systemClock } from "../../util/time.ts";
import { atOnce } from "../shared/at-once.ts";
import { credentialSource } from "./nonce/credentials.ts";
import { buildPrompt, maxMessages } from "./prompt/prompt.ts";
import { cutText } from "./reply/cut-text.ts";
import { limitReply } from "./reply/limit-reply.ts";
import { checkRequest } from "./request-bounds.ts";
import { createMessageSender } from "./send-message.ts";
import { defaultSite, type SiteSettings } from "./settings.ts";

/** What is left out is as in the settings when nothing is set. */
export interface KimiWebOptions extends Partial<SiteSettings> {
  /** Default "kimi-web". */
  readonly name?: string;
  readonly fetch?: Fetch;
  readonly clock?: Clock;
  /** Shares the nonce with other instances. */
  readonly store?: SessionStore | undefined;
  /** How many milliseconds the chat page is left alone after a renewal of the nonce that did not help; 0 for not at all. */
  readonly holdOffMs?: number;
}

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
  const { pageUrl, ajaxUrl, maxChars, safeText, labels, chunkChars, chunkDelayMs, maxConcurrency } = site;
  const { name = "kimi-web", clock = systemClock, store, holdOffMs = 30_000 } = options;
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
  }));

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
    maxHistoryMessages: maxMessages({ maxChars, labels }),
    // The site knows its callers by their address.
    sharesRateLimit: true,
    models: () => models,
    check: (request) => checkRequest(request, name),

    async answer(request, context) {
      const model = siteNames.get(request.model);
      if (model === undefined) {
        throw new ApiError("model_not_found", `The provider ${name} has no model ${request.model}.`);
      }
      checkRequest(request, name);
      const { text: message, droppedMessages } = buildPrompt(request.messages, {
        maxChars,
        labels,
        safeText,
      });
      const { startedAtMs, id } = request.conversation;
      const form = { message, model, sessionId: `session_${startedAtMs}_${id}` };
      const { text, calls } = await sendMessage(form, context);

      const reply = limitReply(text, request);
      const pieces = request.stream ? cutText(reply.text, chunkChars) : [reply.text];
      const parts: StreamPart[] = [...pieces]
        .filter((delta) => delta !== "")
        .map((delta) => ({ type: "text-delta", delta }));
      parts.push({ type: "finish", reason: reply.reason });
      const isPaced = request.stream && chunkDelayMs > 0;
      const events = isPaced
        ? paced(parts, context.signal)
        : atOnce(parts.map((part) => ({ parts: [part] })));
      return { events, context: { droppedMessages }, calls, isComplete: true };
    },

    warmUp: credentials.warmUp,
  };
}
