/** What a started server tells of its requests, on its standard output. */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { gatewayBeforeSite } from "../support/gateway-before-site.ts";
import { startServer } from "../support/start-server.ts";
import { until } from "../support/until.ts";

const root = join(import.meta.dir, "../..");

/** A site that nobody serves, so that nothing leaves this machine. */
const nowhere = {
  CHAT_PAGE_URL: "http://127.0.0.1:9/chat/",
  UPSTREAM_URL: "http://127.0.0.1:9/wp-admin/admin-ajax.php",
};

const chat = (baseURL: string, body: object, headers: Record<string, string> = {}) =>
  fetch(`${baseURL}/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: "Bearer sk-planted-key", ...headers },
    body: JSON.stringify(body),
  });

const logLines = (output: string) =>
  output
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line));

describe("the log of a server", () => {
  test("has a JSON line with the facts of each request, and nothing that is secret", async () => {
    const { baseURL, server } = await gatewayBeforeSite({ API_KEYS: '{"alice":"sk-planted-key"}' });
    const messages = [{ role: "user", content: "a planted message" }];
    const replies = await Promise.all([
      chat(baseURL, { messages }, { "x-request-id": "whole" }),
      chat(baseURL, { messages, stream: true }, { "x-request-id": "stream" }),
      chat(baseURL, { messages, model: "no-such" }, { "x-request-id": "wrong" }),
    ]);
    for (const reply of replies) await reply.text();
    const lineOf = (id: string) => logLines(server.output()).filter(({ requestId }) => requestId === id);
    await until(async () => ["whole", "stream", "wrong"].every((id) => lineOf(id).length > 0));

    expect(lineOf("whole")).toEqual([
      expect.objectContaining({
        level: "info",
        event: "request.finished",
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
        method: "POST",
        route: "/chat/completions",
        key: "alice",
        model: "kimi-k2-instruct-0905",
        provider: "kimi-web",
        stream: false,
        status: 200,
        firstPartMs: expect.any(Number),
        ms: expect.any(Number),
        upstreamMs: expect.any(Number),
        attempts: 1,
        charsIn: 17,
        charsOut: expect.any(Number),
        droppedMessages: 0,
      }),
    ]);
    expect(lineOf("stream")).toEqual([expect.objectContaining({ stream: true, status: 200, attempts: 1 })]);
    expect(lineOf("wrong")).toEqual([
      expect.objectContaining({ status: 404, code: "model_not_found", key: "alice" }),
    ]);
    expect(server.output()).not.toContain("planted");
  });

  test("is silent with LOG_LEVEL=silent", async () => {
    const server = await startServer({ env: { ...nowhere, LOG_LEVEL: "silent" } });
    const announced = server.output();
    await (await fetch(`${server.url}/v1/models`)).text();
    await server.stop();
    expect(logLines(server.output())).toEqual([]);
    expect(server.output()).toStartWith(announced.trimEnd());
    expect(server.output()).not.toContain("request");
  });

  test("is for people on a terminal", async () => {
    let shown = "";
    const child = Bun.spawn([process.execPath, "--no-env-file", "adapters/bun.ts"], {
      cwd: root,
      env: { PATH: process.env.PATH, ...nowhere, PORT: "0", NO_COLOR: "1" },
      terminal: {
        cols: 400,
        data: (_, bytes) => {
          shown += new TextDecoder().decode(bytes);
        },
      },
    });
    try {
      await until(async () => /listens on \S+/.test(shown));
      const url = /listens on (\S+)/.exec(shown)?.[1];
      await (await fetch(`${url}/v1/models`, { headers: { "x-request-id": "abc" } })).text();
      await until(async () => shown.includes("requestId=abc"));
      expect(shown).toMatch(/\d\d:\d\d:\d\d\.\d{3} 200 GET \/models \d+ ms requestId=abc /);
      expect(logLines(shown)).toEqual([]);
    } finally {
      child.kill("SIGTERM");
      await child.exited;
    }
  });
});
