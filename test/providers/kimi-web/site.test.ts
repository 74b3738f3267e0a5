/**
 * The provider against a chat site over HTTP: the stand-in, or with KIMI_SITE_URL a real WordPress. What reached the
 * site is read from the site's own log.
 */

import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import { listParts } from "../../../core/chat/collect-answer.ts";
import { ApiError, type ErrorCode } from "../../../core/errors.ts";
import { type KimiWebOptions, kimiWeb } from "../../../core/providers/kimi-web/provider.ts";
import type {
  ChatMessage,
  ChatRequest,
  LogFields,
  Model,
  ProviderContext,
  Role,
  StreamParts,
  Trace,
} from "../../../core/types.ts";
import {
  furtherBrokenPageVariants,
  furtherPageVariants,
  sharedBrokenPageVariants,
  sharedPageVariants,
} from "../../fakes/chat-page.ts";
import { type FakeClock, fakeClock, settle } from "../../fakes/fake-clock.ts";
import { replyTexts } from "../../fakes/faults.ts";
import { siteUnderTest } from "../../fakes/site-under-test.ts";
import { providerContext } from "../../support/chat-request.ts";
import { startForbiddenHost } from "../../support/forbidden-host.ts";

const site = await siteUnderTest();
afterAll(() => site.stop());
beforeEach(() => site.reset());

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;

interface Asking extends Partial<Omit<ChatRequest, "messages">> {
  readonly signal?: AbortSignal;
}

interface Answered {
  readonly text: string;
  readonly deltas: readonly string[];
  readonly reasons: readonly string[];
  readonly trace: Trace;
}

interface Chat {
  /** All that has been logged, as text. */
  readonly logged: () => string;
  readonly clock: FakeClock;
  warmUp(): Promise<void>;
  models(): Promise<readonly Model[]>;
  stream(messages: string | readonly ChatMessage[], asking?: Asking): AsyncIterable<StreamParts>;
  /** Sends one user message, or a whole list. */
  ask(messages: string | readonly ChatMessage[], asking?: Asking): Promise<Answered>;
  /** The error that asking ends in. */
  failure(messages: string | readonly ChatMessage[], asking?: Asking): Promise<ApiError>;
}

const message = (role: Role, text: string): ChatMessage => ({
  role,
  text,
  native: { role, content: text },
});

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

  function stream(messages: string | readonly ChatMessage[], asking: Asking = {}, traced?: Trace) {
    const { signal, ...rest } = asking;
    const write = (event: string, fields?: LogFields) => {
      log.push(JSON.stringify({ event, ...fields }));
    };
    const context: ProviderContext = {
      ...providerContext(signal),
      log: { debug: write, info: write, warn: write, error: write },
      ...(traced && { trace: traced }),
    };
    const request: ChatRequest = {
      messages: typeof messages === "string" ? [message("user", messages)] : messages,
      stream: true,
      stop: [],
      choices: 1,
      usage: false,
      native: {},
      model: "kimi-k2-instruct-0905",
      conversation: { id: `abcdefg${String(calls++).padStart(2, "0")}`, startedAtMs: clock.now() },
      ...rest,
    };
    return provider.stream(request, context);
  }

  async function ask(messages: string | readonly ChatMessage[], asking?: Asking): Promise<Answered> {
    const trace: Trace = { attempts: 0, upstreamMs: 0, droppedMessages: 0 };
    const deltas: string[] = [];
    const reasons: string[] = [];
    for await (const some of stream(messages, asking, trace)) {
      for (const part of listParts(some)) {
        if (part.type === "text-delta") deltas.push(part.delta);
        if (part.type === "finish") reasons.push(part.reason);
      }
    }
    return { text: deltas.join(""), deltas, reasons, trace };
  }

  return {
    clock,
    stream,
    models: async () => provider.models(providerContext()),
    logged: () => log.join("\n"),
    ask,
    warmUp: async () => provider.warmUp?.(),
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

describe("a chat with the site", () => {
  test("takes one page fetch and then one call for each message", async () => {
    const { ask } = chat();
    const first = await ask("Hello");
    expect(first.text).toStartWith("You said: Hello\n[chars=5 lines=1 turns=0 ");
    expect(first.text).toEndWith("model=Kimi-K2-Instruct-0905]");
    expect(first.reasons).toEqual(["stop"]);
    expect(first.trace).toMatchObject({ attempts: 1, droppedMessages: 0 });
    await ask("Hello again");
    await expectTraffic({ messages: 2, fetches: 1 });
  });

  test("is held like a browser's", async () => {
    await chat().ask("Hello");
    const { pages, ajax } = await seen();
    expect(pages[0]?.headers).toMatchObject({
      "user-agent": expect.stringMatching(/^Mozilla\/5\.0 /),
      accept: expect.stringContaining("text/html"),
      "accept-language": expect.any(String),
    });
    expect(ajax[0]).toMatchObject({
      method: "POST",
      action: "kimi_send_message",
      model: "moonshotai/Kimi-K2-Instruct-0905",
      headers: {
        "user-agent": pages[0]?.headers["user-agent"] ?? "",
        "content-type": expect.stringMatching(/^application\/x-www-form-urlencoded/),
        "x-requested-with": "XMLHttpRequest",
        origin: site.url,
        referer: site.pageUrl,
      },
    });
  });

  test("names the model as the site does", async () => {
    const { text } = await chat().ask("Hello", { model: "kimi-k2-instruct" });
    expect(text).toEndWith("model=Kimi-K2-Instruct]");
  });

  test("has the conversation's id as the site's session", async () => {
    const { ask } = chat();
    const startedAtMs = 1_700_000_000_123;
    await ask("Hello", { conversation: { id: "abc123xyz", startedAtMs } });
    expect((await seen()).ajax[0]?.session_id).toBe("session_1700000000123_abc123xyz");
  });

  test("sends the operator's own headers to page and calls", async () => {
    await chat({
      headers: { "user-agent": "Tester/1", cookie: "cf_clearance=abc; wordpress_logged_in_x=1" },
    }).ask("Hello");
    const { pages, ajax } = await seen();
    for (const row of [pages[0], ajax[0]]) {
      expect(row?.headers).toMatchObject({ "user-agent": "Tester/1", cookie: "cf_clearance=abc" });
    }
  });

  test.each(["cjk", "emoji", "newlines", "markdown", "long"] as const)(
    "brings the reply %s exactly, in chunks that split no character",
    async (mode) => {
      await site.set({ ajax: mode });
      const { text, deltas } = await chat({ chunkChars: 3 }).ask("Hello");
      expect(text).toBe(replyTexts[mode]);
      expect(deltas.length).toBeGreaterThan(1);
      const graphemes = (part: string) => [...new Intl.Segmenter("en").segment(part)].length;
      const sum = deltas.reduce((count, delta) => count + graphemes(delta), 0);
      expect(sum).toBe(graphemes(text));
    },
  );

  test("passes entities, quotes and tags of a reply on as they came", async () => {
    const reply = `&lt;b&gt; &amp;amp; "x" 'y' <i> \\n {"a":1} </script> \u200b\u2028`;
    await site.set({ ajax: `text=${reply}` });
    expect((await chat().ask("Hello")).text).toBe(reply);
  });

  test("has the page read ahead of time when it is warmed up", async () => {
    const { warmUp, ask } = chat();
    await warmUp();
    await expectTraffic({ messages: 0, fetches: 1 });
    await ask("Hello");
    await expectTraffic({ messages: 1, fetches: 1 });
  });

  test("warms up without a word while the site is down, and recovers", async () => {
    await site.maintenance(true);
    const { warmUp, ask } = chat();
    await warmUp();
    await site.maintenance(false);
    expect((await ask("Hello")).text).toStartWith("You said: Hello");
  });

  test("waits chunkDelayMs between chunks, and no longer once the client has left", async () => {
    const clock = fakeClock();
    const leaving = new AbortController();
    const { stream } = chat({ clock, chunkChars: 8, chunkDelayMs: 20 });
    const parts = stream("Hello", { signal: leaving.signal })[Symbol.asyncIterator]();
    expect((await parts.next()).value).toMatchObject({ type: "text-delta" });

    const second = parts.next();
    await settle();
    expect(clock.pending).toBe(1);
    await clock.advance(20);
    expect((await second).value).toMatchObject({ type: "text-delta" });

    const third = parts.next();
    await settle();
    const reason = new ApiError("client_closed_request", "gone");
    leaving.abort(reason);
    expect(third).rejects.toBe(reason);
    expect(clock.pending).toBe(0);
  });

  test("comes in one piece when it is not streamed", async () => {
    await site.set({ ajax: "emoji" });
    const { deltas } = await chat({ chunkChars: 3 }).ask("Hello", { stream: false });
    expect(deltas).toEqual([replyTexts.emoji]);
  });

  test("is stopped where the request says", async () => {
    expect(await chat().ask("one two", { stop: [" two"] })).toMatchObject({
      text: "You said: one",
      reasons: ["stop"],
    });
  });

  test("leaves no listener on the signal of its client", async () => {
    const { signal } = new AbortController();
    let listeners = 0;
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = (...from: Parameters<typeof add>) => {
      listeners++;
      add(...from);
    };
    signal.removeEventListener = (...from: Parameters<typeof remove>) => {
      listeners--;
      remove(...from);
    };
    await chat().ask("Hello", { signal });
    expect(listeners).toBe(0);
  });

  test("offers the models with the site's names as aliases, and no others", async () => {
    const { models, failure } = chat();
    expect((await models()).map(({ id, aliases }) => [id, aliases])).toEqual([
      ["kimi-k2-instruct-0905", ["kimi", "moonshotai/Kimi-K2-Instruct-0905"]],
      ["kimi-k2-instruct", ["moonshotai/Kimi-K2-Instruct"]],
    ]);
    expect((await failure("Hello", { model: "gpt" })).code).toBe("model_not_found");
    await expectTraffic({ messages: 0, fetches: 0 });
  });
});

describe("the nonce", () => {
  test.each([...sharedPageVariants])("is found in the page's shape %s", async (page) => {
    await site.set({ page });
    expect((await chat().ask("Hello")).text).toStartWith("You said: Hello");
    await expectTraffic({ messages: 1, fetches: 1 });
  });

  if (!site.isWordpress) {
    test.each([...furtherPageVariants])("is found in the page's shape %s", async (page) => {
      await site.set({ page });
      expect((await chat().ask("Hello")).text).toStartWith("You said: Hello");
      await expectTraffic({ messages: 1, fetches: 1 });
    });
  }

  test.each([...sharedBrokenPageVariants, ...(site.isWordpress ? [] : furtherBrokenPageVariants)])(
    "is missed at once in the page's shape %s",
    async (page) => {
      await site.set({ page });
      const { failure } = chat();
      const startedAt = performance.now();
      expect((await failure("Hello")).code).toBe("upstream_nonce_unavailable");
      expect(performance.now() - startedAt).toBeLessThan(1000);
      expect((await seen()).messages).toBe(0);
    },
  );

  test("is fetched once for twenty callers who come together", async () => {
    const { ask } = chat();
    const answers = await Promise.all(Array.from({ length: 20 }, (_, index) => ask(`Hello ${index}`)));
    expect(answers.map(({ text }) => text.split("\n", 1)[0])).toEqual(
      Array.from({ length: 20 }, (_, index) => `You said: Hello ${index}`),
    );
    await expectTraffic({ messages: 20, fetches: 1 });
  });

  test("is renewed once for twenty callers whose nonce has died", async () => {
    const { ask } = chat();
    await ask("Hello");
    await site.rotate();
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask("Hello")));
    for (const { text } of answers) expect(text).toStartWith("You said: Hello");
    const { ajax, fetches } = await seen();
    expect(fetches).toBe(2);
    expect(ajax.filter(({ outcome }) => outcome === "ok")).toHaveLength(21);
    expect(ajax.length).toBeLessThanOrEqual(41);
  });

  test.each([
    ["referer", ""],
    ["json", "Security check failed"],
    ["json", "Invalid nonce."],
    ["json", "Your session has expired"],
    ["json", "Please refresh the page and try again"],
    ["json403", "Nonce verification failed"],
    ["json403", "Session expired"],
  ] as const)(
    "is renewed when the site refuses it by %s %s, and the message goes again once",
    async (check, text) => {
      await site.set({ nonce_check: check, nonce_fail_text: text });
      const { ask } = chat();
      await ask("Hello");
      await site.rotate();
      const answer = await ask("Again");
      expect(answer.text).toStartWith("You said: Again");
      expect(answer.trace.attempts).toBe(2);
      await expectTraffic({ messages: 3, fetches: 2 });
    },
  );

  test("is renewed past page caches: with a query that changes and no-cache headers", async () => {
    const { ask } = chat();
    await ask("Hello");
    await site.rotate();
    await ask("Hello");
    const [first, second] = (await seen()).pages;
    expect(first?.uri).toBe("/chat/");
    expect(second?.uri).toMatch(/^\/chat\/\?_=\d{13}$/);
    expect(`${second?.headers["cache-control"]} ${second?.headers.pragma}`).toBe("no-cache no-cache");
  });

  test.each([["query"], ["no-cache"], ["cookie"]])(
    "is renewed past a page cache that lets %s through",
    async (bypass) => {
      await site.set({ page_cache: "on", page_cache_bypass: [bypass] });
      await chat().ask("Hello");
      await site.rotate();
      expect((await chat().ask("Hello")).text).toStartWith("You said: Hello");
      expect((await seen()).pages.map(({ cache }) => cache)).toEqual(["miss", "hit", `bypass:${bypass}`]);
    },
  );

  test("is given up when a page cache can't be passed, and not asked for again within 30 s", async () => {
    await site.set({ page_cache: "on", page_cache_bypass: [] });
    const { ask, failure, clock } = chat();
    await ask("Hello");
    await site.rotate();
    expect(await failure("Hello")).toMatchObject({ code: "upstream_nonce_unavailable", shouldRetry: false });
    await expectTraffic({ messages: 2, fetches: 2 });

    await clock.advance(29_000);
    expect((await failure("Hello")).code).toBe("upstream_nonce_unavailable");
    expect((await seen()).fetches).toBe(2);

    await clock.advance(2_000);
    await site.purge();
    expect((await ask("Hello")).text).toStartWith("You said: Hello");
    expect((await seen()).fetches).toBe(3);
  });

  test("is asked for again at once when the hold-off is switched off", async () => {
    await site.set({ page_cache: "on", page_cache_bypass: [] });
    const { ask, failure } = chat({ holdOffMs: 0 });
    await ask("Hello");
    await site.rotate();
    await failure("Hello");
    await failure("Hello");
    expect((await seen()).fetches).toBe(3);
  });

  test("is given up when the site refuses even the renewed one", async () => {
    const { ask, failure } = chat();
    await ask("Hello");
    await site.rotate();
    await site.set({ ajax: "nonce_real" });
    expect((await failure("Hello")).code).toBe("upstream_nonce_unavailable");
    await expectTraffic({ messages: 3, fetches: 2 });
    // And is not looked for again for a while.
    expect((await failure("Hello")).code).toBe("upstream_nonce_unavailable");
    await expectTraffic({ messages: 4, fetches: 2 });
  });

  test("is not blamed again and again for words that only sound like it", async () => {
    await site.set({ ajax: "error=AI token expired, please refresh" });
    const error = await chat().failure("Hello");
    expect(error.code).toBe("upstream_nonce_unavailable");
    expect(error.message).toContain("AI token expired, please refresh");
    await expectTraffic({ messages: 1, fetches: 2 });
  });

  test("can't be renewed while the page has a fault, which is told, and is renewed afterwards", async () => {
    const { ask, failure } = chat();
    await ask("Hello");
    await site.rotate();
    await site.queue({ page: ["challenge", "http=500"] });
    expect((await failure("Hello")).code).toBe("upstream_challenge");
    expect((await failure("Hello")).code).toBe("upstream_unavailable");
    expect((await ask("Again")).text).toStartWith("You said: Again");
  });

  test("is kept for twelve hours and no longer", async () => {
    const { ask, clock } = chat();
    await ask("Hello");
    await clock.advance(12 * hourMs - minuteMs);
    await ask("Hello");
    await expectTraffic({ messages: 2, fetches: 1 });
    await clock.advance(2 * minuteMs);
    await ask("Hello");
    await expectTraffic({ messages: 3, fetches: 2 });
  });

  test("is still fetched for the others when one of the callers leaves", async () => {
    await site.set({ page_mode: "slow=0.3" });
    const { ask } = chat();
    const leaving = new AbortController();
    const left = ask("Hello", { signal: leaving.signal }).catch((reason: unknown) => reason);
    const stayed = ask("Hello");
    while ((await seen()).fetches === 0) await Bun.sleep(5);
    const reason = new Error("gone");
    leaving.abort(reason);
    expect(await left).toBe(reason);
    expect((await stayed).text).toStartWith("You said: Hello");
    await expectTraffic({ messages: 1, fetches: 1 });
  });
});

describe("a refusal of unknown text", () => {
  test("is the site's error while the nonce is young", async () => {
    await site.set({ ajax: "error=The moon is in the wrong house" });
    const error = await chat().failure("Hello");
    expect(error).toMatchObject({ code: "upstream_error", status: 502, shouldRetry: false });
    expect(error.message).toContain("The moon is in the wrong house");
    await expectTraffic({ messages: 1, fetches: 1 });
  });

  test("has the page asked once when the nonce is older than 60 s, and is the error if it is still the same", async () => {
    const { ask, failure, clock } = chat();
    await ask("Hello");
    await clock.advance(61_000);
    await site.set({ ajax: "error=The moon is in the wrong house" });
    expect((await failure("Hello")).code).toBe("upstream_error");
    await expectTraffic({ messages: 2, fetches: 2 });
  });

  test("is the error even when the page can't be had, since the site's own words tell more", async () => {
    const { ask, failure, clock } = chat();
    await ask("Hello");
    await clock.advance(61_000);
    await site.set({ ajax: "error=The moon is in the wrong house", page_mode: "http=500" });
    const error = await failure("Hello");
    expect(error.code).toBe("upstream_error");
    expect(error.message).toContain("The moon is in the wrong house");
  });

  test("has the message sent again once when the old nonce has changed meanwhile", async () => {
    const { ask, clock } = chat();
    await ask("Hello");
    await clock.advance(61_000);
    await site.rotate();
    await site.queue({ ajax: ["error=The moon is in the wrong house"] });
    expect((await ask("Again")).text).toStartWith("You said: Again");
    await expectTraffic({ messages: 3, fetches: 2 });
  });
});

describe("cookies of the site", () => {
  test.each(["require", "bind"] as const)("that it wants back (%s) are sent back", async (cookie) => {
    await site.set({ cookie });
    const { ask } = chat();
    await ask("Hello");
    await ask("Hello");
    await expectTraffic({ messages: 2, fetches: 1 });
    expect((await seen()).ajax[0]?.headers.cookie).toMatch(/^kimi_sess=[0-9a-f]{26}$/);
  });

  test("join those of the operator", async () => {
    await site.set({ cookie: "require" });
    await chat({ headers: { Cookie: "cf_clearance=abc" } }).ask("Hello");
    const cookie = (await seen()).ajax[0]?.headers.cookie ?? "";
    expect(cookie.split("; ").sort()).toEqual(["cf_clearance=abc", expect.stringMatching(/^kimi_sess=/)]);
  });

  test.each(["json", "json403"] as const)(
    "are fetched anew when they are missing (%s)",
    async (cookieFail) => {
      const { ask } = chat();
      await ask("Hello");
      await site.set({ cookie: "require", cookie_fail: cookieFail });
      expect((await ask("Again")).text).toStartWith("You said: Again");
      await expectTraffic({ messages: 3, fetches: 2 });
    },
  );

  test("are fetched anew when the site has forgotten them", async () => {
    await site.set({ cookie: "require" });
    const { ask } = chat();
    await ask("Hello");
    await site.forget();
    expect((await ask("Again")).text).toStartWith("You said: Again");
    await expectTraffic({ messages: 3, fetches: 2 });
  });
});

interface Fault {
  readonly code: ErrorCode;
  readonly retryAfterMs?: number;
  readonly shouldRetry?: boolean | undefined;
  /** What the error's text says. */
  readonly says?: string | RegExp;
}

describe("a fault of the call", () => {
  const inAnHour = new Date(Math.ceil((Date.now() + hourMs) / 1000) * 1000);

  const faults: Record<string, Fault> = {
    error: { code: "upstream_error", shouldRetry: false, says: "AI service is temporarily unavailable" },
    "error=cURL error 28: Operation timed out": { code: "upstream_error", says: "cURL error 28" },
    "error_status=500": { code: "upstream_error", says: "AI service is temporarily unavailable" },
    ratelimit200: { code: "upstream_rate_limited", shouldRetry: false, says: "Rate limit exceeded" },
    "ratelimit=7": { code: "upstream_rate_limited", retryAfterMs: 7000, shouldRetry: undefined },
    "ratelimit=31": { code: "upstream_rate_limited", retryAfterMs: 31_000, shouldRetry: false },
    [`ratelimit=${inAnHour.toUTCString()}`]: { code: "upstream_rate_limited", shouldRetry: false },
    "http=429": { code: "upstream_rate_limited", shouldRetry: false },
    success_nodata: { code: "upstream_invalid_response", shouldRetry: undefined },
    data_empty_object: { code: "upstream_invalid_response" },
    data_empty_array: { code: "upstream_invalid_response" },
    message_null: { code: "upstream_invalid_response" },
    message_empty: { code: "upstream_invalid_response" },
    truncated_json: { code: "upstream_invalid_response" },
    empty: { code: "upstream_invalid_response", says: "empty" },
    zero: { code: "upstream_invalid_response", says: '"0"' },
    unknown_action: { code: "upstream_invalid_response", says: '"0"' },
    html200: { code: "upstream_invalid_response", says: "Log In" },
    redirect: { code: "upstream_invalid_response", says: /redirect.*wp-login\.php/ },
    "redirect=https://example.com/": { code: "upstream_invalid_response", says: "redirect" },
    "http=404": { code: "upstream_invalid_response", says: "404" },
    cut: { code: "upstream_unreachable", shouldRetry: undefined },
    kill: { code: "upstream_unavailable", shouldRetry: undefined },
    fatal: { code: "upstream_unavailable" },
    cf502: { code: "upstream_unavailable" },
    "http=500": { code: "upstream_unavailable" },
    "http=503": { code: "upstream_unavailable" },
    "http=504": { code: "upstream_unavailable" },
    challenge: { code: "upstream_challenge", shouldRetry: false },
    challenge503: { code: "upstream_challenge", shouldRetry: false },
    too_long: { code: "context_length_exceeded", says: "Message is too long" },
    ...(site.isWordpress ? {} : { null: { code: "upstream_invalid_response" as const, says: "null" } }),
  };

  test.each(Object.entries(faults))("%s is told once and nothing is sent again", async (mode, fault) => {
    const { ask, failure, clock, logged } = chat();
    await ask("Hello");
    // Old enough for a nonce to be doubted.
    await clock.advance(2 * minuteMs);
    await site.queue({ ajax: [mode] });
    const error = await failure("a private matter");
    expect(error.code).toBe(fault.code);
    if ("shouldRetry" in fault) expect(error.shouldRetry).toBe(fault.shouldRetry);
    if (fault.retryAfterMs !== undefined) expect(error.retryAfterMs).toBe(fault.retryAfterMs);
    if (fault.says !== undefined) expect(error.message).toMatch(fault.says);
    await expectTraffic({ messages: 2, fetches: 1 });

    const nonce = (await seen()).ajax[0]?.nonce ?? "missing";
    for (const secret of [nonce, "private matter"]) {
      expect(error.message).not.toContain(secret);
      expect(logged()).not.toContain(secret);
    }
    // And the chat goes on.
    expect((await ask("Again")).text).toStartWith("You said: Again");
  });

  test("in words of the site is told without control characters and cut short", async () => {
    await site.set({ ajax: `error=Wrong\u0007 house ${"of the moon ".repeat(100)}` });
    const { message } = await chat().failure("Hello");
    expect(message).toMatch(/Wrong ? house of the moon/);
    expect(message).not.toMatch(/\p{Control}/u);
    expect(message.length).toBeLessThan(400);
  });

  test("is an answer of many megabytes, of which only the beginning is read", async () => {
    await site.set({ ajax: "long=6000000" });
    expect((await chat().failure("Hello")).code).toBe("upstream_invalid_response");
  });

  test("with a Retry-After date tells how long that is", async () => {
    const { failure, clock } = chat();
    await site.queue({ ajax: [`ratelimit=${inAnHour.toUTCString()}`] });
    expect((await failure("Hello")).retryAfterMs).toBe(inAnHour.getTime() - clock.now());
  });

  test("in maintenance is told with the time that WordPress asks for", async () => {
    const { ask, failure } = chat();
    await ask("Hello");
    await site.maintenance(true);
    expect(await failure("Hello")).toMatchObject({
      code: "upstream_unavailable",
      retryAfterMs: 600_000,
      shouldRetry: false,
    });
  });

  test("for want of a database is told although its status is 200", async () => {
    const { ask, failure } = chat();
    await ask("Hello");
    await site.database(false);
    const error = await failure("Hello");
    expect(error.code).toBe("upstream_unavailable");
    expect(error.message).toContain("Error establishing a database connection");
  });

  test.each([
    "warning",
    "trailing_zero",
    "html_type",
    ...(site.isWordpress ? [] : ["bom", "blank_lines", "comment", "data_string"]),
  ])("is none when the answer is only untidy: %s", async (mode) => {
    await site.set({ ajax: mode });
    expect((await chat().ask("Hello")).text).toStartWith("You said: Hello\n[chars=5 ");
    await expectTraffic({ messages: 1, fetches: 1 });
  });

  test("leads to no other host, whatever the site says", async () => {
    const elsewhere = startForbiddenHost();
    try {
      const { ask, failure } = chat();
      await site.queue({ page: [`redirect=${elsewhere.url.href}`] });
      await failure("Hello");
      await ask("Hello");
      await site.queue({ ajax: [`redirect=${elsewhere.url.href}`] });
      await failure("Hello");
      expect(elsewhere.visits()).toBe(0);
    } finally {
      await elsewhere.stop();
    }
  });
});

describe("a fault of the page", () => {
  const faults: Record<string, Fault> = {
    challenge: { code: "upstream_challenge", shouldRetry: false },
    challenge503: { code: "upstream_challenge", shouldRetry: false },
    "http=429": { code: "upstream_rate_limited", shouldRetry: false },
    "http=500": { code: "upstream_unavailable" },
    "http=503": { code: "upstream_unavailable" },
    cf502: { code: "upstream_unavailable" },
    fatal: { code: "upstream_unavailable" },
    kill: { code: "upstream_unavailable" },
    cut: { code: "upstream_unreachable" },
    html200: { code: "upstream_nonce_unavailable", shouldRetry: false },
    empty: { code: "upstream_nonce_unavailable", shouldRetry: false },
    notfound: { code: "upstream_nonce_unavailable", shouldRetry: false },
  };

  test.each(Object.entries(faults))("%s is told and no message is sent", async (mode, fault) => {
    await site.set({ page_mode: mode });
    const { failure, ask } = chat();
    const error = await failure("Hello");
    expect(error.code).toBe(fault.code);
    if ("shouldRetry" in fault) expect(error.shouldRetry).toBe(fault.shouldRetry);
    expect((await seen()).messages).toBe(0);

    await site.set({ page_mode: "ok" });
    if (fault.code !== "upstream_nonce_unavailable") {
      expect((await ask("Again")).text).toStartWith("You said: Again");
    }
  });

  test("in maintenance is told with the time that WordPress asks for", async () => {
    await site.maintenance(true);
    expect(await chat().failure("Hello")).toMatchObject({
      code: "upstream_unavailable",
      retryAfterMs: 600_000,
      shouldRetry: false,
    });
  });

  test("for want of a database is told", async () => {
    await site.database(false);
    expect((await chat().failure("Hello")).code).toBe("upstream_unavailable");
  });

  test("is none when the page has moved within the site", async () => {
    await site.queue({ page: ["redirect=/chat/?_=1"] });
    expect((await chat().ask("Hello")).text).toStartWith("You said: Hello");
    await expectTraffic({ messages: 1, fetches: 2 });
  });

  test("is told when it leads to the login page", async () => {
    await site.set({ page_mode: "redirect" });
    expect((await chat().failure("Hello")).code).toBe("upstream_nonce_unavailable");
    expect((await seen()).messages).toBe(0);
  });

  test("is told when it redirects to itself for ever", async () => {
    await site.set({ page_mode: "redirect=/chat/" });
    const { failure } = chat();
    expect((await failure("Hello")).status).toBeGreaterThanOrEqual(502);
    expect((await seen()).fetches).toBeLessThan(25);
  });
});

describe("a site that is not there", () => {
  const nobody = "http://127.0.0.1:9/";

  test("is told as unreachable when the page can't be had", async () => {
    expect((await chat({ pageUrl: `${nobody}chat/` }).failure("Hello")).code).toBe("upstream_unreachable");
  });

  test("is told as unreachable when the call can't be made", async () => {
    const { failure } = chat({ ajaxUrl: `${nobody}wp-admin/admin-ajax.php` });
    expect((await failure("Hello")).code).toBe("upstream_unreachable");
  });
});

describe("a client who leaves", () => {
  test("ends the call in the middle, and the message is not sent again", async () => {
    const { ask } = chat();
    await ask("Hello");
    await site.set({ ajax: "slow=0.4" });
    const leaving = new AbortController();
    const left = ask("Slowly", { signal: leaving.signal }).catch((reason: unknown) => reason);
    while ((await seen()).messages < 2) await Bun.sleep(5);
    const reason = new ApiError("upstream_timeout", "too slow");
    leaving.abort(reason);
    expect(await left).toBe(reason);
    while ((await seen()).ajax[1]?.outcome === null) await Bun.sleep(20);
    await expectTraffic({ messages: 2, fetches: 1 });
    if (!site.isWordpress) expect((await site.status()).counts.aborted).toBe(1);
  });

  test("before anything was sent causes no call at all", async () => {
    const reason = new Error("gone");
    const left = chat().ask("Hello", { signal: AbortSignal.abort(reason) });
    expect(left).rejects.toBe(reason);
    expect((await seen()).messages).toBe(0);
  });
});

describe("the prompt", () => {
  async function sent(messages: readonly ChatMessage[], options?: Partial<KimiWebOptions>) {
    const { trace } = await chat(options).ask(messages);
    const text = (await seen()).ajax.at(-1)?.seen;
    return { text, dropped: trace.droppedMessages };
  }

  test("is a lone user message as it is", async () => {
    expect(await sent([message("user", "What is\nPHP?")])).toEqual({ text: "What is\nPHP?", dropped: 0 });
  });

  test("has system and developer texts first and then the labelled turns in order", async () => {
    const { text } = await sent([
      message("user", "One"),
      message("system", "Be brief."),
      message("assistant", "Two"),
      message("developer", "Be kind."),
      message("tool", "22 C"),
      message("user", "Three"),
    ]);
    const order = [
      "System: Be brief.",
      "Be kind.",
      "User: One",
      "Assistant: Two",
      "Tool: 22 C",
      "User: Three",
    ];
    const places = order.map((part) => text?.indexOf(part) ?? -1);
    expect(places).toEqual([...places].sort((a, b) => a - b));
    expect(places[0]).toBe(0);
    expect(text).toEndWith("User: Three");
  });

  test("ends with a trailing assistant message when the client sends one", async () => {
    const { text } = await sent([message("user", "Count"), message("assistant", "One, two,")]);
    expect(text).toBe("User: Count\nAssistant: One, two,");
  });

  test("has the operator's labels", async () => {
    const { text } = await sent([message("user", "一"), message("assistant", "二"), message("user", "三")], {
      labels: { system: "系统: ", user: "用户: ", assistant: "模型: ", tool: "工具: " },
    });
    expect(text).toStartWith("用户: 一");
    expect(text).toContain("模型: 二");
    expect(text).toEndWith("用户: 三");
  });

  test.each(["a", "世", "😀", "👨‍👩‍👧‍👦"])(
    "may have 1000 code points and no more, counted in %s",
    async (character) => {
      const size = [...character].length;
      const fitting = character
        .repeat(Math.floor(1000 / size))
        .padEnd(character.length * Math.floor(1000 / size) + (1000 % size), "x");
      const { ask, failure } = chat();
      expect((await ask(fitting)).text).toContain("chars=1000 ");
      const error = await failure(`${fitting}x`);
      expect(error).toMatchObject({ code: "context_length_exceeded", status: 400, param: "messages" });
      expect(error.message).toContain("1000");
      expect(error.message).toContain("1001");
      expect((await seen()).messages).toBe(1);
    },
  );

  test("loses its oldest turns first, each question with its reply, and never the system text", async () => {
    const turns = Array.from({ length: 20 }, (_, index) => [
      message("user", `question ${index} ${"世".repeat(50)}`),
      message("assistant", `reply ${index} ${"😀".repeat(50)}`),
    ]).flat();
    const { text, dropped } = await sent([
      message("system", "Be brief."),
      ...turns,
      message("user", "The newest one"),
    ]);
    expect(text).toStartWith("System: Be brief.");
    expect(text).toEndWith("User: The newest one");
    expect([...(text ?? "")].length).toBeLessThanOrEqual(1000);
    expect(dropped).toBeGreaterThan(0);
    expect(dropped % 2).toBe(0);
    const kept = [...(text ?? "").matchAll(/(question|reply) (\d+) /g)].map(
      ([, kind, index]) => `${kind} ${index}`,
    );
    expect(kept).toHaveLength(turns.length - dropped);
    expect(kept).toEqual(
      Array.from({ length: kept.length / 2 }, (_, index) => 20 - kept.length / 2 + index).flatMap((index) => [
        `question ${index}`,
        `reply ${index}`,
      ]),
    );
    // The next older turn would not have fitted.
    expect([...(text ?? "")].length).toBeGreaterThan(1000 - 2 * 80);
  });

  test("is refused with both numbers when system text and newest message alone are too long", async () => {
    const error = await chat().failure([
      message("system", "s".repeat(600)),
      message("user", "old"),
      message("user", "u".repeat(600)),
    ]);
    expect(error.code).toBe("context_length_exceeded");
    expect(error.message).toMatch(/\b1000\b/);
    expect(error.message).toMatch(/\b12\d\d\b/);
    await expectTraffic({ messages: 0, fetches: 0 });
  });
});

describe("text that WordPress would eat", () => {
  const texts = [
    'if (a<b && c>d) { printf("%25d\\n", x%20); }',
    "<!doctype html>\n<div class=\"a\">Hi <b>there</b></div>\n<script>alert('1 < 2')</script>",
    "#include <stdio.h>\nint main(void) { return 1<<3 > 2; }",
    "a lone < and a <b without end & an &amp; entity",
    "https://example.com/a%20b%2Fc?d=100%25#%E4%B8%96 50% off, 5 % of %zz %2",
    "<?php echo '<!-- x -->'; ?> <style>a{}</style> Vec<Vec<u8>> <- -> <= >= <> </",
    "%%2525 %2%2525 nested octets",
    "emoji 👨‍👩‍👧‍👦 世界 ＜already＞ ％25 “quotes” it's \\o/",
  ];
  const lookAlikes = (text: string) => text.replaceAll("＜", "<").replaceAll("％", "%").replaceAll("＞", ">");

  test.each(texts)("reaches the model whole through sanitize_textarea_field: %j", async (text) => {
    await site.set({ sanitize: "textarea" });
    await chat().ask(text);
    const [row] = (await seen()).ajax;
    expect(row?.seen).toBe(row?.message ?? "");
    expect(lookAlikes(row?.seen ?? "")).toBe(lookAlikes(text));
    expect(row?.chars).toBe([...text].length);
  });

  test.each(texts)(
    "reaches the model through sanitize_text_field, but for its line breaks: %j",
    async (text) => {
      await site.set({ sanitize: "text" });
      await chat().ask(text);
      const [row] = (await seen()).ajax;
      expect(lookAlikes(row?.seen ?? "")).toBe(lookAlikes(text).replace(/[\r\n\t ]+/g, " "));
    },
  );

  test("is left alone where nothing would be eaten", async () => {
    const text = "5 > 4, 100% sure, a -> b, 50 % off & \"more\" 'things' \\ back";
    await chat().ask(text);
    expect((await seen()).ajax[0]).toMatchObject({ message: text, seen: text });
  });

  test("still fits the budget", async () => {
    const text = "a<b>%20".repeat(142).padEnd(1000, "<");
    await site.set({ sanitize: "textarea" });
    expect((await chat().ask(text)).text).toContain("chars=1000 ");
  });

  test("is protected in every message of a history, and its labels stay", async () => {
    await chat().ask([
      message("system", "Use <b>."),
      message("user", "<i>1</i>"),
      message("assistant", "%20"),
      message("user", "done"),
    ]);
    const [row] = (await seen()).ajax;
    expect(row?.seen).toBe(row?.message ?? "");
    expect(lookAlikes(row?.seen ?? "")).toContain("Use <b>.");
  });

  test("survives a lone surrogate, which is no UTF-8", async () => {
    await chat().ask("broken \ud83d emoji");
    expect((await seen()).ajax[0]?.seen).toBe("broken \ufffd emoji");
  });

  test("is eaten when the operator wants it as it is", async () => {
    await chat({ safeText: false }).ask("a <b>bold</b> 100%25 claim");
    expect((await seen()).ajax[0]).toMatchObject({
      message: "a <b>bold</b> 100%25 claim",
      seen: "a bold 100 claim",
    });
  });
});

describe("what the site can't do", () => {
  test.each<[string, Asking, code: ErrorCode, param: string]>([
    ["several replies", { choices: 2 }, "unsupported_parameter", "n"],
    ["a tool that must be called", { toolChoice: "required" }, "unsupported_parameter", "tool_choice"],
    ["a named tool", { toolChoice: "named" }, "unsupported_parameter", "tool_choice"],
    ["JSON on demand", { responseFormat: "json_object" }, "unsupported_parameter", "response_format"],
    ["a JSON schema", { responseFormat: "json_schema" }, "unsupported_parameter", "response_format"],
  ])("%s is refused before anything is sent", async (_, asking, code, param) => {
    expect(await chat().failure("Hello", asking)).toMatchObject({ code, status: 400, param });
    await expectTraffic({ messages: 0, fetches: 0 });
  });

  test("parts of a message that are no text are refused by place and name, each once", async () => {
    const error = await chat().failure([
      message("user", "Look"),
      { ...message("user", "What is this?"), attachments: ["image_url", "input_audio", "image_url"] },
    ]);
    expect(error).toMatchObject({ code: "unsupported_content", status: 400, param: "messages" });
    expect(error.message).toContain("messages[1] has image_url, input_audio");
  });

  test.each(["image_url", "input_audio", "file"])(
    "a part of the type %s is refused by name",
    async (type) => {
      const error = await chat().failure([{ ...message("user", "What is this?"), attachments: [type] }]);
      expect(error).toMatchObject({ code: "unsupported_content", status: 400 });
      expect(error.message).toContain(type);
      await expectTraffic({ messages: 0, fetches: 0 });
    },
  );

  test("tools that are merely offered, or plain text that is asked for, do no harm", async () => {
    await chat().ask("Hello", {
      toolChoice: "auto",
      responseFormat: "text",
      native: { tools: [{ type: "function" }] },
    });
    await expectTraffic({ messages: 1, fetches: 1 });
  });
});
