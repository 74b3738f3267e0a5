/** That answers are held against the API's document at all: each way in which tests get them, and each kind of fault. */
import { afterAll, describe, expect, test } from "bun:test";
import { differences } from "../support/documented-answers.ts";
import { expectDocumented } from "../support/expect-documented.ts";
import { hello, testHandler } from "../support/test-handler.ts";
import { takeDifferences, watchedAnswers, watchGateway, watching } from "../support/watch-answers.ts";

/** What no gateway answers: a failure of another shape, and under a status of its own. */
const wrong = async ({ url }: Request) =>
  Response.json({ ERROR: "No" }, { status: url.endsWith("nowhere") ? 404 : 418 });
const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: (request) => wrong(request) });
const unwatch = watchGateway(server.url.href);
afterAll(async () => {
  unwatch();
  await server.stop(true);
});

describe("an answer that differs fails its test", () => {
  test("of a handler in this process", async () => {
    await watching(wrong)(new Request("http://127.0.0.1/v1/models"));
    expect(expectDocumented).toThrow("GET /models → 418 application/json");
    expect(expectDocumented).not.toThrow();
  });

  test("of a started gateway, whether it is read or not", async () => {
    await fetch(`${server.url}v1/models`);
    expect(expectDocumented).toThrow("the status is not documented");
  });

  test("of a started gateway, once it was read", async () => {
    const response = await fetch(`${server.url}v1/nowhere`);
    expect(takeDifferences()).toEqual([]);
    expect(await response.json()).toEqual({ ERROR: "No" });
    expect(expectDocumented).toThrow("must have required property 'error'");
  });

  test("and others are counted", async () => {
    const before = watchedAnswers("createChatCompletion");
    const { chat } = testHandler();
    await (await chat(hello)).text();
    await (await chat({ ...hello, stream: true })).text();
    expect(watchedAnswers("createChatCompletion")).toBe(before + 2);
  });
});

const asked = (line: string) => {
  const [method = "", path = ""] = line.split(" ");
  return { method, url: `http://127.0.0.1${path}` };
};
const json = "application/json; charset=utf-8";
const events = "text/event-stream; charset=utf-8";
const error = (code: string) => JSON.stringify({ error: { message: "No", type: "x", param: null, code } });
const chunk = (choices: string) =>
  `data: {"id":"1","object":"chat.completion.chunk","created":1,"model":"m","choices":${choices}}\n\n`;

describe("what is found", () => {
  test.each([
    ["POST /v1/chat/completions", 200, json, "{}", "the whole must have required property 'id'"],
    ["POST /v1/chat/completions", 200, "text/plain", "Hi", "the content type is not documented"],
    [
      "POST /v1/chat/completions",
      200,
      events,
      'data: {"id":1}\n\n',
      "the whole must have required property 'object'",
    ],
    [
      "POST /v1/chat/completions",
      200,
      events,
      chunk("[{}]"),
      "/choices/0 must have required property 'index'",
    ],
    ["POST /v1/chat/completions", 302, json, "{}", "the status is not documented"],
    ["POST //chat/completions/", 400, json, error("not_found"), "the code not_found is not documented"],
    ["GET /v1/models/a/b", 404, json, error("own_code"), "the code own_code is not documented"],
    [
      "POST /v1/messages",
      400,
      json,
      error("invalid_request"),
      "the whole must have required property 'type'",
    ],
    [
      "POST /api/chat",
      200,
      "application/x-ndjson",
      '{"done":true}\n',
      "the whole must have required property 'model'",
    ],
    ["DELETE /v1/session", 204, "", "Gone", "no body is documented"],
    ["GET /v1/nowhere", 200, json, "{}", "a status that only documented routes have"],
    ["GET /v1/nowhere", 404, json, "{}", "the whole must have required property 'error'"],
  ])("%s → %d, case %#", (line, status, type, text, fault) => {
    const found = differences(asked(line), { status, type, text, isWhole: true });
    expect(found.join()).toContain(fault);
  });

  test.each([
    [
      "POST /v1/chat/completions",
      200,
      events,
      `${chunk("[]")}data: ${error("upstream_error")}\n\ndata: [DONE]\n\n`,
    ],
    // An upstream's own refusal.
    ["POST /v1/chat/completions", 451, json, error("own_code")],
    ["GET /v1/nowhere", 404, json, error("not_found")],
    ["OPTIONS /v1/chat/completions", 204, "", ""],
    ["HEAD /health", 200, json, ""],
  ])("nothing: %s → %d, case %#", (line, status, type, text) => {
    expect(differences(asked(line), { status, type, text, isWhole: true })).toEqual([]);
  });

  test("only what has come, in an answer that broke off", () => {
    const broken = { status: 200, isWhole: false };
    const ask = asked("POST /v1/chat/completions");
    expect(differences(ask, { ...broken, type: json, text: '{"id":' })).toEqual([]);
    expect(differences(ask, { ...broken, type: events, text: `${chunk("[]")}data: {"id"` })).toEqual([]);
    expect(differences(ask, { ...broken, type: events, text: "data: {}\n\ndata: {" })).not.toEqual([]);
  });
});
