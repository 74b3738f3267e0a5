/** Answers of plug-ins that nobody has listed: read where settings say, or refused in words that name the setting. */
import { describe, expect, test } from "bun:test";
import type { ApiError } from "../../../../core/errors.ts";
import {
  type WordpressChatOptions,
  wordpressChat,
} from "../../../../core/providers/wordpress-chat/provider.ts";
import { chatRequest, providerContext, readAnswer, textOf } from "../../../support/chat-request.ts";

const plain: WordpressChatOptions = {
  name: "shop",
  site: "https://shop.example",
  body: { form: { action: "shop_say", text: "{message}" } },
  reply: ["data.text", "data"],
};

/** What becomes of an answer; `posted` is what the site got. */
async function answered(
  body: string,
  settings: WordpressChatOptions = {},
  { status = 200, type = "application/json" } = {},
  message = "Hi & bye",
) {
  const posted: { url: string; method: string; body: string; headers: Headers }[] = [];
  const provider = wordpressChat({
    ...plain,
    ...settings,
    fetch: async (url, init) => {
      posted.push({
        url,
        method: `${init.method}`,
        body: String(init.body),
        headers: new Headers(init.headers),
      });
      return new Response(body, { status, headers: { "content-type": type } });
    },
  });
  const request = chatRequest({ model: "shop", messages: [{ role: "user", content: message }] });
  const { parts, error } = await readAnswer(provider.answer(request, providerContext()));
  return { text: textOf(parts), error: error as ApiError | undefined, posted };
}

describe("a reply is read from", () => {
  test.each<[what: string, body: string, reply: string[]]>([
    [
      "the first place that has a text",
      '{"data":{"text":"","html":"x","alt":"Hello"}}',
      ["data.text", "data.alt"],
    ],
    ["JSON that says nothing of success", '{"answer":"Hello"}', ["answer"]],
    ["a status in words", '{"status":"success","message":"Hello"}', ["message"]],
    ["a list", '{"choices":[{"message":{"content":"Hello"}}]}', ["choices.0.message.content"]],
    ["a list that is all of it", '[{"response":"Hello"}]', ["0.response"]],
    ["a text of JSON", '"Hello"', ["."]],
    ["plain text", "Hello", ["."]],
    ["behind PHP's warnings", '<br />\n<b>Warning</b>: x<br />\n{"answer":"Hello"}0', ["answer"]],
    ["beside an empty error", '{"error":null,"answer":"Hello"}', ["answer"]],
  ])("%s", async (_, body, reply) => {
    expect(await answered(body, { reply })).toMatchObject({ text: "Hello", error: undefined });
  });

  test("plain text that speaks like a failure", async () => {
    const words = "Just a moment... the Sucuri Website Firewall, a rate limit, an expired nonce";
    expect(await answered(words, { reply: "." })).toMatchObject({ text: words, error: undefined });
  });

  test("no page's script, whatever that has", async () => {
    const page = '<!DOCTYPE html><title>Shop</title><script>var x = {"data":"not a reply"};</script>';
    const { error } = await answered(page, {}, { type: "text/html" });
    expect(error?.message).toContain('an HTML page instead of JSON (status 200): "Shop"');
    expect(error?.message).toContain("`endpoint` of its preset");
  });
});

describe("a failure is told from a reply where", () => {
  test.each<[what: string, body: string, status: number]>([
    ["success is false", '{"success":false,"data":"The model is down"}', 200],
    ["its status is a word", '{"status":"error","data":"x","message":"The model is down"}', 200],
    ["ok is false", '{"ok":false,"data":"x","error":"The model is down"}', 200],
    ["error says so", '{"error":"The model is down","data":"x"}', 200],
    ["the REST API says so", '{"code":"model","message":"The model is down","data":{"status":500}}', 200],
    ["the status says so", '{"data":"x","message":"The model is down"}', 400],
    [
      "a code stands in data",
      '{"success":false,"data":{"code":"model_down","error_message":"The model is down"}}',
      200,
    ],
  ])("%s", async (_, body, status) => {
    const { text, error } = await answered(body, {}, { status });
    expect(text).toBe("");
    expect(error?.message).toContain("The model is down");
  });

  test("it comes as a reply that begins so", async () => {
    const body = '{"success":true,"data":"Fehler: das Modell schläft"}';
    expect((await answered(body)).text).toStartWith("Fehler");
    expect((await answered(body, { errors: "Fehler:" })).error?.message).toContain("das Modell schläft");
  });
});

describe("what does not fit names the setting to change:", () => {
  test.each<[what: string, body: string, settings: WordpressChatOptions, says: string[], status?: number]>([
    [
      "a reply elsewhere",
      '{"success":true,"data":{"answer":"private","meta":{"id":"7"}}}',
      {},
      [
        "no message in its JSON at data.text, data",
        "`reply` of its preset",
        "texts at data.answer, data.meta.id",
      ],
    ],
    [
      "a stream where none is expected",
      'data: {"x":"private"}\n\n',
      {},
      ["a stream of events", "`stream` of its preset"],
    ],
    [
      "events of another kind",
      'data: {"kind":"bit","value":"private"}\n\n',
      { stream: "openai" },
      ["no piece of a reply", "`stream` of its preset", "texts at kind, value"],
    ],
    [
      "a route that is not there",
      '{"code":"rest_no_route","message":"No route was found","data":{"status":404}}',
      { endpoint: "/wp-json/shop/v1/say" },
      ["no route /wp-json/shop/v1/say", "`endpoint` of its preset"],
      404,
    ],
    [
      "fields that it does not take",
      '{"code":"rest_missing_callback_param","message":"Missing parameter(s): prompt","data":{"status":400}}',
      {},
      ["Missing parameter(s): prompt", "`body` of its preset"],
      400,
    ],
    ["an action that is not there", "0", {}, ["no action shop_say"], 400],
  ])("%s", async (_, body, settings, says, status = 200) => {
    const { error } = await answered(body, settings, { status });
    expect(error?.code).toBe("upstream_invalid_response");
    for (const words of says) expect(error?.message).toContain(words);
    expect(error?.message).not.toContain("private");
  });
});

describe("events are read by their fields:", () => {
  const stream = (...events: string[]) => events.map((event) => `${event}\n\n`).join("");
  const read = async (body: string, form: WordpressChatOptions["stream"]) =>
    (await answered(body, { stream: form }, { type: "text/html" })).text;

  test.each<[what: string, body: string, form: WordpressChatOptions["stream"]]>([
    [
      "type and data",
      stream('data: {"t":"bit","v":"Hel"}', 'data: {"t":"bit","v":"lo"}', 'data: {"t":"over"}'),
      { type: "t", delta: "bit", end: "over", text: "v" },
    ],
    [
      "the event's own name",
      stream(
        'event: token\ndata: {"v":"Hel"}',
        'event: meta\ndata: {"v":"x"}',
        'event: token\ndata: {"v":"lo"}',
      ),
      { delta: ["token"], text: ["v"] },
    ],
    ["texts without JSON", stream("data: Hel", "data: lo", "data: [DONE]"), {}],
    [
      "nested fields",
      stream('data: {"type":"chunk","payload":{"text":"Hello"}}', "data: [DONE]"),
      { text: ["payload.text"] },
    ],
    [
      "a whole reply in the event that ends it",
      stream('data: {"type":"end","data":"{\\"data\\":{\\"text\\":\\"Hello\\"}}"}'),
      { end: "end" },
    ],
    ["a last event without its blank line", 'data: {"content":"Hello"}', { text: "content" }],
    [
      "PHP's warnings before",
      `<br />\n<b>Warning</b>: x in <b>/y</b><br />\n${stream('data: {"content":"Hello"}')}`,
      { text: "content" },
    ],
    [
      "comments and blank lines before",
      `: hi\n\n\n${stream('data: {"content":"Hello"}')}`,
      { text: "content" },
    ],
    ["JSON instead of a stream", '{"data":{"text":"Hello"}}', { text: "content" }],
    ["OpenAI's", stream('data: {"choices":[{"delta":{"content":"Hello"}}]}', "data: [DONE]"), "openai"],
  ])("%s", async (_, body, form) => {
    expect(await read(body, form)).toBe("Hello");
  });
});

describe("a message is posted as settings say:", () => {
  const ok = '{"data":"Hello"}';

  test("as a form, with fixed fields", async () => {
    const [call] = (
      await answered(ok, { body: { form: { a: "1", n: 27, text: "{message}", id: "{messageId}" } } })
    ).posted;
    const fields = new URLSearchParams(call?.body);
    expect(Object.fromEntries(fields)).toMatchObject({ a: "1", n: "27", text: "Hi & bye" });
    expect(fields.get("id")).toMatch(/^[0-9a-f-]{36}$/);
    expect(call?.url).toBe("https://shop.example/wp-admin/admin-ajax.php");
    expect(call?.headers.get("content-type")).toStartWith("application/x-www-form-urlencoded");
    expect(call?.headers.get("origin")).toBe("https://shop.example");
  });

  test("as JSON, with what is nested in it", async () => {
    const json = {
      messages: [{ role: "user", content: "{message}" }],
      meta: { model: "{model}", deep: [1, null, true] },
      s: "x-{session}",
    };
    const [call] = (await answered(ok, { endpoint: "/wp-json/shop/v1/say", body: { json } })).posted;
    expect(JSON.parse(call?.body ?? "")).toEqual({
      messages: [{ role: "user", content: "Hi & bye" }],
      meta: { model: "shop", deep: [1, null, true] },
      s: "x-session_1700000000000_abcdefghi",
    });
    expect(call?.headers.get("content-type")).toBe("application/json");
    expect(call?.url).toBe("https://shop.example/wp-json/shop/v1/say");
  });

  test("as JSON in a field of a form", async () => {
    const form = { payload: '{"q":"{message}","n":[1,"{model}"]}' };
    const [call] = (await answered(ok, { body: { form } }, {}, 'Say "hi" \\ {model}')).posted;
    expect(JSON.parse(new URLSearchParams(call?.body).get("payload") ?? "")).toEqual({
      q: 'Say "hi" \\ {model}',
      n: [1, "shop"],
    });
  });

  test("in the address", async () => {
    const [call] = (await answered(ok, { method: "GET", endpoint: "/?rest_route=/shop/v1/say" })).posted;
    expect(call).toMatchObject({
      method: "GET",
      url: "https://shop.example/?rest_route=/shop/v1/say&action=shop_say&text=Hi+%26+bye",
      body: "null",
    });
  });

  test("to a site in a folder, or under another address", async () => {
    const blog = await answered(ok, { site: "https://shop.example/blog/" });
    expect(blog.posted[0]?.url).toBe("https://shop.example/blog/wp-admin/admin-ajax.php");
    const api = await answered(ok, { endpoint: "https://api.shop.example/chat" });
    expect(api.posted[0]?.url).toBe("https://api.shop.example/chat");
  });

  test("with headers of its own", async () => {
    const [call] = (await answered(ok, { headers: { "x-team": "blue", "x-chat": "{session}" } })).posted;
    expect(call?.headers.get("x-team")).toBe("blue");
    expect(call?.headers.get("x-chat")).toBe("session_1700000000000_abcdefghi");
  });
});
