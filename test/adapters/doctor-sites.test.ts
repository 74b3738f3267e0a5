/** What the doctor says of chat sites beside kimi-ai.chat: whether the preset fits, and which setting to change. */
import { afterEach, describe, expect, test } from "bun:test";
import { type PluginSite, startPluginSite } from "../fakes/chat-plugin.ts";
import type { PluginName } from "../fakes/chat-plugin-wires.ts";
import { pluginSettings } from "../providers/wordpress-chat/presets/plugins.ts";
import { doctor } from "../support/run-doctor.ts";

const sites: PluginSite[] = [];
afterEach(async () => {
  await Promise.all(sites.splice(0).map((site) => site.stop()));
});

const start = (name: PluginName): PluginSite => {
  const site = startPluginSite(name);
  sites.push(site);
  return site;
};

/** The doctor of a gateway with one entry of PROVIDERS. */
const examine = (name: PluginName, overrides: object = {}, options: readonly string[] = []) => {
  const site = start(name);
  const entry = {
    ...pluginSettings[name],
    name: "shop",
    kind: "wordpress-chat",
    site: site.url,
    ...overrides,
  };
  const diagnosis = doctor({ KIMI_WEB: "off", PROVIDERS: JSON.stringify([entry]) }, "bun", options);
  return { site, diagnosis };
};

describe("the doctor of a preset that fits", () => {
  test.each<[PluginName, nonce: string, reply: string, refusal: string]>([
    ["deepseek-chatbot", "found: dsb at nonce in the page", "read from data", '"-1"'],
    ["openwebui-chatbot", "found: owc at nonce in the page", "read from data", "Ugyldig forespørsel"],
    [
      "ai-engine",
      "found: restNonce of POST /wp-json/mwai/v1/start_session",
      "read from a stream of events",
      "rest_cookie_invalid_nonce",
    ],
    [
      "wp-ai-chat",
      "found: DEEPSEEK_VARS at REST_NONCE in the page",
      "read from a stream of OpenAI's events",
      "rest_cookie_invalid_nonce",
    ],
  ])(
    "says of %s where the nonce and the reply are, and how a false nonce is refused",
    async (name, nonce, reply, refusal) => {
      const { site, diagnosis } = examine(name);
      const { code, marks, step } = await diagnosis;
      expect(marks.slice(4)).toEqual(["✓ host", "✓ page", "✓ nonce", "✓ message", "✓ refusal"]);
      expect(step("nonce")).toContain(nonce);
      expect(step("message")).toContain(reply);
      expect(step("refusal")).toContain(refusal);
      expect(code).toBe(0);
      expect(site.posts.map(({ outcome }) => outcome)).toEqual(["accepted", "refused"]);
    },
  );

  test("says of one without a nonce that none is needed", async () => {
    const { code, marks, step } = await examine("kognetiks").diagnosis;
    expect(marks.slice(4)).toEqual(["✓ host", "✓ nonce", "✓ message"]);
    expect(step("nonce")).toContain("needs none");
    expect(code).toBe(0);
  });

  test("does so for the one site too", async () => {
    const site = start("mxchat");
    const { code, step } = await doctor({ WP_CHAT_PRESET: "mxchat", WP_CHAT_SITE: site.url });
    expect(step("message")).toContain("mxchat answered with");
    expect(code).toBe(0);
  });
});

describe("the doctor of a preset that does not fit names the part to change:", () => {
  test.each<[what: string, name: PluginName, overrides: object, at: string, says: string, change: string]>([
    [
      "a nonce in another variable",
      "deepseek-chatbot",
      { nonce: { in: "shopChat", field: "nonce" } },
      "nonce",
      "the page has others: dsb at nonce",
      "`nonce` of shop in PROVIDERS",
    ],
    [
      "a route for the nonce that is not there",
      "deepseek-chatbot",
      { nonce: { route: "/wp-json/x/v1/n", field: "nonce" } },
      "page",
      "status 400",
      "`nonce.route` of shop in PROVIDERS",
    ],
    [
      "a nonce at another place of the route",
      "ai-engine",
      { nonce: { path: "nonce" } },
      "nonce",
      "its JSON has texts at sessionId, restNonce",
      "`nonce.path` of shop in PROVIDERS",
    ],
    [
      "a reply elsewhere",
      "deepseek-chatbot",
      { reply: ["data.reply"] },
      "message",
      "it has texts at data",
      "`reply` of shop in PROVIDERS",
    ],
    [
      "a stream that none was expected to be",
      "wp-ai-chat",
      { stream: "none" },
      "message",
      "a stream of events",
      "`stream` of shop in PROVIDERS",
    ],
    [
      "events of another kind",
      "ai-engine",
      { stream: "openai" },
      "message",
      "one has texts at type, data",
      "`stream` of shop in PROVIDERS",
    ],
    [
      "another action",
      "deepseek-chatbot",
      { body: { form: { action: "x", msg: "{message}" } } },
      "message",
      "no action x",
      "`endpoint` of shop in PROVIDERS",
    ],
    [
      "no nonce where one is wanted",
      "wp-ai-chat",
      { nonce: "none" },
      "message",
      "says that it needs none",
      "`nonce` of shop in PROVIDERS",
    ],
  ])("%s", async (_, name, overrides, at, says, change) => {
    const { code, step } = await examine(name, overrides).diagnosis;
    expect(step(at)).toStartWith("✗");
    expect(step(at)).toContain(says);
    expect(step(at)).toContain(`change  ${change}`);
    expect(code).toBe(1);
  });

  test("a refusal in words that it does not know, which costs a message at most", async () => {
    const { code, step } = await examine("openwebui-chatbot", {
      nonce: { in: "owc", field: "nonce", refused: [] },
    }).diagnosis;
    expect(step("refusal")).toStartWith("! refusal");
    expect(step("refusal")).toContain("Ugyldig forespørsel.");
    expect(step("refusal")).toContain("change  `nonce` of shop in PROVIDERS: `refused`");
    expect(code).toBe(0);
  });
});

describe("the doctor with --memory", () => {
  test.each<[what: string, name: PluginName, remembers: boolean, says: string]>([
    ["remembers", "kimi", true, "take SITE_MEMORY=on"],
    ["names its sessions itself", "wp-ai-chat", true, "take SITE_MEMORY=on"],
    ["does not remember", "kimi", false, "leave SITE_MEMORY=off"],
  ])("finds out with two messages that a site %s", async (_, name, remembers, says) => {
    const { site, diagnosis } = examine(name, {}, ["--memory"]);
    site.remembers = remembers;
    const { code, marks, step } = await diagnosis;
    expect(marks.at(-1)).toBe("✓ memory");
    expect(step("memory")).toContain(says);
    expect(site.posts).toHaveLength(2);
    expect(site.posts[1]?.message).toBe("What is my code word?");
    expect(code).toBe(0);
  });

  test("says what kept it from finding out", async () => {
    const { diagnosis } = examine("kimi", { nonce: { in: "nobody" } }, ["--memory"]);
    const { code, step } = await diagnosis;
    expect(step("memory")).toStartWith("✗ memory");
    expect(step("memory")).toContain("no nobody in the page");
    expect(code).toBe(1);
  });
});
