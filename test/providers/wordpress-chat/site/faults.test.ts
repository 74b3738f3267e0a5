import { describe, expect, test } from "bun:test";
import type { ErrorCode } from "../../../../core/errors.ts";
import { startForbiddenHost } from "../../../fakes/forbidden-host.ts";
import { nobody } from "../../../support/nobody.ts";
import { chatWithSite, hourMs, minuteMs } from "./site-chat.ts";

const { site, chat, seen, expectTraffic } = await chatWithSite();

interface Fault {
  readonly code: ErrorCode;
  readonly retryAfterMs?: number;
  readonly shouldRetry?: boolean | undefined;
  /** What the error's text says. */
  readonly says?: string | RegExp;
}

/** Faults that the real WordPress's simulator can't do. */
const standInFaults: Record<string, Fault> = {
  null: { code: "upstream_invalid_response", says: "null" },
  modsec: { code: "upstream_message_refused", shouldRetry: false },
  wordfence: { code: "upstream_message_refused", shouldRetry: false },
  wordfence_limit: { code: "upstream_rate_limited", retryAfterMs: 60_000, shouldRetry: false },
  anubis: { code: "upstream_challenge", shouldRetry: false },
  imunify: { code: "upstream_challenge" },
  imunify_json: { code: "upstream_challenge" },
  lscaptcha: { code: "upstream_challenge" },
  ddosguard: { code: "upstream_challenge" },
  awswaf: { code: "upstream_challenge" },
  "error_json=The model is asleep": { code: "upstream_error", says: "The model is asleep" },
};

describe("a fault of a call to the site", () => {
  const inAnHour = new Date(Math.ceil((Date.now() + hourMs) / 1000) * 1000);

  const faults: Record<string, Fault> = {
    error: { code: "upstream_error", shouldRetry: false, says: "AI service is temporarily unavailable" },
    "error=cURL error 28: Operation timed out": { code: "upstream_error", says: "cURL error 28" },
    "error_status=500": { code: "upstream_error", says: "AI service is temporarily unavailable" },
    ratelimit200: { code: "upstream_rate_limited", shouldRetry: false, says: "Rate limit exceeded" },
    "ratelimit=7": { code: "upstream_rate_limited", retryAfterMs: 7000, shouldRetry: undefined },
    "ratelimit=31": { code: "upstream_rate_limited", retryAfterMs: 31_000, shouldRetry: false },
    "ratelimit=Fri, 31 Dec 9999 23:59:59 GMT": { code: "upstream_rate_limited", shouldRetry: false },
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
    "http=401": { code: "upstream_message_refused", shouldRetry: false, says: /other messages may pass/ },
    "http=403": { code: "upstream_message_refused", shouldRetry: false },
    "http=406": { code: "upstream_message_refused", shouldRetry: false },
    ...(site.isWordpress ? {} : standInFaults),
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

  if (!site.isWordpress) {
    test("in the plain words of a 403 is told once, when the page has no other nonce", async () => {
      const { ask, failure, clock } = chat();
      await ask("Hello");
      await clock.advance(2 * minuteMs);
      await site.queue({ ajax: ["unauthorized"] });
      expect(await failure("Hello")).toMatchObject({
        code: "upstream_error",
        message: "The chat site failed: Unauthorized",
      });
      await expectTraffic({ messages: 2, fetches: 2 });
    });
  }

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

const standInPageFaults: Record<string, Fault> = {
  anubis: { code: "upstream_challenge", shouldRetry: false },
  imunify: { code: "upstream_challenge" },
  lscaptcha: { code: "upstream_challenge" },
  ddosguard: { code: "upstream_challenge" },
  awswaf: { code: "upstream_challenge" },
  modsec: { code: "upstream_challenge" },
  wordfence_limit: { code: "upstream_rate_limited", shouldRetry: false },
  large_header: { code: "upstream_nonce_unavailable", shouldRetry: false },
  // WordPress's own has the nonce.
  notfound: { code: "upstream_nonce_unavailable", shouldRetry: false },
};

describe("a fault of the site's page", () => {
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
    ...(site.isWordpress ? {} : standInPageFaults),
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

  if (site.isWordpress) {
    test("is none when it is WordPress's 404, which has the nonce too", async () => {
      await site.set({ page_mode: "notfound" });
      expect((await chat().ask("Hello")).text).toStartWith("You said: Hello");
      await expectTraffic({ messages: 1, fetches: 1 });
    });
  }

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
  test("is told as unreachable when the page can't be had", async () => {
    expect((await chat({ pageUrl: `${nobody}/chat/` }).failure("Hello")).code).toBe("upstream_unreachable");
  });

  test("is told as unreachable when the call can't be made", async () => {
    const { failure } = chat({ ajaxUrl: `${nobody}/wp-admin/admin-ajax.php` });
    expect((await failure("Hello")).code).toBe("upstream_unreachable");
  });
});
