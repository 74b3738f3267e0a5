/** SITE_MEMORY: a site that remembers a session gets new messages alone. */
import { afterEach, describe, expect, test } from "bun:test";
import { parseConfig } from "../../../core/config/config.ts";
import { createHandler } from "../../../core/gateway.ts";
import { silentLogger } from "../../../core/operations/log.ts";
import { type WordpressChatOptions, wordpressChat } from "../../../core/providers/wordpress-chat/provider.ts";
import { memoryStore } from "../../../core/stores/memory.ts";
import type { ChatRequest, Logger, SessionStore } from "../../../core/types.ts";
import { systemClock } from "../../../core/util/time.ts";
import { startPluginSite } from "../../fakes/chat-plugin.ts";
import type { PluginName } from "../../fakes/chat-plugin-wires.ts";
import {
  chatRequest,
  type MessageBody,
  providerContext,
  readAnswer,
  textOf,
} from "../../support/chat-request.ts";
import { pluginSettings } from "./presets/plugins.ts";

const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  await Promise.all(stops.splice(0).map((stop) => stop()));
});

function setUp(
  name: PluginName,
  { memory = "on" }: WordpressChatOptions = {},
  store: SessionStore = memoryStore({ maxEntries: 100, clock: systemClock }),
) {
  const site = startPluginSite(name);
  site.remembers = true;
  stops.push(site.stop);
  const events: string[] = [];
  const note = (event: string) => void events.push(event);
  const log: Logger = { debug: note, info: note, warn: note, error: note };
  const provider = wordpressChat({ ...pluginSettings[name], memory, site: site.url, store });
  const [model] = provider.models(providerContext()) as readonly { readonly id: string }[];
  const ask = async (messages: readonly MessageBody[], asking: Partial<ChatRequest> = {}) => {
    const request = { ...chatRequest({ model: model?.id ?? "", messages }), ...asking };
    const { parts, error } = await readAnswer(provider.answer(request, { ...providerContext(), log }));
    if (error !== undefined) throw error;
    return textOf(parts);
  };
  /** What the site got of each message that it took. */
  const told = () => site.posts.map(({ message, session }) => ({ message, session }));
  return { site, provider, ask, told, events };
}

const user = (content: string): MessageBody => ({ role: "user", content });
const assistant = (content: string): MessageBody => ({ role: "assistant", content });

// One that lets sessions be named, one that names them itself; one whole and one in pieces.
const remembering = ["kimi", "wp-ai-chat", "ai-engine"] as const;

describe.each([...remembering])("a site with %s that remembers", (name) => {
  test("gets the new message alone, in the session of those before", async () => {
    const { ask, told } = setUp(name);
    const first = await ask([user("One")]);
    expect(first).toBe("You said: One");
    const second = await ask([user("One"), assistant(first), user("Two")]);
    expect(second).toBe("You said: One | Two");
    const third = await ask([user("One"), assistant(first), user("Two"), assistant(second), user("Three")]);
    expect(third).toBe("You said: One | Two | Three");
    expect(told().map(({ message }) => message)).toEqual(["One", "Two", "Three"]);
    expect(told()[2]?.session).toBe(told()[1]?.session as string);
    expect(told()[1]?.session).not.toBe("");
  });

  test("gets all of a chat that goes on from other words, in a session of its own", async () => {
    const { ask, told } = setUp(name);
    const first = await ask([user("One")]);
    await ask([user("Changed"), assistant(first), user("Two")]);
    expect(told()[1]?.message).toBe(`User: Changed\nAssistant: ${first}\nUser: Two`);
    expect(told()[1]?.session || "new").not.toBe(told()[0]?.session || "old");
  });

  test("gets nobody's session that a store hands out for another one", async () => {
    const inner = memoryStore({ maxEntries: 100, clock: systemClock });
    let newest = "";
    const store: SessionStore = {
      ...inner,
      get: () => inner.get(newest),
      set(key, value, options) {
        if (options.ifVersion === undefined) newest = key;
        return inner.set(newest, value, options);
      },
    };
    const { ask, told } = setUp(name, {}, store);
    await ask([user("Secret")]);
    const other = await ask([user("One"), assistant("You said: One"), user("Two")]);
    expect(other).not.toContain("Secret");
    expect(told()[1]?.message).toBe("User: One\nAssistant: You said: One\nUser: Two");
    expect(told()[1]?.session || "new").not.toBe(told()[0]?.session || "old");
  });

  test("is gone on with once: who comes second begins anew", async () => {
    const { ask, told } = setUp(name);
    const first = await ask([user("One")]);
    const onwards = (text: string) => ask([user("One"), assistant(first), user(text)]);
    const answers = await Promise.all([onwards("Mine"), onwards("Yours")]);
    expect(answers.filter((answer) => answer.startsWith("You said: One | "))).toHaveLength(1);
    expect(told().filter(({ message }) => message?.startsWith("User: One"))).toHaveLength(1);
  });

  test("is told all again where it says that it has forgotten", async () => {
    const { site, ask, told, events } = setUp(name);
    const first = await ask([user("One")]);
    site.forget();
    const second = await ask([user("One"), assistant(first), user("Two")]);
    expect(second).toBe("You said: User: Two");
    expect(told().at(-1)?.message).toBe(`User: One\nAssistant: ${first}\nUser: Two`);
    expect(events).toContain("recall.forgotten");
  });
});

test("system texts are told once, and count", async () => {
  const { ask, told } = setUp("kimi");
  const system = { role: "system", content: "Be brief." } as const;
  const first = await ask([system, user("One")]);
  await ask([system, user("One"), assistant(first), user("Two")]);
  await ask([{ ...system, content: "Be long." }, user("One"), assistant(first), user("Two")]);
  expect(told().map(({ message }) => message)).toEqual([
    "System: Be brief.\nUser: One",
    "Two",
    expect.stringContaining("System: Be long.\n"),
  ]);
});

test("a client that trims what it got is known all the same", async () => {
  const { ask, told } = setUp("kimi");
  const first = await ask([user("One  ")]);
  await ask([user("One"), assistant(`${first}\n`), user("Two")]);
  expect(told()[1]?.message).toBe("Two");
});

test("nothing is remembered by default: all is told each time", async () => {
  const { site, ask, told } = setUp("kimi", { memory: "off" });
  site.remembers = false;
  const first = await ask([user("One")]);
  await ask([user("One"), assistant(first), user("Two")]);
  expect(told()[1]?.message).toBe(`User: One\nAssistant: ${first}\nUser: Two`);
});

test("a store that fails costs no answer", async () => {
  const broken: SessionStore = {
    name: "broken",
    shared: false,
    get: () => Promise.reject(new Error("down")),
    set: () => Promise.reject(new Error("down")),
    delete: () => Promise.reject(new Error("down")),
  };
  const { ask, told, events } = setUp("wp-ai-chat", {}, broken);
  const first = await ask([user("One")]);
  await ask([user("One"), assistant(first), user("Two")]);
  expect(told()).toHaveLength(2);
  expect(events).toContain("recall.failed");
});

test("before a client that sends its newest message alone, a conversation goes on in one session", async () => {
  const site = startPluginSite("wp-ai-chat");
  site.remembers = true;
  stops.push(site.stop);
  const config = parseConfig({
    API_MASTER_KEY: "sk-test",
    SITE_MEMORY: "on",
    WP_CHAT_PRESET: "wp-ai-chat",
    WP_CHAT_SITE: site.url,
  });
  const { fetch } = createHandler({ config, log: silentLogger });
  const say = async (content: string, stream: boolean) => {
    const response = await fetch(
      new Request("http://127.0.0.1/v1/chat/completions", {
        method: "POST",
        headers: { authorization: "Bearer sk-test", "x-session-id": "a-long-session-id" },
        body: JSON.stringify({ stream, messages: [{ role: "user", content }] }),
      }),
    );
    expect(response.status).toBe(200);
    return response.text();
  };
  for (const [index, text] of ["One", "Two", "Three", "Four"].entries()) await say(text, index % 2 === 0);
  expect(site.posts.map(({ message }) => message)).toEqual(["One", "Two", "Three", "Four"]);
  expect(new Set(site.posts.slice(1).map(({ session }) => session)).size).toBe(1);
});
