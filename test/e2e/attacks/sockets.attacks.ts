/** Raw connections: too many of them, bodies that are too large, and HTTP as few clients write it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { type OpenAiUpstream, startOpenAiUpstream } from "../../fakes/openai-upstream.ts";
import { rawRequest } from "../../support/raw-request.ts";
import { type Server, startServer } from "../../support/start-server.ts";
import { until } from "../../support/until.ts";
import { commandOf, onEveryRuntime } from "./attacked-server.ts";

onEveryRuntime("connections", (runtime) => {
  let server: Server;
  let upstream: OpenAiUpstream;
  beforeAll(async () => {
    upstream = await startOpenAiUpstream();
    server = await startServer({
      command: ["/bin/sh", "-c", `ulimit -n 256; exec ${(await commandOf(runtime)).join(" ")}`],
      env: {
        KIMI_WEB: "off",
        OPENAI_BASE_URL: upstream.baseUrl,
        OPENAI_MODELS: "echo",
        SESSION_STORE: "memory",
        MAX_BODY_BYTES: "2048",
        DENO_NO_UPDATE_CHECK: "1",
      },
    });
  }, 60_000);
  afterAll(async () => {
    await server.stop();
    upstream.close();
  });

  const hostOf = () => new URL(server.url).host;
  const body = JSON.stringify({ model: "echo", messages: [{ role: "user", content: "Hello" }] });
  const head = () =>
    `POST /v1/chat/completions HTTP/1.1\r\nHost: ${hostOf()}\r\nContent-Type: application/json\r\n`;
  const post = () => `${head()}Content-Length: ${body.length}\r\n\r\n${body}`;

  test("beyond the open files that the process may have don't end it", async () => {
    const { hostname, port } = new URL(server.url);
    const sockets: Socket[] = [];
    for (let index = 0; index < 300; index++) {
      const socket = connect(Number(port), hostname);
      socket.on("error", () => {});
      sockets.push(socket);
    }
    await Bun.sleep(500);
    for (const socket of sockets) socket.destroy();
    const isBack = () =>
      fetch(`${server.url}/health`, { headers: { connection: "close" } }).then(
        ({ ok }) => ok,
        () => false,
      );
    // Deno's server ends some time after the connection that it could not take, and is back half a second later.
    let answers = 0;
    await until(async () => {
      await Bun.sleep(100);
      answers = (await isBack()) ? answers + 1 : 0;
      return answers >= 10;
    });
    expect(await server.output()).not.toContain("Uncaught");
  });

  // Deno reads on: docs/deploy/deno.md says what a proxy does about it.
  test.skipIf(runtime === "Deno")("with a body that is too large are closed, the rest unread", async () => {
    const { hostname, port } = new URL(server.url);
    const socket = connect(Number(port), hostname);
    socket.on("error", () => {});
    const closed = new Promise<void>((resolve) => socket.on("close", () => resolve()));
    let answer = "";
    socket.on("data", (bytes) => {
      answer += bytes.toString("latin1");
    });
    socket.write(`${head()}Content-Length: 50000000\r\n\r\n${"x".repeat(100)}`);
    await closed;
    expect(answer).toStartWith("HTTP/1.1 413");
    expect(answer).toMatch(/connection: close/i);
  });

  /** What Bun's own parser refuses never reaches the gateway: docs/deploy/bun.md. */
  const answered = runtime === "Bun" ? 400 : 200;

  describe("of few clients", () => {
    test("a line break before a request", async () => {
      expect((await rawRequest(server.url, [`\r\n${post()}`])).status).toBe(answered);
    });

    test("a body with trailers", async () => {
      const size = body.length.toString(16);
      const chunked = `${head()}Transfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n${size}\r\n${body}\r\n0\r\nx-sum: 1\r\n\r\n`;
      expect((await rawRequest(server.url, [chunked])).status).toBe(answered);
    });

    test("a client that closes its sending side at once has the answer that needs no waiting", async () => {
      const get = `GET /health HTTP/1.1\r\nHost: ${hostOf()}\r\n\r\n`;
      expect((await rawRequest(server.url, [get], { endsAfter: true })).status).toBe(200);
    });
  });
});
