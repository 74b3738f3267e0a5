/**
 * The provider of the chat site, for suites that run against a site over HTTP: the stand-in, or with KIMI_SITE_URL a
 * real WordPress. What reached the site is read from the site's own log.
 */

import { afterAll, beforeEach, expect } from "bun:test";
import { ApiError } from "../../../../core/errors.ts";
import { silentLogger } from "../../../../core/operations/log.ts";
import { type KimiWebOptions, kimiWeb } from "../../../../core/providers/wordpress-chat/provider.ts";
import type {
  ChatMessage,
  ChatRequest,
  LogFields,
  Model,
  ProviderAnswer,
  ProviderContext,
  Role,
} from "../../../../core/types.ts";
import { type FakeClock, fakeClock } from "../../../fakes/fake-clock.ts";
import { siteUnderTest } from "../../../fakes/site-under-test.ts";
import { providerContext, readAnswer } from "../../../support/chat-request.ts";

export const minuteMs = 60_000;
export const hourMs = 60 * minuteMs;

export interface Asking extends Partial<Omit<ChatRequest, "messages">> {
  readonly signal?: AbortSignal;
}

export interface Answered {
  readonly text: string;
  readonly deltas: readonly string[];
  readonly reasons: readonly string[];
  readonly calls: number;
  readonly droppedMessages: number;
}

export interface Chat {
  /** All that has been logged, as text. */
  readonly logged: () => string;
  readonly clock: FakeClock;
  warmUp(): Promise<void>;
  models(): Promise<readonly Model[]>;
  answer(messages: string | readonly ChatMessage[], asking?: Asking): Promise<ProviderAnswer>;
  /** Sends one user message, or a whole list. */
  ask(messages: string | readonly ChatMessage[], asking?: Asking): Promise<Answered>;
  /** The error that asking ends in. */
  failure(messages: string | readonly ChatMessage[], asking?: Asking): Promise<ApiError>;
}

export const message = (role: Role, text: string): ChatMessage => ({
  role,
  text,
  native: { role, content: text },
});

/** A site that every test finds in order, and chats with it; for the top of a suite. */
export async function chatWithSite() {
  const site = await siteUnderTest();
  afterAll(() => site.stop());
  beforeEach(() => site.reset());

  function chat(options: Partial<KimiWebOptions> = {}): Chat {
    const clock = fakeClock(Date.now());
    const provider = kimiWeb({
      pageUrl: site.pageUrl,
      ajaxUrl: site.ajaxUrl,
      models: [
        { id: "kimi-k2-instruct-0905", siteName: "moonshotai/Kimi-K2-Instruct-0905", aliases: ["kimi"] },
        { id: "kimi-k2-instruct", siteName: "moonshotai/Kimi-K2-Instruct" },
      ],
      maxChars: 1000,
      safeText: true,
      chunkChars: 20,
      chunkDelayMs: 0,
      clock,
      ...options,
    });
    const log: string[] = [];
    let calls = 0;

    function answer(messages: string | readonly ChatMessage[], asking: Asking = {}) {
      const { signal, ...rest } = asking;
      const write = (event: string, fields?: LogFields) => {
        log.push(JSON.stringify({ event, ...fields }));
      };
      const context: ProviderContext = {
        ...providerContext(signal),
        log: { debug: write, info: write, warn: write, error: write },
      };
      const request: ChatRequest = {
        messages: typeof messages === "string" ? [message("user", messages)] : messages,
        stream: true,
        stop: [],
        choices: 1,
        tools: [],
        toolChoice: "none",
        parallelToolCalls: true,
        responseFormat: "text",
        usage: false,
        native: {},
        model: "kimi-k2-instruct-0905",
        conversation: { id: `abcdefg${String(calls++).padStart(2, "0")}`, startedAtMs: clock.now() },
        ...rest,
      };
      return provider.answer(request, context);
    }

    async function ask(messages: string | readonly ChatMessage[], asking?: Asking): Promise<Answered> {
      const { parts, error, answer: begun } = await readAnswer(answer(messages, asking));
      if (error !== undefined) throw error;
      const deltas = parts.flatMap((part) => (part.type === "text-delta" ? [part.delta] : []));
      const reasons = parts.flatMap((part) => (part.type === "finish" ? [part.reason] : []));
      const { calls = 1, context } = begun ?? {};
      return {
        text: deltas.join(""),
        deltas,
        reasons,
        calls,
        droppedMessages: context?.droppedMessages ?? 0,
      };
    }

    return {
      clock,
      answer,
      models: async () => provider.models(providerContext()),
      logged: () => log.join("\n"),
      ask,
      warmUp: async () => provider.warmUp?.({ log: silentLogger }),
      async failure(messages, asking) {
        const error = await ask(messages, asking).then(
          ({ text }) => new Error(`it answered: ${text}`),
          (reason: unknown) => reason,
        );
        if (!(error instanceof ApiError)) throw error;
        return error;
      },
    };
  }

  /** What has reached the site. */
  async function seen() {
    const { ajax, pages } = await site.log();
    return { ajax, pages, messages: ajax.length, fetches: pages.length };
  }

  async function expectTraffic(expected: { messages: number; fetches: number }) {
    const { messages, fetches } = await seen();
    expect({ messages, fetches }).toEqual(expected);
  }

  return { site, chat, seen, expectTraffic };
}
