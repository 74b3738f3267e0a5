import { describe, expect, test } from "bun:test";
import type { ApiError } from "../../../../core/errors.ts";
import { fetchChatPage } from "../../../../core/providers/wordpress-chat/nonce/chat-page.ts";
import { pageScanner } from "../../../../core/providers/wordpress-chat/nonce/page.ts";
import { html } from "./asked-page.ts";

const nowMs = Date.parse("2026-03-01T00:00:00Z");
const pageUrl = "https://site.test/chat/";
const freshUrl = `${pageUrl}?_=${nowMs}`;

type Answers = Readonly<Record<string, () => Response | Promise<Response>>>;

/** Fetches the page from a site that knows the addresses of `answers`, and no others. */
function fetchFrom(answers: Answers, { url = pageUrl, signal = new AbortController().signal } = {}) {
  const asked: string[] = [];
  const fetch = async (address: string): Promise<Response> => {
    asked.push(address);
    return answers[address]?.() ?? new Response("nothing here", { status: 404 });
  };
  const scan = pageScanner({ in: "kimi_ajax", path: "nonce" });
  const options = { fetch, pageUrl: url, headers: {}, cookies: {}, nowMs: () => nowMs, scan };
  return { asked, page: fetchChatPage(options, signal) };
}

const nonceOf = async (answers: Answers, url = pageUrl): Promise<string> =>
  (await fetchFrom(answers, { url }).page).nonce;

const faultOf = (page: Promise<unknown>): Promise<ApiError> =>
  page.then(
    () => {
      throw new Error("nothing was thrown");
    },
    (error) => error,
  );

const script = (nonce: string) =>
  `!function(){var a="}"}();var kimi_ajax = {"ajax_url":"\\/","nonce":"${nonce}"};jQuery(1);`;

describe("a nonce is taken from a page of any status", () => {
  test.each([200, 403, 404, 410, 429, 500, 503])("%d", async (status) => {
    expect(await nonceOf({ [freshUrl]: () => new Response(html("nonce1"), { status }) })).toBe("nonce1");
  });

  test("and of any address, whose own query is kept", async () => {
    const url = "https://site.test/?page_id=4&_=1";
    const fresh = `https://site.test/?page_id=4&_=${nowMs}`;
    expect(await nonceOf({ [fresh]: () => new Response(html("nonce1")) }, url)).toBe("nonce1");
  });
});

describe("a redirect", () => {
  const redirect = (location: string) => () => new Response(null, { status: 301, headers: { location } });

  test("is followed past page caches", async () => {
    const moved = `https://site.test/ai-chat/?_=${nowMs}`;
    expect(
      await nonceOf({
        [freshUrl]: redirect("/ai-chat/"),
        [moved]: () => new Response(html("nonce1")),
      }),
    ).toBe("nonce1");
  });

  test("to the page without the query is no circle", async () => {
    expect(
      await nonceOf({ [freshUrl]: redirect(pageUrl), [pageUrl]: () => new Response(html("nonce1")) }),
    ).toBe("nonce1");
  });
});

describe("where the page has no nonce, its scripts are read", () => {
  const pageWith = (...sources: string[]) =>
    new Response(sources.map((source) => `<script src="${source}"></script>`).join("\n"));

  test.each([
    [
      "LiteSpeed",
      '<script src="/wp-content/litespeed/js/8f3b.js?ver=1"></script>',
      "/wp-content/litespeed/js/8f3b.js?ver=1",
    ],
    [
      "LiteSpeed, delayed",
      "<script data-src='/wp-content/litespeed/js/8f3b.js'></script>",
      "/wp-content/litespeed/js/8f3b.js",
    ],
    [
      "Breeze",
      "<script defer src=https://site.test/wp-content/cache/breeze-minification/js/b.js></script>",
      "/wp-content/cache/breeze-minification/js/b.js",
    ],
    [
      "an address with entities",
      '<script src="/wp-content/cache/a.js?x=1&#038;y=2&amp;z=3"></script>',
      "/wp-content/cache/a.js?x=1&y=2&z=3",
    ],
  ])("%s", async (_, tag, path) => {
    expect(
      await nonceOf({
        [freshUrl]: () => new Response(`<p>${tag}<p>`),
        [`https://site.test${path}`]: () => new Response(script("nonce1")),
      }),
    ).toBe("nonce1");
  });

  test("of no other site, not WordPress's own, and nothing but scripts", async () => {
    const { asked, page } = fetchFrom({
      [freshUrl]: () =>
        pageWith(
          "https://elsewhere.test/a.js",
          "//elsewhere.test/b.js",
          "http://site.test/c.js",
          "/wp-includes/js/jquery/jquery.min.js?ver=3.7.1",
          "/logo.png",
          "data:text/javascript;base64,YQ==",
          "https://[",
          "/wp-content/plugins/chat/chat.js",
        ),
    });
    expect((await faultOf(page)).code).toBe("upstream_nonce_unavailable");
    expect(asked).toEqual([freshUrl, "https://site.test/wp-content/plugins/chat/chat.js"]);
  });

  test("five of them at most, once each, those of plug-ins and themes last", async () => {
    const plugins = Array.from({ length: 10 }, (_, index) => `/wp-content/plugins/p/${index}.js`);
    const caches = Array.from({ length: 3 }, (_, index) => `/wp-content/cache/${index}.js`);
    const { asked, page } = fetchFrom({ [freshUrl]: () => pageWith(...plugins, ...caches, ...caches) });
    const fault = await faultOf(page);
    expect([fault.code, fault.message]).toEqual([
      "upstream_nonce_unavailable",
      expect.stringContaining("no kimi_ajax in the page"),
    ]);
    const paths = asked.slice(1).map((address) => new URL(address).pathname);
    expect(paths).toEqual([...caches, ...plugins.slice(0, 2)]);
  });

  test("and one that can't be had does not keep the next from being read", async () => {
    expect(
      await nonceOf({
        [freshUrl]: () => pageWith("/a.js", "/b.js", "/c.js", "/d.js"),
        "https://site.test/a.js": () => Promise.reject(new TypeError("fetch failed")),
        "https://site.test/b.js": () => new Response(script("wrong"), { status: 500 }),
        "https://site.test/d.js": () => new Response(script("nonce1")),
      }),
    ).toBe("nonce1");
  });

  test("but not those of a challenge or of a site out of order", async () => {
    for (const [title, status] of [
      ["Just a moment...", 403],
      ["Down", 503],
    ] as const) {
      const text = `<title>${title}</title><script src="/a.js"></script>`;
      const { asked, page } = fetchFrom({ [freshUrl]: () => new Response(text, { status }) });
      await faultOf(page);
      expect(asked).toEqual([freshUrl]);
    }
  });

  test("until the one who asks has left", async () => {
    const leaving = new AbortController();
    const { asked, page } = fetchFrom(
      {
        [freshUrl]: () => pageWith("/a.js", "/b.js"),
        "https://site.test/a.js": () => {
          leaving.abort("gone");
          return Promise.reject(leaving.signal.reason);
        },
      },
      { signal: leaving.signal },
    );
    expect(await faultOf(page)).toBe("gone" as never);
    expect(asked).toHaveLength(2);
  });
});
