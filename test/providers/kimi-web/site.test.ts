import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { ApiError, type ErrorCode } from "../../../core/errors.ts";
import { silentLogger } from "../../../core/log.ts";
import { type KimiWebOptions, kimiWeb } from "../../../core/providers/kimi-web/kimi-web.ts";
import type { ChatMessage, ChatRequest, ProviderContext, StreamPart } from "../../../core/types.ts";
import { fakeClock, settle } from "../../support/fake-clock.ts";
import { type SiteUnderTest, siteUnderTest } from "../../upstream/site-under-test.ts";

let site: SiteUnderTest;
beforeAll(async () => {
  site = await siteUnderTest();
});
beforeEach(() => site.reset());
afterAll(() => site.stop());

const models = [
  { id: "kimi-k2-instruct-0905", siteName: "moonshotai/Kimi-K2-Instruct-0905", aliases: ["kimi"] },
  { id: "kimi-k2-instruct", siteName: "moonshotai/Kimi-K2-Instruct" },
];

const provider = (overrides: Partial<KimiWebOptions> = {}) =>
  kimiWeb({
    pageUrl: site.pageUrl,
    ajaxUrl: site.ajaxUrl,
    models,
    maxChars: 1000,
    safeText: true,
    chunkChars: 8,
    chunkDelayMs: 0,
    ...overrides,
  });

const user = (text: string, attachments?: readonly string[]): ChatMessage => ({
  role: "user",
  text,
  native: { role: "user", content: text },
  ...(attachments && { attachments }),
});

const ask = (text: string, overrides: Partial<ChatRequest> = {}): ChatRequest => ({
  model: "kimi-k2-instruct",
  conversation: { id: "abc123xyz", startedAtMs: 1_700_000_000_000 },
  messages: [user(text)],
  stream: false,
  usage: false,
  stop: [],
  choices: 1,
  native: {},
  ...overrides,
});

const context = (overrides: Partial<ProviderContext> = {}): ProviderContext => ({
  signal: new AbortController().signal,
  requestId: "test",
  log: silentLogger,
  trace: { attempts: 0, upstreamMs: 0, droppedMessages: 0 },
  upstreamDone() {},
  ...overrides,
});

const collect = async (parts: AsyncIterable<StreamPart>): Promise<StreamPart[]> => Array.fromAsync(parts);

const reply = async (from: ReturnType<typeof provider>, text: string, overrides?: Partial<ChatRequest>) => {
  const parts = await collect(from.stream(ask(text, overrides), context()));
  return parts.map((part) => (part.type === "text-delta" ? part.delta : "")).join("");
};

const faultOf = async (promise: Promise<unknown>): Promise<ApiError> => {
  const fault = await promise.then(
    () => undefined,
    (error) => error,
  );
  if (!(fault instanceof ApiError)) throw new Error("no ApiError", { cause: fault });
  return fault;
};

const counts = async () => {
  const { ajax, pages } = await site.log();
  return { ajax: ajax.length, pages: pages.length };
};

describe("a message", () => {
  test("is posted as the page's own script would, and its reply passed on", async () => {
    const { stream } = provider({ headers: { Cookie: "own=1", "X-Extra": "yes" } });
    const told = context();
    expect(await collect(stream(ask("Hello"), told))).toEqual([
      {
        type: "text-delta",
        delta: "You said: Hello\n[chars=5 lines=1 turns=0 sha=f7ff9e8b model=Kimi-K2-Instruct]",
      },
      { type: "finish", reason: "stop" },
    ]);
    expect(told.trace).toMatchObject({ attempts: 1, droppedMessages: 0 });
    const { ajax, pages } = await site.log();
    expect(ajax[0]).toMatchObject({
      action: "kimi_send_message",
      message: "Hello",
      model: "moonshotai/Kimi-K2-Instruct",
      session_id: "session_1700000000000_abc123xyz",
      headers: {
        "content-type": "application/x-www-form-urlencoded; charset=UTF-8",
        "x-requested-with": "XMLHttpRequest",
        origin: new URL(site.pageUrl).origin,
        referer: site.pageUrl,
        cookie: "own=1",
      },
    });
    expect(pages).toHaveLength(1);
    expect(pages[0]?.headers["user-agent"]).toStartWith("Mozilla/5.0");
    expect(pages[0]?.headers["x-requested-with"]).toBeUndefined();
  });

  test("streams its reply in pieces that make up the whole", async () => {
    const { stream } = provider();
    const parts = await collect(stream(ask("[[sim:emoji]]", { stream: true }), context()));
    expect(parts.length).toBeGreaterThan(4);
    const text = parts.map((part) => (part.type === "text-delta" ? part.delta : "")).join("");
    expect(text).toBe("plain 😀 family 👨‍👩‍👧‍👦 flag 🇯🇵 skin 👍🏽 keycap 1️⃣ heart ❤️ rainbow 🏳️‍🌈 end");
    expect(parts.at(-1)).toEqual({ type: "finish", reason: "stop" });
  });

  test("fetches the page once for many", async () => {
    const { stream } = provider();
    const all = Array.from({ length: 8 }, (_, index) => collect(stream(ask(`Hello ${index}`), context())));
    await Promise.all(all);
    expect(await counts()).toEqual({ ajax: 8, pages: 1 });
  });

  test("is stopped where the request says", async () => {
    const parts = await collect(provider().stream(ask("one two", { stop: [" two"] }), context()));
    expect(parts[0]).toMatchObject({ delta: "You said: one" });
  });
});

test("pieces are paced by chunkDelayMs, and a client that leaves waits no longer", async () => {
  const clock = fakeClock();
  const { stream } = provider({ clock, chunkDelayMs: 20 });
  const controller = new AbortController();
  const parts = stream(ask("Hello", { stream: true }), context({ signal: controller.signal }))[
    Symbol.asyncIterator
  ]();
  expect((await parts.next()).value).toMatchObject({ type: "text-delta" });
  const second = parts.next();
  await settle();
  expect(clock.pending).toBe(1);
  await clock.advance(20);
  expect((await second).value).toMatchObject({ type: "text-delta" });
  const third = parts.next();
  await settle();
  const reason = new ApiError("client_closed_request", "gone");
  controller.abort(reason);
  expect(await faultOf(third)).toBe(reason);
  expect(clock.pending).toBe(0);
});

test("a client that leaves ends the call", async () => {
  const { stream } = provider();
  const controller = new AbortController();
  const reason = new ApiError("client_closed_request", "gone");
  const asked = collect(stream(ask("[[sim:slow=2]]"), context({ signal: controller.signal })));
  setTimeout(() => controller.abort(reason), 100);
  const startMs = performance.now();
  expect(await faultOf(asked)).toBe(reason);
  expect(performance.now() - startMs).toBeLessThan(1_000);
});

describe("models", () => {
  test("are listed with the site's names as aliases", async () => {
    const listed = await provider().models({ signal: new AbortController().signal, log: silentLogger });
    expect(listed.map(({ id, aliases }) => [id, aliases])).toEqual([
      ["kimi-k2-instruct-0905", ["kimi", "moonshotai/Kimi-K2-Instruct-0905"]],
      ["kimi-k2-instruct", ["moonshotai/Kimi-K2-Instruct"]],
    ]);
  });

  test("that are not there are refused", async () => {
    expect((await faultOf(reply(provider(), "x", { model: "gpt" }))).code).toBe("model_not_found");
  });
});

describe("what the site can't do is refused before anything is sent", () => {
  const requests: Record<string, [Partial<ChatRequest>, ErrorCode, string]> = {
    images: [{ messages: [user("a"), user("b", ["image_url"])] }, "unsupported_content", "messages"],
    "several replies": [{ choices: 2 }, "unsupported_parameter", "n"],
    "a required tool call": [{ toolChoice: "required" }, "unsupported_parameter", "tool_choice"],
    "a named tool call": [{ toolChoice: "named" }, "unsupported_parameter", "tool_choice"],
    JSON: [{ responseFormat: "json_object" }, "unsupported_parameter", "response_format"],
    "JSON by a schema": [{ responseFormat: "json_schema" }, "unsupported_parameter", "response_format"],
  };
  for (const [name, [request, code, param]] of Object.entries(requests)) {
    test(name, async () => {
      const fault = await faultOf(reply(provider(), "x", request));
      expect([fault.code, fault.param]).toEqual([code, param]);
      expect(await counts()).toEqual({ ajax: 0, pages: 0 });
    });
  }

  test("and says which part it is", async () => {
    const messages = [user("a"), user("b", ["image_url", "input_audio", "image_url"])];
    const fault = await faultOf(reply(provider(), "x", { messages }));
    expect(fault.message).toContain("messages[1] has image_url, input_audio");
  });
});

describe("a dead nonce", () => {
  for (const check of ["referer", "json", "json403"] as const) {
    test(`refused by ${check} is renewed, and the message sent once more`, async () => {
      await site.set({ nonce_check: check });
      const chat = provider();
      await reply(chat, "one");
      await site.rotate();
      expect(await reply(chat, "two")).toStartWith("You said: two");
      await site.rotate();
      expect(await reply(chat, "three")).toStartWith("You said: three");
      expect(await counts()).toEqual({ ajax: 5, pages: 3 });
    });
  }

  test("costs one page fetch, however many notice at once", async () => {
    const chat = provider();
    await reply(chat, "one");
    await site.rotate();
    const replies = await Promise.all(Array.from({ length: 8 }, (_, index) => reply(chat, `again ${index}`)));
    expect(replies.every((text) => text.startsWith("You said: again"))).toBe(true);
    expect((await counts()).pages).toBe(2);
  });

  test("from a page cache is renewed past it", async () => {
    for (const bypass of ["query", "no-cache", "cookie"]) {
      await site.reset();
      await site.set({ page_cache: "on", page_cache_bypass: [bypass] });
      await provider().warmUp?.();
      await site.rotate();
      expect(await reply(provider(), "hello")).toStartWith("You said: hello");
    }
  });

  test("from a page cache that can't be passed is told so, and asked for no more than once in a while", async () => {
    await site.set({ page_cache: "on", page_cache_bypass: [] });
    const chat = provider();
    await reply(chat, "one");
    await site.rotate();
    for (let round = 0; round < 3; round++) {
      const fault = await faultOf(reply(chat, "two"));
      expect(fault.code).toBe("upstream_nonce_unavailable");
      expect(fault.message).toContain("a page cache that can't be passed");
      expect(fault.shouldRetry).toBe(false);
    }
    expect(await counts()).toEqual({ ajax: 4, pages: 2 });
  });

  test("that the site refuses for ever is not sent more than twice", async () => {
    await site.set({ cookie: "require", ajax: "nonce_real" });
    const chat = provider();
    expect((await faultOf(reply(chat, "one"))).code).toBe("upstream_nonce_unavailable");
    expect(await counts()).toEqual({ ajax: 2, pages: 2 });
    expect((await faultOf(reply(chat, "two"))).code).toBe("upstream_nonce_unavailable");
    expect(await counts()).toEqual({ ajax: 3, pages: 2 });
  });
});

describe("cookies of the page", () => {
  for (const cookie of ["require", "bind"] as const) {
    test(`go with the message (${cookie})`, async () => {
      await site.set({ cookie });
      expect(await reply(provider(), "hello")).toStartWith("You said: hello");
    });
  }

  for (const cookie_fail of ["json", "json403"] as const) {
    test(`are renewed when the site has forgotten them (${cookie_fail})`, async () => {
      await site.set({ cookie: "require", cookie_fail });
      const chat = provider();
      await reply(chat, "one");
      await site.forget();
      expect(await reply(chat, "two")).toStartWith("You said: two");
      expect(await counts()).toEqual({ ajax: 3, pages: 2 });
    });
  }
});

describe("a refusal of unknown reason", () => {
  const oldNonce = async () => {
    const clock = fakeClock(Date.now());
    const chat = provider({ clock });
    await reply(chat, "one");
    await clock.advance(61_000);
    return chat;
  };

  test("is told at once while the nonce is young", async () => {
    const fault = await faultOf(reply(provider(), "[[sim:error=Nope]]"));
    expect([fault.code, fault.message]).toEqual(["upstream_error", "The chat site failed: Nope"]);
    expect(await counts()).toEqual({ ajax: 1, pages: 1 });
  });

  test("makes an old nonce looked up, and the message is not sent again if it is the same", async () => {
    const chat = await oldNonce();
    expect((await faultOf(reply(chat, "[[sim:error=Nope]]"))).code).toBe("upstream_error");
    expect(await counts()).toEqual({ ajax: 2, pages: 2 });
  });

  test("is overcome if the nonce was the reason", async () => {
    await site.set({ nonce_check: "json", nonce_fail_text: "Nope" });
    const chat = await oldNonce();
    await site.rotate();
    expect(await reply(chat, "hello")).toStartWith("You said: hello");
  });

  test("is told in the site's words if the page can't be had", async () => {
    const chat = await oldNonce();
    await site.set({ page_mode: "http=500" });
    const fault = await faultOf(reply(chat, "[[sim:error=Nope]]"));
    expect([fault.code, fault.message]).toEqual(["upstream_error", "The chat site failed: Nope"]);
  });
});

describe("the site's faults", () => {
  const onMessage: Record<string, ErrorCode> = {
    error: "upstream_error",
    error_status: "upstream_error",
    too_long: "context_length_exceeded",
    ratelimit200: "upstream_rate_limited",
    "ratelimit=7": "upstream_rate_limited",
    success_nodata: "upstream_invalid_response",
    data_empty_object: "upstream_invalid_response",
    data_empty_array: "upstream_invalid_response",
    message_null: "upstream_invalid_response",
    message_empty: "upstream_invalid_response",
    truncated_json: "upstream_invalid_response",
    empty: "upstream_invalid_response",
    zero: "upstream_invalid_response",
    unknown_action: "upstream_invalid_response",
    html200: "upstream_invalid_response",
    redirect: "upstream_invalid_response",
    "redirect=http://127.0.0.1:9/": "upstream_invalid_response",
    cut: "upstream_unreachable",
    kill: "upstream_unavailable",
    fatal: "upstream_unavailable",
    cf502: "upstream_unavailable",
    "http=500": "upstream_unavailable",
    "http=504": "upstream_unavailable",
    "http=403": "upstream_invalid_response",
    challenge: "upstream_challenge",
    challenge503: "upstream_challenge",
  };
  for (const [mode, code] of Object.entries(onMessage)) {
    test(`${mode} of a message: ${code}, after one call`, async () => {
      const fault = await faultOf(reply(provider(), `[[sim:${mode}]]`));
      expect(fault.code).toBe(code);
      if (mode === "ratelimit=7") expect(fault.retryAfterMs).toBe(7_000);
      expect(await counts()).toEqual({ ajax: 1, pages: 1 });
    });
  }

  for (const mode of ["warning", "trailing_zero", "html_type"]) {
    test(`${mode} does no harm`, async () => {
      expect(await reply(provider(), `[[sim:${mode}]] hello`)).toStartWith("You said: ");
    });
  }

  const onPage: Record<string, ErrorCode> = {
    html200: "upstream_nonce_unavailable",
    redirect: "upstream_nonce_unavailable",
    "redirect=http://127.0.0.1:9/": "upstream_nonce_unavailable",
    empty: "upstream_nonce_unavailable",
    notfound: "upstream_nonce_unavailable",
    cut: "upstream_unreachable",
    kill: "upstream_unavailable",
    fatal: "upstream_unavailable",
    cf502: "upstream_unavailable",
    "http=500": "upstream_unavailable",
    challenge: "upstream_challenge",
    challenge503: "upstream_challenge",
  };
  for (const [mode, code] of Object.entries(onPage)) {
    test(`${mode} of the page: ${code}, without a message sent`, async () => {
      await site.set({ page_mode: mode });
      expect((await faultOf(reply(provider(), "hello"))).code).toBe(code);
      expect((await counts()).ajax).toBe(0);
    });
  }

  for (const page of ["no_nonce", "empty_nonce", "broken_json", "none"]) {
    test(`a page of the form ${page} has no nonce`, async () => {
      await site.set({ page });
      expect((await faultOf(reply(provider(), "hello"))).code).toBe("upstream_nonce_unavailable");
    });
  }

  test("maintenance is told with its Retry-After", async () => {
    const chat = provider();
    await reply(chat, "hello");
    await site.maintenance(true);
    for (const asked of [chat, provider()]) {
      const fault = await faultOf(reply(asked, "hello"));
      expect([fault.code, fault.retryAfterMs]).toEqual(["upstream_unavailable", 600_000]);
    }
  });

  test("a lost database is told", async () => {
    const chat = provider();
    await reply(chat, "hello");
    await site.database(false);
    for (const asked of [chat, provider()]) {
      const fault = await faultOf(reply(asked, "hello"));
      expect([fault.code, fault.message]).toEqual([
        "upstream_unavailable",
        expect.stringMatching(/database/i) as unknown as string,
      ]);
    }
  });

  test("nobody listening is told", async () => {
    const chat = provider({ pageUrl: "http://127.0.0.1:9/chat/", ajaxUrl: "http://127.0.0.1:9/ajax" });
    expect((await faultOf(reply(chat, "hello"))).code).toBe("upstream_unreachable");
  });

  test("words of a nonce in a failure of the model do not loop", async () => {
    const fault = await faultOf(reply(provider(), "[[sim:error=AI token expired, please refresh]]"));
    expect(fault.code).toBe("upstream_nonce_unavailable");
    expect(fault.message).toContain("AI token expired, please refresh");
    expect(await counts()).toEqual({ ajax: 1, pages: 2 });
  });
});

test("leaves no listener on the signal of its client", async () => {
  const { signal } = new AbortController();
  let listeners = 0;
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (...args: Parameters<typeof add>) => {
    listeners++;
    add(...args);
  };
  signal.removeEventListener = (...args: Parameters<typeof remove>) => {
    listeners--;
    remove(...args);
  };
  const { stream } = provider();
  await collect(stream(ask("Hello", { stream: true }), context({ signal })));
  expect(listeners).toBe(0);
});
