/** Holds the stand-in and the real WordPress to the same recorded bytes. */
import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import {
  furtherBrokenPageVariants,
  furtherPageVariants,
  sharedBrokenPageVariants,
  sharedPageVariants,
} from "./chat-page.ts";
import { replyTexts } from "./faults.ts";
import type { SiteSettings } from "./site-control.ts";
import { siteUnderTest } from "./site-under-test.ts";

const site = await siteUnderTest();
afterAll(() => site.stop());
beforeEach(() => site.reset());

const json = "application/json; charset=UTF-8";
const html = "text/html; charset=UTF-8";

async function page(query = "", headers: Record<string, string> = {}) {
  const response = await fetch(site.pageUrl + query, { redirect: "manual", headers });
  const body = await response.text();
  const nonce = /"nonce":"([0-9a-f]{10})"/.exec(body)?.[1] ?? "";
  return { status: response.status, headers: response.headers, body, nonce };
}

async function send(fields: Record<string, string>, headers: Record<string, string> = {}) {
  const response = await fetch(site.ajaxUrl, {
    method: "POST",
    redirect: "manual",
    headers,
    body: new URLSearchParams({
      action: "kimi_send_message",
      model: "moonshotai/Kimi-K2-Instruct-0905",
      session_id: "session_1_abcdefghi",
      ...fields,
    }),
  });
  return {
    status: response.status,
    type: response.headers.get("content-type"),
    headers: response.headers,
    body: await response.text(),
  };
}

/** A nonce that isn't the same in upper case: one in a hundred is of digits alone. */
async function nonceWithLetter(): Promise<string> {
  while (true) {
    const { nonce } = await page();
    if (/[a-f]/.test(nonce)) return nonce;
    await site.rotate();
  }
}

async function say(message: string) {
  return send({ nonce: (await page()).nonce, message });
}

describe("the chat page", () => {
  test("has a nonce of ten hex digits, WordPress's headers and neither cookie nor cache headers", async () => {
    const { status, headers, nonce } = await page();
    expect(status).toBe(200);
    expect(headers.get("content-type")).toBe(html);
    expect(nonce).toMatch(/^[0-9a-f]{10}$/);
    expect(headers.get("link")).toContain(`<${site.url}/wp-json/>; rel="https://api.w.org/"`);
    for (const name of ["set-cookie", "cache-control", "etag"]) expect(headers.has(name)).toBe(false);
  });

  test("prints the settings script as WordPress 6.1 does", async () => {
    const { body, nonce } = await page();
    const ajaxUrl = site.ajaxUrl.replaceAll("/", "\\/");
    expect(body).toContain(
      `<script id='kimi-chat-js-extra'>\nvar kimi_ajax = {"ajax_url":"${ajaxUrl}","nonce":"${nonce}"};\n</script>\n`,
    );
  });

  test("redirects to its address with a trailing slash", async () => {
    const response = await fetch(`${site.url}/chat`, { redirect: "manual" });
    expect(response.status).toBe(301);
    expect(response.headers.get("location")).toBe(site.pageUrl);
    expect(response.headers.get("x-redirect-by")).toBe("WordPress");
  });

  test.each([
    ["?_=1", 200],
    ["?nocache=1", 200],
    ["?m=1", 404],
    ["?s=x", 404],
    ["?page=2", 301],
  ])("answers the query %s with %d", async (query, status) => {
    expect((await page(query)).status).toBe(status);
  });

  test.each([...sharedPageVariants])("has its nonce somewhere in the shape %s", async (variant) => {
    const { nonce } = await page();
    await site.set({ page: variant });
    const { body } = await page();
    const texts = [body, decodeURIComponent(body.replace(/%(?![0-9A-F]{2})/g, "%25"))];
    for (const [, text = ""] of body.matchAll(/base64,([A-Za-z0-9+/=]+)/g)) texts.push(atob(text));
    expect(texts.some((text) => text.includes(nonce))).toBe(true);
  });

  test.each([...sharedBrokenPageVariants])("has no usable nonce in the shape %s", async (variant) => {
    const { nonce } = await page();
    await site.set({ page: variant });
    expect((await page()).body).not.toContain(nonce);
  });

  if (!site.isWordpress) {
    test.each([...furtherPageVariants, ...furtherBrokenPageVariants])(
      "knows the shape %s",
      async (variant) => {
        await site.set({ page: variant });
        expect((await page()).body).not.toContain("no such page variant");
      },
    );
  }

  test("keeps its old nonce while a page cache holds it, unless query or no-cache header get past", async () => {
    await site.set({ page_cache: "on" });
    const first = await page();
    await site.rotate();
    const cached = await page();
    expect(cached.nonce).toBe(first.nonce);
    expect(cached.headers.get("x-litespeed-cache")).toBe("hit");
    expect((await page("?_=2")).nonce).not.toBe(first.nonce);
    expect((await page("", { "cache-control": "no-cache" })).nonce).not.toBe(first.nonce);
    await site.purge();
    expect((await page()).nonce).not.toBe(first.nonce);
    expect((await site.log()).pages.map((row) => row.cache)).toEqual([
      "miss",
      "hit",
      "bypass:query",
      "bypass:no-cache",
      "miss",
    ]);
  });
});

describe("admin-ajax.php", () => {
  test("answers a good call with WordPress's headers and what the plugin was told", async () => {
    const { status, headers, body } = await say("user: hi\nassistant: hello\nuser: again 😀");
    expect(status).toBe(200);
    expect(body).toBe(
      String.raw`{"success":true,"data":{"message":"You said: user: again \ud83d\ude00\n[chars=39 lines=3 turns=3 sha=${new Bun.CryptoHasher("sha1").update("user: hi\nassistant: hello\nuser: again 😀").digest("hex").slice(0, 8)} model=Kimi-K2-Instruct-0905]"}}`,
    );
    expect(headers.get("content-type")).toBe(json);
    expect(headers.get("x-robots-tag")).toBe("noindex");
    expect(headers.get("x-content-type-options")).toBe("nosniff");
    expect(headers.get("referrer-policy")).toBe("strict-origin-when-cross-origin");
    expect(headers.get("x-frame-options")).toBe("SAMEORIGIN");
    expect(headers.get("expires")).toBe("Wed, 11 Jan 1984 05:00:00 GMT");
    expect(headers.get("cache-control")).toBe("no-cache, must-revalidate, max-age=0");
  });

  const success = (reply: string) => (body: string) =>
    expect(JSON.parse(body)).toEqual({ success: true, data: { message: reply } });

  test.each<
    [mode: string, status: number, type: string | null, body: string | RegExp | ((body: string) => void)]
  >([
    ["nonce_real", 403, html, "-1"],
    ["nonce_json", 200, json, '{"success":false,"data":"Security check failed"}'],
    ["nonce_json403", 403, json, '{"success":false,"data":"Security check failed"}'],
    ["unknown_action", 400, html, "0"],
    ["zero", 200, html, "0"],
    [
      "error",
      200,
      json,
      '{"success":false,"data":"AI service is temporarily unavailable. Please try again."}',
    ],
    ["error=So it goes", 200, json, '{"success":false,"data":"So it goes"}'],
    ["error_status=503", 503, json, '{"success":false,"data":"AI service is temporarily unavailable."}'],
    [
      "too_long",
      200,
      json,
      '{"success":false,"data":"Message is too long. Maximum 1000 characters allowed."}',
    ],
    [
      "ratelimit200",
      200,
      json,
      '{"success":false,"data":"Rate limit exceeded. Please wait a moment before sending another message."}',
    ],
    ["ratelimit=3", 429, json, '{"success":false,"data":"Too many requests"}'],
    ["success_nodata", 200, json, '{"success":true}'],
    ["data_empty_object", 200, json, '{"success":true,"data":{}}'],
    ["data_empty_array", 200, json, '{"success":true,"data":[]}'],
    ["message_null", 200, json, '{"success":true,"data":{"message":null}}'],
    ["message_empty", 200, json, '{"success":true,"data":{"message":""}}'],
    [
      "warning",
      200,
      json,
      /^<br \/>\n<b>Warning<\/b>: {2}Undefined array key "choices" in .*<br \/>\n\{"success":true,.*\}$/,
    ],
    ["trailing_zero", 200, json, /^\{"success":true,.*\}\}0$/],
    ["html_type", 200, html, /^\{"success":true,.*\}\}$/],
    ["truncated_json", 200, json, '{"success":true,"data":{"messa'],
    ["empty", 200, json, ""],
    ["kill", 502, "text/html", /^<html>\r\n<head><title>502 Bad Gateway<\/title>[\s\S]*nginx\/1\.22\.1/],
    ["fatal", 500, html, /^<p>There has been a critical error on this website\.<\/p><p><a href=/],
    ["http=429", 429, "text/html;charset=UTF-8", /^<html>\r\n<head><title>429 Too Many Requests<\/title>/],
    ["cf502", 502, html, /kimi-ai\.chat \| 502: Bad gateway/],
    ["challenge", 403, html, /<title>Just a moment\.\.\.<\/title>/],
    ["challenge503", 503, html, /<title>Just a moment\.\.\.<\/title>/],
    ["html200", 200, html, /<form id="loginform">/],
    ["redirect", 302, html, ""],
    ["nope", 200, json, '{"success":false,"data":"simulator: no such mode: nope"}'],
    ["text=Ä / end", 200, json, String.raw`{"success":true,"data":{"message":"\u00c4 \/ end"}}`],
    ["cjk", 200, json, success(replyTexts.cjk)],
    ["emoji", 200, json, success(replyTexts.emoji)],
    ["newlines", 200, json, success(replyTexts.newlines)],
    ["markdown", 200, json, success(replyTexts.markdown)],
    ["long", 200, json, success(replyTexts.long)],
    ["long=2000", 200, json, (body) => expect(JSON.parse(body).data.message).toHaveLength(2000)],
  ])("says in the mode %s what was recorded", async (mode, status, type, expected) => {
    await site.queue({ ajax: [mode] });
    const answer = await say("hi");
    expect([answer.status, answer.type]).toEqual([status, type]);
    if (typeof expected === "string") expect(answer.body).toBe(expected);
    else if (expected instanceof RegExp) expect(answer.body).toMatch(expected);
    else expected(answer.body);
  });

  test("breaks the connection in the middle of the body", async () => {
    await expect(say("[[sim:cut]]")).rejects.toThrow();
  });

  test("marks a Cloudflare challenge, and says how long to wait when it limits", async () => {
    const challenge = await say("[[sim:challenge]]");
    expect(challenge.headers.get("cf-mitigated")).toBe("challenge");
    expect(challenge.headers.get("server")).toBe("cloudflare");
    expect((await say("[[sim:ratelimit=12]]")).headers.get("retry-after")).toBe("12");
  });

  test("redirects to the login page or where it is told", async () => {
    const login = await say("[[sim:redirect]]");
    expect(login.headers.get("location")).toStartWith(`${site.url}/wp-login.php?redirect_to=http%3A%2F%2F`);
    const away = await say("[[sim:redirect=https://example.com/]]");
    expect(away.headers.get("location")).toBe("https://example.com/");
  });

  test("obeys the last directive of a message, before queue and setting", async () => {
    await site.set({ ajax: "error" });
    await site.queue({ ajax: ["empty"] });
    const nonce = (await page()).nonce;
    expect((await send({ nonce, message: "[[sim:zero]] and [[sim:cjk]]" })).body).toContain("\\u4f60");
    expect((await send({ nonce, message: "hi" })).body).toBe("");
    expect((await send({ nonce, message: "hi" })).body).toContain("AI service");
    await site.set({ ajax: "ok", directives: false });
    expect((await send({ nonce, message: "[[sim:zero]]" })).body).toContain("You said: [[sim:zero]]");
  });

  test("refuses a missing, wrong or outdated nonce with 403 and -1, or as the plugin is set", async () => {
    const nonce = await nonceWithLetter();
    expect((await send({ nonce: nonce.toUpperCase(), message: "hi" })).body).toBe("-1");
    expect(await send({ message: "hi" })).toMatchObject({ status: 403, type: html, body: "-1" });
    await site.rotate();
    expect(await send({ nonce, message: "hi" })).toMatchObject({ status: 403, type: html, body: "-1" });
    await site.set({ nonce_check: "json403", nonce_fail_text: "Nonce expired" });
    expect(await send({ nonce, message: "hi" })).toMatchObject({
      status: 403,
      type: json,
      body: '{"success":false,"data":"Nonce expired"}',
    });
  });

  test("refuses an anonymous visitor's nonce together with a login cookie", async () => {
    const { nonce } = await page();
    const name = `wordpress_logged_in_${new Bun.CryptoHasher("md5").update(site.url).digest("hex")}`;
    const cookie = `${name}=${encodeURIComponent("admin|9999999999|token|hmac")}`;
    expect((await send({ nonce, message: "hi" }, { cookie })).body).toBe("-1");
    expect((await send({ nonce, message: "hi" }, { cookie: "wordpress_logged_in_0=x; a=b" })).status).toBe(
      200,
    );
  });

  test("says 400 and 0 to a call without an action, to an unknown one and to a JSON body", async () => {
    expect(await send({ action: "" })).toMatchObject({ status: 400, type: html, body: "0" });
    expect(await send({ action: "nobody" })).toMatchObject({ status: 400, type: html, body: "0" });
    const response = await fetch(site.ajaxUrl, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: '{"action":"kimi_send_message"}',
    });
    expect([response.status, await response.text()]).toEqual([400, "0"]);
    expect(response.headers.has("x-frame-options")).toBe(false);
  });

  test("refuses empty messages, long ones by code points, and unknown models", async () => {
    const { nonce } = await page();
    const data = async (fields: Record<string, string>) =>
      JSON.parse((await send({ nonce, ...fields })).body).data;
    expect(await data({ message: "<b></b>" })).toBe("Message cannot be empty");
    expect(await data({ message: "😀".repeat(1000) })).toMatchObject({
      message: expect.stringContaining("chars=1000"),
    });
    expect(await data({ message: "😀".repeat(1001) })).toContain("too long");
    expect(await data({ message: "hi", model: "gpt" })).toBe("Invalid model");
    await site.set({ max_chars: 0, check_model: false });
    expect(await data({ message: "a".repeat(5000), model: "gpt" })).toMatchObject({
      message: expect.stringContaining("chars=5000 lines=1 turns=0"),
    });
  });

  test("wants the page's cookie when it is required, and forgets it when told", async () => {
    await site.set({ cookie: "require" });
    const { nonce, headers } = await page();
    const cookie = headers.get("set-cookie")?.split(";")[0] ?? "";
    expect(cookie).toMatch(/^kimi_sess=[0-9a-f]{26}$/);
    expect((await send({ nonce, message: "hi" })).body).toContain("Session expired");
    expect((await send({ nonce, message: "hi" }, { cookie })).body).toContain("You said: hi");
    await site.forget();
    expect((await send({ nonce, message: "hi" }, { cookie })).body).toContain("Session expired");
  });

  test("accepts a nonce that is bound to a cookie only together with it", async () => {
    await site.set({ cookie: "bind" });
    const { nonce, headers } = await page();
    const cookie = headers.get("set-cookie")?.split(";")[0] ?? "";
    expect((await send({ nonce, message: "hi" })).body).toBe("-1");
    expect((await send({ nonce, message: "hi" }, { cookie })).status).toBe(200);
  });
});

describe("what becomes of a message", () => {
  const code = 'if (a < b && c > 5) {\n\tprintf("%25 \\"done\\"");\n}\n';
  test.each<[SiteSettings["sanitize"], message: string, seen: string]>([
    ["textarea", "a<b && c>d", "ad"],
    ["textarea", "<div>html</div> <script>alert(1)</script>", "html"],
    ["textarea", "#include <stdio.h>", "#include"],
    ["textarea", "5 < 6", "5 &lt; 6"],
    ["textarea", `a<b & "c" 'd'`, "a&lt;b &amp; &quot;c&quot; &#039;d&#039;"],
    ["textarea", "100%25 %20 off", "100 off"],
    ["textarea", "%%2525", ""],
    ["textarea", " one\r\ntwo\t \n", "one\r\ntwo"],
    ["text", " one\r\ntwo\t three\n", "one two three"],
    ["text", code, 'if (a < b && c > 5) { printf(" \\"done\\""); }'],
    ["text_slashed", `say "hi"\\ 'x'`, `say \\"hi\\"\\\\ \\'x\\'`],
    ["none", code, code],
    ["textarea", "<!-- a > b --> kept <?php echo '?>'; ?> end", "kept  end"],
    ["textarea", "😀 世界 “quotes” ＜div＞ ％20", "😀 世界 “quotes” ＜div＞ ％20"],
  ])("%s makes of %j %j", async (sanitize, message, seen) => {
    await site.set({ sanitize });
    await say(message);
    const [row] = (await site.log()).ajax;
    expect(row).toMatchObject({ message, chars: [...message].length, seen, seen_chars: [...seen].length });
  });

  test("loses the whole message to one byte that is not UTF-8", async () => {
    const { nonce } = await page();
    const response = await fetch(site.ajaxUrl, {
      method: "POST",
      headers: { "content-type": "application/x-www-form-urlencoded" },
      body: `action=kimi_send_message&nonce=${nonce}&model=moonshotai%2FKimi-K2-Instruct&message=hi%FFthere`,
    });
    expect(await response.text()).toBe('{"success":false,"data":"Message cannot be empty"}');
  });
});

describe("the site as a whole", () => {
  test("is in maintenance with 503 and Retry-After, for page and calls", async () => {
    await site.maintenance(true);
    const { status, headers, body } = await page();
    expect([status, headers.get("retry-after")]).toEqual([503, "600"]);
    expect(body).toContain("Briefly unavailable for scheduled maintenance.");
    expect(await send({ message: "hi" })).toMatchObject({
      status: 503,
      type: html,
      body: "Briefly unavailable for scheduled maintenance. Check back in a minute.",
    });
    await site.maintenance(false);
    expect((await page()).status).toBe(200);
  });

  test("loses its database with 500 for the page and 200 for calls", async () => {
    await site.database(false);
    const { status, body } = await page();
    expect(status).toBe(500);
    expect(body).toContain("Error establishing a database connection");
    const answer = await send({ message: "hi" });
    expect([answer.status, answer.type]).toEqual([200, html]);
    expect(answer.body).toStartWith("<h1>Error establishing a database connection</h1>");
  });

  test.each([
    ["challenge", 403],
    ["http=500", 500],
    ["fatal", 500],
    ["kill", 502],
    ["notfound", 404],
    ["html200", 200],
    ["empty", 200],
    ["redirect", 302],
  ])("fails for one page fetch in the queued mode %s", async (mode, status) => {
    await site.queue({ page: [mode] });
    expect((await page()).status).toBe(status);
    expect((await page()).nonce).toMatch(/^[0-9a-f]{10}$/);
  });

  test("logs and counts every request with its outcome", async () => {
    await say("[[sim:error]]");
    await say("hi");
    const { counts } = await site.status();
    expect(counts).toMatchObject({
      pages: 2,
      pages_by: { page_plain: 2 },
      ajax: 2,
      ajax_by: { error: 1, ok: 1 },
    });
    const { ajax } = await site.log({ clear: true });
    expect(ajax).toMatchObject([
      {
        method: "POST",
        action: "kimi_send_message",
        session_id: "session_1_abcdefghi",
        mode: "error",
        outcome: "error",
        status: 200,
      },
      { mode: "ok", outcome: "ok", model: "moonshotai/Kimi-K2-Instruct-0905", message: "hi" },
    ]);
    expect(await site.log()).toEqual({ ajax: [], pages: [] });
  });

  test("works on when the client has left in the middle of a slow answer", async () => {
    const { nonce } = await page();
    const leaving = new AbortController();
    const call = fetch(site.ajaxUrl, {
      method: "POST",
      signal: leaving.signal,
      body: new URLSearchParams({
        action: "kimi_send_message",
        nonce,
        model: "moonshotai/Kimi-K2-Instruct",
        message: "[[sim:slow=0.4]]",
      }),
    });
    call.catch(() => {});
    while ((await site.log()).ajax.length === 0) await Bun.sleep(5);
    leaving.abort();
    while ((await site.log()).ajax[0]?.outcome === null) await Bun.sleep(20);
    expect((await site.log()).ajax).toMatchObject([{ outcome: "slow=0.4", status: 200 }]);
    if (!site.isWordpress) expect((await site.status()).counts.aborted).toBe(1);
  });

  test("refuses settings that it does not know", async () => {
    await expect(site.set({ no_such: 1 } as Partial<SiteSettings>)).rejects.toThrow("unknown setting");
  });
});
