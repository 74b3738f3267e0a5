/** A nonce is refused by each plug-in in its own way: it is renewed once, and no message is taken twice. */
import { afterEach, describe, expect, test } from "bun:test";
import { ApiError } from "../../../../core/errors.ts";
import {
  type WordpressChatOptions,
  wordpressChat,
} from "../../../../core/providers/wordpress-chat/provider.ts";
import { type PluginSite, startPluginSite } from "../../../fakes/chat-plugin.ts";
import { type PluginName, pluginWires } from "../../../fakes/chat-plugin-wires.ts";
import { chatRequest, providerContext, readAnswer, textOf } from "../../../support/chat-request.ts";
import { pluginSettings } from "./plugins.ts";

const sites: PluginSite[] = [];
afterEach(async () => {
  await Promise.all(sites.splice(0).map((site) => site.stop()));
});

function setUp(name: PluginName, overrides: WordpressChatOptions = {}) {
  const site = startPluginSite(name);
  sites.push(site);
  const provider = wordpressChat({ ...pluginSettings[name], ...overrides, site: site.url });
  const [model] = provider.models(providerContext()) as readonly { readonly id: string }[];
  const ask = async (text: string, stream = true) => {
    const request = chatRequest({
      model: model?.id ?? "",
      stream,
      messages: [{ role: "user", content: text }],
    });
    const { parts, error, answer } = await readAnswer(provider.answer(request, providerContext()));
    return { text: textOf(parts), error, calls: answer?.calls };
  };
  return { site, provider, ask };
}

const withNonce = (Object.keys(pluginWires) as PluginName[]).filter(
  (name) => !["kognetiks", "wp-chatgpt"].includes(name),
);

describe.each(withNonce)("%s", (name) => {
  test("sends the nonce that the site hands out, once for all messages", async () => {
    const { site, ask } = setUp(name);
    expect(await ask("Hello")).toMatchObject({ text: "You said: Hello", calls: 1 });
    expect(await ask("Again")).toMatchObject({ text: "You said: Again", calls: 1 });
    expect(site.nonceFetches).toBe(1);
  });

  test("renews one that is refused, and posts once more", async () => {
    const { site, ask } = setUp(name);
    // Proven by nothing yet, as after a start with a nonce out of a cache.
    await setUpNonce(ask, site);
    site.rotate();
    expect(await ask("Hello")).toMatchObject({ text: "You said: Hello", error: undefined, calls: 2 });
    expect(site.posts.map(({ outcome }) => outcome).slice(1)).toEqual(["refused", "accepted"]);
    expect(site.nonceFetches).toBe(2);
  });
});

/** One message, so that a nonce is at hand. */
async function setUpNonce(ask: (text: string) => Promise<unknown>, { posts }: PluginSite) {
  await ask("First");
  expect(posts).toHaveLength(1);
}

test("a refusal is one though its headers, sent ahead of the check, are those of a stream", async () => {
  const asStream: WordpressChatOptions["fetch"] = async (url, init) => {
    const { status, body } = await fetch(url, init);
    return new Response(body, { status, headers: { "content-type": "text/event-stream" } });
  };
  const { site, ask } = setUp("mxchat", { fetch: asStream });
  await setUpNonce(ask, site);
  site.rotate();
  expect(await ask("Hello")).toMatchObject({ text: "You said: Hello", error: undefined, calls: 2 });
});

test("a plug-in without a nonce is asked for none, and sees the cookie of a visitor", async () => {
  const { site, ask } = setUp("kognetiks");
  expect(await ask("Hello")).toMatchObject({ text: "You said: Hello", calls: 1 });
  expect(site.nonceFetches).toBe(0);
});

test("words that nobody knows are suspected, but not of a nonce that has just proved good", async () => {
  const { site, ask } = setUp("openwebui-chatbot", { nonce: { in: "owc", field: "nonce", refused: [] } });
  site.rotateOnce();
  expect(await ask("First")).toMatchObject({ text: "You said: First", calls: 2 });
  site.rotate();
  const { error } = await ask("Second");
  expect((error as ApiError).message).toBe("The chat site failed: Ugyldig forespørsel.");
  expect(site.posts.map(({ outcome }) => outcome)).toEqual(["refused", "accepted", "refused"]);
});

test("a site that wants a nonce where the preset has none says which setting to change", async () => {
  const { ask } = setUp("deepseek-chatbot", { nonce: "none" });
  const { error } = await ask("Hello");
  expect(error).toBeInstanceOf(ApiError);
  expect(error).toMatchObject({ code: "upstream_nonce_unavailable" });
  expect((error as ApiError).message).toContain("`nonce` of its preset says that it needs none");
});

test.each([
  ["in another variable", { in: "nobody" }, "no nobody in the page"],
  ["under another key", { in: "dsb", path: "token" }, "dsb has no usable token"],
  ["at a route that is not there", { route: "/wp-json/none/v1/nonce", field: "nonce" }, "`nonce.route`"],
] as const)(
  "a nonce that is looked for %s is missing, and the message says where",
  async (_, nonce, says) => {
    const { site, ask } = setUp("deepseek-chatbot", { nonce });
    const { error } = await ask("Hello");
    expect(error).toMatchObject({ code: "upstream_nonce_unavailable" });
    expect((error as ApiError).message).toContain(says);
    expect(site.posts).toEqual([]);
  },
);

test("a stream that fails once it has begun is never posted again, whatever it says", async () => {
  for (const name of ["wpbot", "mxchat", "ai-engine", "wp-ai-chat", "wp-ai-chatbot"] as const) {
    const { site, ask } = setUp(name);
    site.failAmidNext("Invalid nonce");
    const { text, error } = await ask("Hello");
    expect(text).toBe("You s");
    expect(error).toMatchObject({ code: "upstream_error" });
    expect((error as ApiError).message).toContain("Invalid nonce");
    expect(site.posts.map(({ outcome }) => outcome)).toEqual(["accepted"]);
  }
});
