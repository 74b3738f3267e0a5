import { describe, expect, test } from "bun:test";
import { ApiError } from "../../../../core/errors.ts";
import { postMessage, type SiteAnswer } from "../../../../core/providers/wordpress-chat/post.ts";
import { readAnswer } from "../../../../core/providers/wordpress-chat/protocol/answer.ts";
import { createAnswerForm } from "../../../../core/providers/wordpress-chat/protocol/answer-form.ts";
import { createRequestForm } from "../../../../core/providers/wordpress-chat/protocol/request-form.ts";
import { defaultSite } from "../../../../core/providers/wordpress-chat/settings.ts";
import { firewallAnswers } from "../../../fakes/firewalls.ts";
import type { SiteAnswer as SiteReply } from "../../../fakes/wordpress-answers.ts";

const nowMs = Date.parse("2026-03-01T00:00:00Z");

const clock = { now: () => nowMs };

const { ajaxUrl, protocol } = defaultSite();
const form = createAnswerForm(ajaxUrl, protocol);
const sent = { form, clock, nonce: "f3749c0f5f", cookie: "own=secret-cookie; a=1", isNonceAccepted: false };

const read = (text: string, status = 200, headers: Record<string, string> = {}): SiteAnswer =>
  readAnswer({ status, headers: new Headers(headers), text, isCut: false }, sent);

const failed = (data: unknown, status?: number, headers?: Record<string, string>) => () =>
  read(JSON.stringify({ success: false, data }), status, headers);

const faultOf = (run: () => unknown): ApiError => {
  try {
    run();
  } catch (error) {
    if (error instanceof ApiError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
};

describe("a reply", () => {
  const text = 'Hi &amp; "bye" <b>\u2028</b>\r\n\ud83d\ude00 {}';
  const json = JSON.stringify({ success: true, data: { message: text } });

  test("is passed on exactly", () => expect(read(json)).toEqual({ kind: "reply", text }));

  test("may be the data itself", () =>
    expect(read('{"success":true,"data":"Hi"}')).toEqual({ kind: "reply", text: "Hi" }));

  test("is found between PHP's warnings and WordPress's 0", () =>
    expect(read(`<br />\n<b>Warning</b>: x in <b>/a</b><br />\n${json}0`)).toEqual({ kind: "reply", text }));

  test("that speaks like a failure is a reply", () => {
    const words = "Rate limit, nonce expired, <title>Just a moment...</title>, database connection";
    expect(read(JSON.stringify({ success: true, data: { message: words } }))).toEqual({
      kind: "reply",
      text: words,
    });
  });
});

describe("a refused nonce", () => {
  const answers: Record<string, [text: string, status?: number]> = {
    "403 -1": ["-1", 403],
    "403 -1 with blanks": ["\n-1\n", 403],
    "200 -1": ["-1"],
    "-1 behind a warning": ["<br />\n<b>Warning</b>: x<br />\n-1", 403],
    "-1 before a comment": ["-1\n<!-- cached -->", 403],
    "Security check failed": ['{"success":false,"data":"Security check failed"}'],
    "Security check failed, 403": ['{"success":false,"data":"Security check failed"}', 403],
    "Invalid nonce, as an object": ['{"success":false,"data":{"message":"Invalid nonce"}}'],
    "Session expired": ['{"success":false,"data":"Your session has EXPIRED."}', 401],
    "please refresh": ['{"success":false,"data":{"error":"Please refresh the page"}}'],
    "a WP_Error's code": [
      '{"success":false,"data":[{"code":"rest_cookie_invalid_nonce","message":"Cookie check failed"}]}',
    ],
    "words beside data": ['{"success":false,"message":"nonce"}'],
    "the REST API's words": [
      '{"code":"rest_cookie_invalid_nonce","message":"Cookie check failed","data":{"status":403}}',
      403,
    ],
    "plain words of a 403": ["Nonce verification failed", 403],
    "other languages": ["安全验证失败，请刷新页面后重试", 403],
    "other languages, as JSON": ['{"success":false,"data":"Sicherheitsprüfung fehlgeschlagen."}'],
    "a route's own check": [
      '{"code":"rest_forbidden","message":"Sorry, you are not allowed to do that.","data":{"status":401}}',
      401,
    ],
    "a code that is all": ['{"success":false,"data":{"code":"invalid_nonce"}}'],
    "a token's name": ['{"message":"CSRF token mismatch."}', 419],
  };
  for (const [name, [text, status]] of Object.entries(answers)) {
    test(`told by ${name}`, () => expect(read(text, status).kind).toBe("refused-nonce"));
  }
});

test("a refusal without a known reason is unclear", () => {
  for (const data of ["Something went wrong", "", null, {}, [], { message: 7 }, "Cheatin&#8217; uh?"]) {
    expect(failed(data)().kind).toBe("unclear-refusal");
  }
});

test("the plain words of a refusal are unclear too", () => {
  for (const [text, status] of [
    ["Unauthorized", 403],
    ["Zugriff verweigert.", 401],
    ["Ugyldig forespørsel", 403],
  ] as const) {
    expect(read(text, status)).toEqual({ kind: "unclear-refusal", text });
  }
});

test("cookies that are too large for the web server are told apart", () => {
  for (const [text, status] of [
    ["<html><head><title>400 Request Header Or Cookie Too Large</title></head></html>", 400],
    [
      "<p>Your browser sent a request that this server could not understand.<br />\nSize of a request header field exceeds server limit.</p>",
      400,
    ],
    ["Request Header Fields Too Large", 431],
    ["", 431],
  ] as const) {
    expect(read(text, status).kind).toBe("refused-cookies");
  }
  expect(faultOf(() => read("<title>400 Bad Request</title>", 400)).code).toBe("upstream_invalid_response");
});

describe("a page by which a firewall refuses a message, once the nonce has been accepted,", () => {
  const readAccepted =
    (text: string, status: number, headers: Record<string, string> = {}) =>
    () =>
      readAnswer(
        { status, headers: new Headers(headers), text, isCut: false },
        { ...sent, isNonceAccepted: true },
      );
  const refused = "The site's firewall refused this message; other messages may pass.";

  test.each([
    ["nginx with ModSecurity", "<html>\r\n<head><title>403 Forbidden</title></head>\r\n", 403],
    [
      "ModSecurity's own",
      "<head><title>Not Acceptable!</title></head> This error was generated by Mod_Security.",
      406,
    ],
    ["Wordfence", "<!doctype html><p>A potentially unsafe operation</p> Generated by Wordfence", 403],
    ["basic auth's", "<html><title>401 Authorization Required</title>", 401],
  ])("is told as such: %s", (_, text, status) => {
    const fault = faultOf(readAccepted(text, status));
    expect(fault).toMatchObject({ code: "upstream_message_refused", status: 422, shouldRetry: false });
    expect(fault.message).toBe(refused);
  });

  test("is none of: a challenge, a limit, another status, plain words, JSON", () => {
    const code = (...answer: Parameters<typeof readAccepted>) => faultOf(readAccepted(...answer)).code;
    expect(code("<title>Just a moment...</title>", 403)).toBe("upstream_challenge");
    expect(code("<title>403</title>", 403, { "cf-mitigated": "challenge" })).toBe("upstream_challenge");
    expect(code("<title>Limited</title> Generated by Wordfence", 503, { "retry-after": "60" })).toBe(
      "upstream_rate_limited",
    );
    expect(code("<title>404 Not Found</title>", 404)).toBe("upstream_invalid_response");
    expect(readAccepted("Unauthorized", 403)().kind).toBe("unclear-refusal");
    expect(readAccepted("-1", 403)().kind).toBe("refused-nonce");
    expect(readAccepted('{"success":false,"data":"No"}', 403)().kind).toBe("unclear-refusal");
  });

  test("is no such thing before", () => {
    expect(faultOf(() => read("<title>403 Forbidden</title>", 403)).code).toBe("upstream_invalid_response");
    expect(faultOf(() => read("<title>Not Acceptable!</title>", 406)).code).toBe("upstream_challenge");
  });
});

describe("a failure of the site", () => {
  const firewall = (name: string) => () => {
    const { status, headers, body } = (firewallAnswers[name] as () => SiteReply)();
    return read(body, status, Object.fromEntries(new Headers(headers)));
  };

  const faults: Record<string, [run: () => unknown, code: string, words: string | RegExp]> = {
    "of the model": [
      failed("AI service is temporarily unavailable. Please try again."),
      "upstream_error",
      "The chat site failed: AI service is temporarily unavailable. Please try again.",
    ],
    "of the model, as a WP_Error": [
      failed([{ code: "http_request_failed", message: "cURL error 28: Operation timed out" }]),
      "upstream_error",
      /cURL error 28/,
    ],
    "of the model, status 500": [failed("AI nonce", 500), "upstream_error", /AI nonce/],
    "for a message too long": [
      failed("Message is too long. Maximum 1000 characters allowed."),
      "context_length_exceeded",
      /Maximum 1000 characters/,
    ],
    "for a rate limit in words": [
      failed("Rate limit exceeded. Please refresh later."),
      "upstream_rate_limited",
      /Rate limit exceeded/,
    ],
    "for a rate limit, status 429": [failed("No", 429), "upstream_rate_limited", /: No$/],
    "status 503": [failed("Down", 503), "upstream_unavailable", /Down/],
    "without a message": [
      () => read('{"success":true,"data":{}}'),
      "upstream_invalid_response",
      /no message/,
    ],
    "with an empty message": [
      () => read('{"success":true,"data":{"message":""}}'),
      "upstream_invalid_response",
      /no message/,
    ],
    "with a list": [() => read('{"success":true,"data":[]}'), "upstream_invalid_response", /no message/],
    "of a number": [
      () => read('{"success":true,"data":{"message":7}}'),
      "upstream_invalid_response",
      /no message/,
    ],
    empty: [() => read(""), "upstream_invalid_response", /empty/],
    "0": [() => read("0"), "upstream_invalid_response", /"0"/],
    "400 0": [() => read("0", 400), "upstream_invalid_response", /400.*no action kimi_send_message/],
    null: [() => read("null"), "upstream_invalid_response", /null/],
    "of HTML": [
      () => read("<!DOCTYPE html><html><head><title>Log In</title></head></html>"),
      "upstream_invalid_response",
      /HTML page instead of JSON \(status 200\): "Log In"/,
    ],
    "of a redirect": [
      () => read("", 302, { location: "https://site.test/wp-login.php?redirect_to=secret" }),
      "upstream_invalid_response",
      /redirect to https:\/\/site\.test\/wp-login\.php, which is not followed/,
    ],
    "of PHP": [
      () => read("<p>There has been a critical error on this website.</p>", 500),
      "upstream_unavailable",
      /status 500.*critical error/,
    ],
    "of the database, status 200": [
      () => read("<h1>Error establishing a database connection</h1>\n<p>This either means"),
      "upstream_unavailable",
      /database connection/,
    ],
    "of nginx": [
      () => read("<html>\r\n<head><title>502 Bad Gateway</title></head></html>", 502),
      "upstream_unavailable",
      /: 502 Bad Gateway$/,
    ],
    "a challenge by its header": [
      () => read("{}", 403, { "cf-mitigated": "challenge" }),
      "upstream_challenge",
      /403/,
    ],
    "a challenge by its title": [
      () => read("<html><head><title>Just a moment...</title>", 503),
      "upstream_challenge",
      /503/,
    ],
    "a block in one line": [() => read("error code: 1020", 403), "upstream_challenge", /403/],
    "a block as a page": [
      () => read("<html><head><title>Attention Required! | Cloudflare</title>", 403),
      "upstream_challenge",
      /403/,
    ],
    "a challenge of Anubis": [firewall("anubis"), "upstream_challenge", /status 200/],
    "a challenge of Imunify360": [firewall("imunify"), "upstream_challenge", /status 200/],
    "a block of Imunify360, as JSON": [firewall("imunify_json"), "upstream_challenge", /415/],
    "a captcha of LiteSpeed": [firewall("lscaptcha"), "upstream_challenge", /403/],
    "a challenge of DDoS-Guard": [firewall("ddosguard"), "upstream_challenge", /403/],
    "a challenge of AWS WAF, by its header": [firewall("awswaf"), "upstream_challenge", /202/],
    "a challenge of AWS WAF, by its page": [firewall("awswaf_page"), "upstream_challenge", /202/],
    "a block of ModSecurity": [firewall("modsec"), "upstream_challenge", /406/],
    "a block of Wordfence": [firewall("wordfence"), "upstream_challenge", /403/],
    "a limit of Wordfence": [
      firewall("wordfence_limit"),
      "upstream_rate_limited",
      /Your access to this site has been limited/,
    ],
    "in JSON without success": [
      () => read('{"error":"The model is asleep"}'),
      "upstream_error",
      "The chat site failed: The model is asleep",
    ],
    "in JSON without success, status 500": [
      () =>
        read(
          '{"code":"internal_server_error","message":"<p>There has been a critical error on this website.</p>","data":{"status":500}}',
          500,
        ),
      "upstream_unavailable",
      /critical error/,
    ],
    "for a rate limit in JSON without success": [
      () => read('{"message":"Rate limit exceeded"}'),
      "upstream_rate_limited",
      /Rate limit exceeded/,
    ],
    "a rate limit of the edge": [() => read("error code: 1015", 429), "upstream_rate_limited", /1015/],
    "a plain 403": [
      () => read("<title>403 Forbidden</title>", 403),
      "upstream_invalid_response",
      /403 Forbidden/,
    ],
  };
  for (const [name, [run, code, words]] of Object.entries(faults)) {
    test(`told by ${name}`, () => {
      const fault = faultOf(run);
      expect(fault.code).toBe(code as typeof fault.code);
      if (typeof words === "string") expect(fault.message).toBe(words);
      else expect(fault.message).toMatch(words);
    });
  }
});

test("Retry-After is passed on, in seconds or as a date", () => {
  const date = new Date(nowMs + 90_000).toUTCString();
  expect(faultOf(failed("No", 429, { "retry-after": "7" })).retryAfterMs).toBe(7_000);
  const limit = "<title>Your access to this site has been limited</title> Generated by Wordfence";
  expect(faultOf(() => read(limit, 503, { "retry-after": "60" })).retryAfterMs).toBe(60_000);
  expect(faultOf(() => read("slow", 429, { "retry-after": date })).retryAfterMs).toBe(90_000);
  expect(faultOf(() => read("Briefly unavailable", 503, { "retry-after": "600" })).retryAfterMs).toBe(
    600_000,
  );
  expect(faultOf(() => read("slow", 429, { "retry-after": "soon" })).retryAfterMs).toBeUndefined();
});

test("the site's words are shown in one short line without tags", () => {
  const { message } = faultOf(failed(`AI <b>down</b>\u0000\u001b[31m\n${"x".repeat(1000)}`));
  expect(message).toStartWith("The chat site failed: AI down [31m xxx");
  expect(message.length).toBeLessThan(330);
});

test("what may be a piece of a reply is not shown", () => {
  for (const text of [
    '{"success":true,"data":{"message":"private',
    '{"success":true,"data":{"message":"private"}',
    '{"succ\\":true,"data":{"message":"private"}',
    "<br />Warning<br />{ private",
    "private",
  ]) {
    const fault = faultOf(() => read(text));
    expect(fault.code).toBe("upstream_invalid_response");
    expect(fault.message).not.toContain("private");
  }
});

test("a broken reply that ends in -1 is no refused nonce", () => {
  expect(faultOf(() => read('{"success":true,"data":{"message":"It is\n-1')).code).toBe(
    "upstream_invalid_response",
  );
});

test("an answer over the size limit is refused", () => {
  const response = { status: 200, headers: new Headers(), text: "{", isCut: true };
  expect(faultOf(() => readAnswer(response, sent)).message).toContain("4 million");
});

test("what was sent in secret is not shown, whoever repeats it", () => {
  const words = "AI: bad f3749c0f5f with secret-cookie 1";
  for (const fault of [faultOf(failed(words)), faultOf(() => read(`<title>${words}</title>`, 500))]) {
    expect(fault.message).toContain("AI: bad *** with *** 1");
  }
});

describe("the form", () => {
  test.each([
    "a&b=c+d %20 100% é 中 😀",
    "line\nbreak\r\n\ttab \u2028 \0",
    "!'()*~-._;/?:@,",
    "half a pair \ud83d, the other \ude00",
  ])("carries %j as URLSearchParams would", async (message) => {
    let body = "";
    const fetch = (_url: string, init: RequestInit) => {
      body = String(init.body);
      return Promise.resolve(Response.json({ success: true, data: { message: "Hi" } }));
    };
    const form = { message, model: "moonshotai/Kimi", session: "session_1_abc" };
    const nonce = "f3749c0f5f";
    const { signal } = new AbortController();
    const read = {
      request: createRequestForm(ajaxUrl, protocol),
      answer: createAnswerForm(ajaxUrl, protocol),
      events: undefined,
    };
    const options = { fetch, protocol: read, headers: new Headers(), nonce, cookie: "", signal };
    expect(await postMessage(form, { ...options, clock, isNonceAccepted: false })).toEqual({
      kind: "reply",
      text: "Hi",
    });
    const expected = {
      action: "kimi_send_message",
      message,
      model: form.model,
      session_id: form.session,
      nonce,
    };
    expect([...new URLSearchParams(body)]).toEqual([
      ...new URLSearchParams(new URLSearchParams(expected).toString()),
    ]);
  });
});
