/** Secrets stay secrets: a proxy in front of a keyless server, upstreams and stores that quote what they were sent. */
import { expect, test } from "bun:test";
import { chunk, eventStream, jsonScript } from "../../fakes/openai-upstream.ts";
import { startServer } from "../../support/start-server.ts";
import { attackOnEveryRuntime, commandOf, onEveryRuntime } from "./attacked-server.ts";

const planted = {
  upstreamKey: "Zq7-Wx93kLm2Vb",
  header: "Hj5tRr81QeUy",
  query: "Nc4xPp60Dfgs",
};

/** Every piece of four characters of a secret that stands in a text. */
const piecesIn = (text: string): string[] =>
  Object.values(planted).flatMap((secret) =>
    Array.from({ length: secret.length - 3 }, (_, at) => secret.slice(at, at + 4)).filter((piece) =>
      text.includes(piece),
    ),
  );

attackOnEveryRuntime("a proxy before a keyless server", {}, (attacked) => {
  test.each([
    ["X-Forwarded-For", "203.0.113.9"],
    ["X-Forwarded-Proto", "https"],
    ["X-Forwarded-Host", "api.example.com"],
    ["Forwarded", "for=203.0.113.9"],
    ["X-Real-IP", "203.0.113.9"],
    ["Via", "1.1 proxy"],
    ["CF-Connecting-IP", "203.0.113.9"],
  ])("is noticed by its %s, and nothing is answered", async (name, value) => {
    for (const path of ["/v1/models", "/metrics"]) {
      const response = await attacked.get(path, { [name]: value });
      expect(response.status).toBe(403);
      expect((await response.json()).error.message).toContain("API_MASTER_KEY");
    }
    expect((await attacked.chat({}, { [name]: value })).status).toBe(403);
  });

  test("is no one: this machine's own calls are answered", async () => {
    expect((await attacked.chat()).status).toBe(200);
  });
});

attackOnEveryRuntime(
  "an upstream that quotes what it was sent",
  {
    OPENAI_API_KEY: planted.upstreamKey,
    PROVIDERS: JSON.stringify([
      {
        name: "second",
        baseUrl: `http://127.0.0.1:9/v1?key=${planted.query}`,
        headers: { "x-odd": planted.header },
        models: ["two"],
      },
    ]),
    LOG_LEVEL: "debug",
    CIRCUIT_BREAKER: "off",
  },
  (attacked) => {
    test.each([400, 401, 403, 429, 500, 503])("shows no piece of a secret in its %d", async (status) => {
      for (const secret of Object.values(planted)) {
        for (const [from, to] of [
          [0, secret.length],
          [0, 4],
          [3, 9],
          [secret.length - 5, secret.length],
        ]) {
          const quoted = secret.slice(from, to);
          const error = { message: `Bad: ${quoted}, sir`, type: quoted, code: quoted, param: quoted };
          attacked.upstream.script(jsonScript(status, { error }), jsonScript(status, { error }));
          for (const stream of [false, true]) {
            const response = await attacked.chat({ stream });
            expect(piecesIn(await response.text())).toEqual([]);
            expect(piecesIn(JSON.stringify([...response.headers]))).toEqual([]);
          }
        }
      }
    });

    test("shows none in the middle of a stream", async () => {
      const error = `data: ${JSON.stringify({ error: { message: `No: ${planted.upstreamKey.slice(2)}` } })}\n\n`;
      attacked.upstream.script({ headers: eventStream, steps: [chunk({ content: "a" }), error] });
      const text = await (await attacked.chat({ stream: true })).text();
      expect(text).toContain('"error"');
      expect(piecesIn(text)).toEqual([]);
    });

    test("leaves none in the log", async () => {
      await (await attacked.chat({ model: "two" })).text();
      expect(piecesIn(attacked.server.output())).toEqual([]);
    });
  },
);

onEveryRuntime("a store that can't be opened", (runtime) => {
  test("does not get its password shown", async () => {
    const started = startServer({
      command: await commandOf(runtime),
      env: {
        SESSION_STORE: "redis",
        REDIS_URL: `redis://user:${planted.upstreamKey}@127.0.0.1:9/0`,
        KIMI_WEB: "off",
        OPENAI_BASE_URL: "http://127.0.0.1:9/v1",
        OPENAI_MODELS: "echo",
        LOG_LEVEL: "debug",
        DENO_NO_UPDATE_CHECK: "1",
      },
    });
    const server = await started.catch((error: Error) => error.message);
    if (typeof server === "string") return expect(piecesIn(server)).toEqual([]);
    const chat = await fetch(`${server.url}/v1/chat/completions`, {
      method: "POST",
      headers: { "x-session-id": "s" },
      body: JSON.stringify({ model: "echo", messages: [{ role: "user", content: "Hello" }] }),
    });
    expect(chat.status).toBe(503);
    expect(piecesIn(await chat.text())).toEqual([]);
    await server.stop();
    expect(server.output()).toContain("store.failed");
    expect(piecesIn(server.output())).toEqual([]);
  });
});
