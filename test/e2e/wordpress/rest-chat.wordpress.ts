/**
 * A chat over the REST API of a real WordPress, with X-WP-Nonce and server-sent events: a matter of settings. Its plug-in,
 * rest-chat.php, is put into the site by `npm run test:wordpress`.
 */
import { beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { parseConfig } from "../../../core/config/config.ts";
import { createHandler } from "../../../core/gateway.ts";
import { silentLogger } from "../../../core/operations/log.ts";

const siteUrl = process.env.KIMI_SITE_URL ?? "";
const api = `${siteUrl}/wp-json/rest-chat/v1`;
const isThere = siteUrl !== "" && (await fetch(`${api}/seen`)).ok;

const chat = {
  name: "rest",
  kind: "wordpress-chat",
  site: siteUrl,
  page: "/sample-page/",
  nonce: { in: "restChat", path: "auth.nonce", header: "X-WP-Nonce" },
  endpoint: "/wp-json/rest-chat/v1/say",
  body: { json: { prompt: "{message}", thread: "{session}" } },
  stream: { type: "kind", delta: "word", end: "over", error: "failed", text: "value" },
  models: ["rest-1"],
};

function gateway(overrides: object = {}) {
  const config = parseConfig({
    API_MASTER_KEY: "sk-test",
    KIMI_WEB: "off",
    PROVIDERS: JSON.stringify([{ ...chat, ...overrides }]),
  });
  const { fetch } = createHandler({ config, log: silentLogger });
  const ask = (content: string, stream = true) =>
    fetch(
      new Request("http://127.0.0.1/v1/chat/completions", {
        method: "POST",
        headers: { authorization: "Bearer sk-test", "content-type": "application/json" },
        body: JSON.stringify({ model: "rest/rest-1", stream, messages: [{ role: "user", content }] }),
      }),
    );
  return { ask };
}

/** The text of a stream, and how long after the first piece each came. */
async function readStream(response: Response) {
  let text = "";
  const times: number[] = [];
  let rest = "";
  const decoder = new TextDecoder();
  for await (const bytes of response.body as ReadableStream<Uint8Array>) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (!line.startsWith("data: {")) continue;
      const delta = JSON.parse(line.slice(6)).choices?.[0]?.delta?.content;
      if (!delta) continue;
      text += delta;
      times.push(performance.now());
    }
  }
  return { text, spanMs: (times.at(-1) ?? 0) - (times[0] ?? 0), pieces: times.length };
}

const seen = async (): Promise<string[]> => (await fetch(`${api}/seen`)).json();

describe.skipIf(!isThere)("a chat over the REST API of a real WordPress", () => {
  let before = 0;
  beforeAll(async () => {
    expect((await fetch(`${siteUrl}/sample-page/`)).status).toBe(200);
  });
  beforeEach(async () => {
    before = (await seen()).length;
  });
  const taken = async () => (await seen()).slice(before);

  test.each([
    ["its page", {}],
    [
      "a route",
      { nonce: { route: "/wp-json/rest-chat/v1/nonce", path: "auth.nonce", header: "X-WP-Nonce" } },
    ],
    [
      "a field of the body",
      { nonce: { ...chat.nonce, header: undefined }, headers: { "X-WP-Nonce": "{nonce}" } },
    ],
  ])("answers with a nonce from %s", async (_, overrides) => {
    const { ask } = gateway(overrides);
    const { text } = await readStream(await ask("Hello <b>there</b> 100%20"));
    expect(text).toBe("You said: Hello <b>there</b> 100%20");
    expect(await taken()).toHaveLength(1);
  });

  test("streams word by word", async () => {
    const { text, spanMs, pieces } = await readStream(await gateway().ask("[[slow]] one two three"));
    expect(text).toBe("You said: [[slow]] one two three");
    expect(pieces).toBeGreaterThanOrEqual(5);
    // Five pauses of 200 ms, of which all lie between the first piece and the last.
    expect(spanMs).toBeGreaterThan(700);
  });

  test("answers as a whole where no stream is wanted", async () => {
    const answer = await (await gateway().ask("Hello", false)).json();
    expect(answer.choices[0].message.content).toBe("You said: Hello");
  });

  test.each(["its page", "a route"])(
    "renews a nonce from %s that WordPress refuses, and is taken once",
    async (where) => {
      const route = { route: "/wp-json/rest-chat/v1/nonce", path: "auth.nonce", header: "X-WP-Nonce" };
      const { ask } = gateway(where === "a route" ? { nonce: route } : {});
      await (await ask("First")).text();
      expect((await fetch(`${api}/rotate`, { method: "POST" })).ok).toBe(true);
      const { text } = await readStream(await ask("Second"));
      expect(text).toBe("You said: Second");
      expect(await taken()).toEqual(["First", "Second"]);
    },
  );

  test("gets its failure to the client, amid the stream", async () => {
    const body = await (await gateway().ask("[[fail]]")).text();
    expect(body).toContain("You ");
    expect(body).toContain("The AI model is asleep");
    expect(await taken()).toHaveLength(1);
  });

  test.each([
    ["a route that is not there", { endpoint: "/wp-json/rest-chat/v1/talk" }, "`endpoint` of its preset"],
    ["fields that it does not take", { body: { json: { text: "{message}" } } }, "`body` of its preset"],
    [
      "another page's variable",
      { nonce: { ...chat.nonce, in: "otherChat" } },
      'no otherChat in the page ("Sample Page',
    ],
    ["events of another kind", { stream: "openai" }, "`stream` of its preset"],
    ["no stream at all", { stream: "none", reply: "data" }, "`stream` of its preset"],
  ])("names the setting where the settings have %s", async (_, overrides, says) => {
    const response = await gateway(overrides).ask("Hello");
    expect([502, 503]).toContain(response.status);
    expect((await response.json()).error.message).toContain(says);
  });
});
