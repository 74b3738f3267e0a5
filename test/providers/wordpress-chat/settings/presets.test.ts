/** What settings make of presets: for one site by the environment, for several by PROVIDERS. */
import { describe, expect, test } from "bun:test";
import { ConfigError, type Environment, parseConfig } from "../../../../core/config/config.ts";
import { presets } from "../../../../core/providers/wordpress-chat/presets/presets.ts";
import { wordpressChat } from "../../../../core/providers/wordpress-chat/provider.ts";
import { defaultSite, type SiteSettings } from "../../../../core/providers/wordpress-chat/settings.ts";

const problemsOf = (environment: Environment): readonly string[] => {
  try {
    parseConfig(environment);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
};

const entry = (fields: object): Environment => ({
  PROVIDERS: JSON.stringify([{ name: "shop", kind: "wordpress-chat", ...fields }]),
});
const siteIn = (environment: Environment) => parseConfig(environment).upstreams[0] as SiteSettings;

describe("the one site", () => {
  test("is kimi-ai.chat where nothing is set, under the name kimi-web", () => {
    const { site } = parseConfig({});
    expect(site).toMatchObject({
      name: "kimi-web",
      pageUrl: "https://kimi-ai.chat/chat/",
      ajaxUrl: "https://kimi-ai.chat/wp-admin/admin-ajax.php",
      maxChars: 1000,
      remembers: false,
    });
    expect(site?.models).toEqual([
      { id: "kimi-k2-instruct-0905", siteName: "moonshotai/Kimi-K2-Instruct-0905", aliases: ["kimi"] },
      { id: "kimi-k2-instruct", siteName: "moonshotai/Kimi-K2-Instruct" },
    ]);
    expect(parseConfig({ WP_CHAT_PRESET: "kimi" }).site).toEqual(site);
    expect({ ...defaultSite() }).toEqual({ ...site, models: defaultSite().models } as SiteSettings);
  });

  test.each(Object.keys(presets).filter((name) => name !== "kimi"))(
    "takes the preset %s with an address",
    (name) => {
      const { site } = parseConfig({ WP_CHAT_PRESET: name, WP_CHAT_SITE: "https://blog.example/" });
      expect(site?.name).toBe(name);
      expect(site?.ajaxUrl).toStartWith("https://blog.example/wp-");
      expect(site?.models.length).toBeGreaterThan(0);
      expect(problemsOf({ WP_CHAT_PRESET: name })).toEqual([
        `WP_CHAT_SITE must be set to the site's address: the preset ${name} is for any site`,
      ]);
    },
  );

  test("takes addresses, models and lengths that are set beside a preset", () => {
    const { site } = parseConfig({
      WP_CHAT_PRESET: "deepseek-chatbot",
      CHAT_PAGE_URL: "https://blog.example/help/?nocache=1",
      UPSTREAM_URL: "https://blog.example/ajax",
      UPSTREAM_HEADERS: '{"X-Team":"blue"}',
      KNOWN_MODELS: "a,b=B",
      CONTEXT_MAX_LENGTH: "500",
    });
    expect(site).toMatchObject({
      pageUrl: "https://blog.example/help/?nocache=1",
      ajaxUrl: "https://blog.example/ajax",
      headers: { "x-team": "blue" },
      models: [
        { id: "a", siteName: "a" },
        { id: "b", siteName: "B" },
      ],
      maxChars: 500,
    });
  });

  test("takes JSON that overrides a preset", () => {
    const { site } = parseConfig({
      WP_CHAT_PRESET:
        '{"name":"help","preset":"ai-engine","site":"https://blog.example","models":["bot=chatbot-7"]}',
    });
    expect(site).toMatchObject({ name: "help", models: [{ id: "bot", siteName: "chatbot-7" }] });
    expect(site?.protocol.nonce?.route?.url).toBe("https://blog.example/wp-json/mwai/v1/start_session");
  });

  test.each([
    ["gpt", "WP_CHAT_PRESET must be one of kimi, deepseek-chatbot, "],
    [
      '{"presett":"kimi"}',
      "WP_CHAT_PRESET has a bad part: presett is no field of a preset. Did you mean preset?",
    ],
    [
      '{"preset":"kimi","nonce":{"in":"x","route":"/y"}}',
      "WP_CHAT_PRESET has a bad part: nonce must have either in or route",
    ],
  ])("is refused as %s", (value, problem) => {
    expect(problemsOf({ WP_CHAT_PRESET: value })[0]).toStartWith(problem);
  });

  test.each([
    ["off", false, false],
    ["on", true, true],
    ["auto", false, true],
  ])("with SITE_MEMORY=%s remembers where the preset says %p or %p", (mode, ifNot, ifSo) => {
    const remembers = (says: boolean) =>
      parseConfig({ SITE_MEMORY: mode, WP_CHAT_PRESET: JSON.stringify({ preset: "kimi", remembers: says }) })
        .site?.remembers;
    expect([remembers(false), remembers(true)]).toEqual([ifNot, ifSo]);
  });
});

describe("an entry of PROVIDERS", () => {
  test("overrides every part of a preset", () => {
    const site = siteIn(
      entry({
        preset: "deepseek-chatbot",
        site: "https://shop.example",
        page: "/help/",
        nonce: { in: "shopChat", path: "ajax.nonce", field: "security", refused: ["-1"] },
        endpoint: "/wp-admin/admin-ajax.php",
        body: { form: { action: "shop_say", text: "{message}", thread: "{session}" } },
        reply: ["data.text", "data"],
        stream: "none",
        models: ["shop-1"],
        maxChars: 2000,
      }),
    );
    expect(site).toMatchObject({
      kind: "wordpress-chat",
      name: "shop",
      pageUrl: "https://shop.example/help/",
      ajaxUrl: "https://shop.example/wp-admin/admin-ajax.php",
      models: [{ id: "shop-1", siteName: "shop-1" }],
      maxChars: 2000,
      maxConcurrency: 32,
    });
    expect(site.protocol).toEqual({
      method: "POST",
      nonce: { in: "shopChat", path: "ajax.nonce", field: "security", refused: ["-1"] },
      headers: {},
      body: { form: { action: "shop_say", text: "{message}", thread: "{session}" } },
      reply: ["data.text", "data"],
      errors: [],
      stream: "none",
    });
  });

  test("needs no preset where it says all itself", () => {
    const site = siteIn(
      entry({
        site: "https://s.example",
        body: { json: { q: "{message}" } },
        reply: "a",
        endpoint: "/wp-json/s/v1/a",
      }),
    );
    expect(site).toMatchObject({
      pageUrl: "https://s.example/",
      ajaxUrl: "https://s.example/wp-json/s/v1/a",
      maxChars: 4000,
    });
    expect(site.protocol.nonce).toBeUndefined();
  });

  test("of a nonce changes what it names: a route instead of a variable, a header instead of a field", () => {
    const nonce = (over: object) =>
      siteIn(entry({ preset: "deepseek-chatbot", site: "https://s.example", nonce: over })).protocol.nonce;
    expect(nonce({ in: "other" })).toEqual({ in: "other", path: "nonce", field: "nonce", refused: ["-1"] });
    expect(nonce({ header: "X-WP-Nonce" })).toEqual({
      in: "dsb",
      path: "nonce",
      header: "X-WP-Nonce",
      refused: ["-1"],
    });
    expect(nonce({ route: "/wp-json/n" })).toEqual({
      route: { url: "https://s.example/wp-json/n", method: "GET" },
      path: "nonce",
      field: "nonce",
      refused: ["-1"],
    });
    const none = siteIn(entry({ preset: "deepseek-chatbot", site: "https://s.example", nonce: "none" }));
    expect(none.protocol.nonce).toBeUndefined();
  });

  test("may have limits and memory of its own, and variables in its texts", () => {
    const site = siteIn({
      ...entry({
        preset: "mxchat",
        site: "https://s.example",
        headers: { authorization: "Basic ${SHOP_LOGIN}" },
        maxConcurrency: 2,
        safeText: false,
        memory: "on",
      }),
      SHOP_LOGIN: "c2VjcmV0OnNlY3JldA==",
    });
    expect(site).toMatchObject({
      headers: { authorization: "Basic c2VjcmV0OnNlY3JldA==" },
      maxConcurrency: 2,
      safeText: false,
      remembers: true,
    });
  });

  test("has the preset's headers beside its own, whatever their case", () => {
    const { headers, protocol } = siteIn(
      entry({ preset: "kognetiks", site: "https://s.example", headers: { "X-Team": "blue" } }),
    );
    expect(headers).toEqual({ "x-team": "blue" });
    expect(protocol.headers).toEqual({ cookie: "kognetiks_unique_id={session}" });
    const own = siteIn(entry({ preset: "kognetiks", site: "https://s.example", headers: { Cookie: "a=b" } }));
    expect([own.headers, own.protocol.headers]).toEqual([{ cookie: "a=b" }, {}]);
  });

  test("stands in the order of the list, whatever its kind", () => {
    const config = parseConfig({
      KIMI_WEB: "off",
      PROVIDERS: JSON.stringify([
        { name: "a", baseUrl: "https://a.example/v1", models: ["m"] },
        { name: "b", kind: "wordpress-chat", preset: "mxchat", site: "https://b.example" },
        { name: "c", kind: "openai-compatible", baseUrl: "https://c.example/v1" },
      ]),
    });
    expect(config.upstreams.map(({ name }) => name)).toEqual(["a", "b", "c"]);
  });

  const sound = { preset: "deepseek-chatbot", site: "https://s.example" };
  test.each<[what: string, fields: object, problem: string]>([
    ["no site", { preset: "mxchat" }, "site is missing"],
    ["an unknown preset", { ...sound, preset: "gpt" }, "preset must be one of kimi, deepseek-chatbot,"],
    [
      "an unknown kind",
      { ...sound, kind: "wordpress" },
      "kind must be one of openai-compatible, wordpress-chat",
    ],
    [
      "a misspelt field",
      { ...sound, endpiont: "/x" },
      "endpiont is no field of a chat site. Did you mean endpoint?",
    ],
    [
      "a misspelt field of the nonce",
      { ...sound, nonce: { fields: "x" } },
      "nonce.fields is no field of a chat site",
    ],
    ["no body", { site: "https://s.example", reply: "a" }, "body is missing"],
    ["no reply", { site: "https://s.example", body: { form: { q: "{message}" } } }, "reply is missing"],
    ["a message in a header", { ...sound, headers: { "x-a": "{message}" } }, "headers can't have {message}"],
    ["no message", { ...sound, body: { form: { q: "x" } } }, "body has no {message}"],
    [
      "a placeholder that is none",
      { ...sound, body: { json: { q: ["{message}", "{user}"] } } },
      "body.json has {user}, which stands for nothing",
    ],
    ["two bodies", { ...sound, body: { form: {}, json: {} } }, "body must have either form or json"],
    ["two nonces", { ...sound, nonce: { in: "a", route: "/b" } }, "nonce must have either in or route"],
    [
      "a nonce that is not sent",
      { site: "https://s.example", reply: "a", body: { form: { q: "{message}" } }, nonce: { in: "a" } },
      "nonce must say how it is sent",
    ],
    ["an unknown stream", { ...sound, stream: "sse" }, "stream must be none, openai, or an object"],
    ["a model named twice", { ...sound, models: ["a", "a"] }, "models names a model twice"],
    ["no address", { ...sound, site: "shop" }, "site must be an http(s) URL"],
    [
      "a host that a model's name would decide",
      { ...sound, endpoint: "https://{model}.example/say" },
      "endpoint can't have a placeholder in its host",
    ],
    [
      "a host that a client would decide",
      { ...sound, endpoint: "https://s.example.{message}/say" },
      "endpoint can't have a placeholder in its host",
    ],
    ["a length of none", { ...sound, maxChars: 0 }, "maxChars must be a whole number"],
    [
      "a header that is none",
      { ...sound, headers: { "x y": "z" } },
      "headers has a character that no HTTP header can hold",
    ],
  ])("with %s stops the start", (_, fields, problem) => {
    const problems = problemsOf(entry(fields));
    expect(problems).toHaveLength(1);
    expect(problems[0]).toStartWith(`PROVIDERS [0].${problem}`);
  });
});

test("every preset says what was seen of it", () => {
  for (const { seen } of Object.values(presets)) expect(seen).toMatch(/20\d\d/);
});

test("a program's description that can't be used is a TypeError that names the field", () => {
  expect(() => wordpressChat({ preset: "mxchat" })).toThrow(
    new TypeError("The chat site mxchat can't be used: site is missing: the preset mxchat is for any site."),
  );
  expect(wordpressChat({ preset: "kimi" }).name).toBe("kimi-web");
  expect(wordpressChat({ preset: "mxchat", site: "https://s.example" }).name).toBe("mxchat");
});
