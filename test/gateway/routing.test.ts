/** Several upstreams behind one started gateway, set up by the environment alone. */
import { beforeEach, describe, expect, test } from "bun:test";
import { chunk, cut, eventStream, jsonScript, modelIds, type Script } from "../fakes/openai-upstream.ts";
import { gatewayBeforeUpstreams, testUpstream } from "../support/gateway-before-upstreams.ts";
import { nobody } from "../support/nobody.ts";
import { schemaErrors } from "../support/openai-schema.ts";
import { sseData } from "../support/test-handler.ts";
import { until } from "../support/until.ts";

const first = await testUpstream("sk-first");
const second = await testUpstream("sk-second");
const third = await testUpstream();

const gateway = await gatewayBeforeUpstreams({
  OPENAI_BASE_URL: first.baseUrl,
  OPENAI_API_KEY: "sk-first",
  PROVIDERS: JSON.stringify([
    {
      name: "second",
      baseUrl: "$".concat("{SECOND_URL}"),
      apiKey: "$".concat("{SECOND_KEY}"),
      models: ["echo", "refuser", "own"],
      headers: { "x-title": "for $".concat("{SECOND_USER}") },
      contextMaxTokens: 30,
      streamUsage: false,
    },
    { name: "third", baseUrl: third.baseUrl, models: ["reasoner"], maxConcurrency: 1 },
    { name: "down", baseUrl: `${nobody}/v1` },
  ]),
  SECOND_URL: second.baseUrl,
  SECOND_KEY: "sk-second",
  SECOND_USER: "alice",
  MODEL_ALIASES: "gpt-4o=second/echo,*=openai/echo",
  MODEL_FALLBACKS: JSON.stringify({
    echo: ["second/echo"],
    "down/echo": ["down/y", "third/reasoner", "second/echo"],
    "gpt-4o": ["third/reasoner"],
    reasoner: ["down/x", "second/echo"],
  }),
  DEFAULT_MODEL: "third/reasoner",
  CIRCUIT_BREAKER: "off",
});

const upstreams = { first, second, third };
/** Which upstream got the last chat, and for which model. */
let before: Record<string, number> = {};
beforeEach(() => {
  before = Object.fromEntries(Object.entries(upstreams).map(([name, { calls }]) => [name, calls.length]));
});
const asked = () =>
  Object.entries(upstreams).flatMap(([name, { calls }]) =>
    calls
      .slice(before[name])
      .filter(({ method }) => method === "POST")
      .map(({ body }) => `${name}: ${body.model}`),
  );

describe("the list of models", () => {
  test("has everyone's, with who owns them", async () => {
    const list = await (await gateway.get("/v1/models")).json();
    expect(schemaErrors("ListModelsResponse", list)).toEqual([]);
    const shown = list.data.map(
      ({ id, owned_by }: { id: string; owned_by: string }) => `${id} of ${owned_by}`,
    );
    expect(shown).toEqual([
      ...modelIds.map((id) => `${id} of openai`),
      "second/echo of second",
      "second/refuser of second",
      "own of second",
      "third/reasoner of third",
    ]);
    for (const entry of list.data) {
      const found = await (await gateway.get(`/v1/models/${entry.id}`)).json();
      expect(found).toEqual(entry);
    }
  });

  test("has no models of an upstream that is down, and the log says which one that is", async () => {
    await gateway.get("/v1/models");
    // Another process writes it, in its own time.
    await until(async () => /models\.list_failed.*down/.test(gateway.output()));
  });
});

describe("a model asked for as", () => {
  test.each([
    ["echo", "first: echo", "openai/echo"],
    ["own", "second: own", "second/own"],
    ["openai/echo", "first: echo", "openai/echo"],
    ["second/echo", "second: echo", "second/echo"],
    ["third/reasoner", "third: reasoner", "third/reasoner"],
    ["gpt-4o", "second: echo", "second/echo"],
    ["openai/unlisted", "first: unlisted", undefined],
    ["second/unlisted", "first: echo", "openai/echo"],
    ["claude-opus", "first: echo", "openai/echo"],
    [undefined, "third: reasoner", "third/reasoner"],
    [null, "third: reasoner", "third/reasoner"],
  ])("%p goes to the right upstream", async (model, upstream, servedBy) => {
    const response = await gateway.chat({ model });
    expect(asked()).toEqual([upstream]);
    const answer = await response.json();
    if (servedBy === undefined) {
      // The upstream's own word for it.
      expect(response.status).toBe(404);
      expect(answer.error.code).toBe("model_not_found");
    } else if (model !== "own") {
      expect(response.headers.get("x-served-by")).toBe(servedBy);
      expect(answer.model).toBe(model ?? "third/reasoner");
    }
  });

  test("an alias keeps its name in every chunk", async () => {
    const response = await gateway.chat({ model: "gpt-4o", stream: true });
    expect(response.headers.get("x-served-by")).toBe("second/echo");
    const events = sseData(await response.text());
    expect(events.pop()).toBe("[DONE]");
    expect(new Set(events.map((event) => (event as { model: string }).model))).toEqual(new Set(["gpt-4o"]));
  });
});

describe("an upstream's settings", () => {
  test("are its own: key, headers, history, usage", async () => {
    const messages = [
      { role: "user", content: "An old question of some length? ".repeat(5) },
      { role: "assistant", content: "An old answer." },
      { role: "user", content: "Hello" },
    ];
    const response = await gateway.chat({ model: "second/echo", stream: true, messages });
    expect(response.headers.get("x-context-dropped-messages")).toBe("2");
    await response.text();
    const { headers, body } = second.calls.at(-1) ?? { headers: {}, body: {} };
    expect(headers).toMatchObject({ authorization: "Bearer sk-second", "x-title": "for alice" });
    expect(body.messages).toEqual(messages.slice(2));
    expect(body).not.toHaveProperty("stream_options");
    await (await gateway.chat({ model: "echo", stream: true, messages })).text();
    expect(first.calls.at(-1)?.headers.authorization).toBe("Bearer sk-first");
    expect(first.calls.at(-1)?.body).toMatchObject({ messages, stream_options: { include_usage: true } });
  });

  test("bound its calls at once", async () => {
    let open = () => {};
    const opened = new Promise<void>((resolve) => {
      open = resolve;
    });
    third.script({ headers: eventStream, steps: [() => opened, chunk({ content: "Late" }, "stop")] });
    const reached = third.nextCall();
    const waiting = gateway.chat({ model: "third/reasoner", stream: true });
    await reached;
    const next = gateway.chat({ model: "third/reasoner" });
    const health = async () =>
      (await (await gateway.get("/health")).json()).upstreams.find(
        ({ name }: { name: string }) => name === "third",
      );
    while ((await health()).waiting === 0) await Bun.sleep(2);
    expect(await health()).toMatchObject({ running: 1, waiting: 1 });
    open();
    expect(await (await waiting).text()).toContain("Late");
    expect((await next).status).toBe(200);
  });
});

describe("a fallback", () => {
  const rateLimited = jsonScript(429, { error: { message: "Slow down", code: "rate_limit_exceeded" } });
  const broken = jsonScript(500, { error: { message: "Oops" } });
  const challenge: Script = { status: 403, headers: { "cf-mitigated": "challenge" }, steps: ["<html>"] };
  const tooLong = jsonScript(400, { error: { message: "Too long", code: "context_length_exceeded" } });

  test.each<[string, Script, string]>([
    ["429", rateLimited, "upstream_rate_limited"],
    ["500", broken, "upstream_unavailable"],
    ["a challenge", challenge, "upstream_challenge"],
    ["a context that is too long", tooLong, "context_length_exceeded"],
    ["a cut connection", { steps: [cut] }, "upstream_unreachable"],
    [
      "a web page",
      { headers: { "content-type": "text/html" }, steps: ["<html>"] },
      "upstream_invalid_response",
    ],
    ["an empty stream", { headers: eventStream, steps: [": hi\n\n"] }, "upstream_unreachable"],
    [
      "an error in a 200",
      jsonScript(200, { error: { code: 502, message: "Provider down" } }),
      "upstream_unavailable",
    ],
  ])("is taken after %s, and told in headers and log", async (_, script, code) => {
    for (const stream of [true, false]) {
      first.script(script);
      const requestId = crypto.randomUUID();
      const response = await gateway.chat({ model: "echo", stream }, { "x-request-id": requestId });
      expect(response.status).toBe(200);
      expect(response.headers.get("x-served-by")).toBe("second/echo");
      expect(response.headers.get("x-fallback-from")).toBe("openai/echo");
      const text = await response.text();
      const answers = stream ? sseData(text).slice(0, -1) : [JSON.parse(text)];
      for (const answer of answers) expect(answer).toMatchObject({ model: "echo" });
      const lines = () =>
        gateway
          .output()
          .split("\n")
          .filter((line) => line.includes(requestId));
      while (lines().length < 2) await Bun.sleep(2);
      expect(lines()[0]).toContain(code);
      expect(lines()[1]).toContain("openai/echo");
    }
  });

  test.each<[string, Script]>([
    ["400", jsonScript(400, { error: { message: "Bad temperature", param: "temperature", code: "bad" } })],
    ["404", jsonScript(404, { error: { message: "No such user", code: "not_found" } })],
    ["422", jsonScript(422, { detail: "unprocessable" })],
  ])("is not taken after the client's own %s", async (status, script) => {
    first.script(script);
    const response = await gateway.chat({ model: "echo" });
    expect(response.status).toBe(Number(status));
    expect(asked()).toEqual(["first: echo"]);
  });

  test("is not taken once something has been said", async () => {
    const heard = Promise.withResolvers<void>();
    first.script({ headers: eventStream, steps: [chunk({ content: "Hal" }), () => heard.promise, cut] });
    const response = await gateway.chat({ model: "echo", stream: true });
    let text = "";
    for await (const piece of (response.body as ReadableStream).pipeThrough(new TextDecoderStream())) {
      text += piece;
      if (text.includes("Hal")) heard.resolve();
    }
    const events = sseData(text);
    expect(events.at(-1)).toMatchObject({ error: { code: "upstream_unreachable" } });
    expect(asked()).toEqual(["first: echo"]);
  });

  test("may be down too: the next one is asked", async () => {
    const response = await gateway.chat({ model: "down/echo" });
    expect(response.headers.get("x-served-by")).toBe("third/reasoner");
    expect(response.headers.get("x-fallback-from")).toBe("down/echo, down/y");
    expect((await response.json()).choices[0].message).toMatchObject({
      content: "Echo: Hello",
      reasoning_content: "First I think about it.",
    });
    first.script(broken);
    const further = await gateway.chat({ model: "reasoner" });
    expect(further.headers.get("x-served-by")).toBe("second/echo");
    expect(further.headers.get("x-fallback-from")).toBe("openai/reasoner, down/x");
  });

  test("may belong to an alias", async () => {
    second.script(broken);
    const response = await gateway.chat({ model: "gpt-4o" });
    expect(response.headers.get("x-served-by")).toBe("third/reasoner");
    expect((await response.json()).model).toBe("gpt-4o");
  });

  test("that fails as well gives its own error", async () => {
    first.script(broken);
    second.script(jsonScript(429, { error: { message: "Slow down", code: "busy" } }, { "retry-after": "3" }));
    const response = await gateway.chat({ model: "echo" });
    expect(response.status).toBe(429);
    expect(response.headers.get("retry-after")).toBe("3");
    expect((await response.json()).error).toMatchObject({ message: "Slow down", code: "busy" });
  });
});

test("no key of an upstream's has come out anywhere", () => {
  expect(gateway.output()).not.toMatch(/sk-first|sk-second/);
});
