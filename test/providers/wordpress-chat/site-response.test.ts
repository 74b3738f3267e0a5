import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createServer, type Server, type Socket } from "node:net";
import { gzipSync } from "node:zlib";
import { ApiError } from "../../../core/errors.ts";
import { callSite } from "../../../core/providers/wordpress-chat/site-response.ts";
import { nobody } from "../../support/nobody.ts";

/** Answers whatever it is asked with the bytes that the path names. */
const answers: Record<string, (socket: Socket) => void> = {
  "/fine": (socket) => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n\ufeffgood"),
  "/cut-chunked": (socket) =>
    socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", () => socket.end()),
  "/cut-length": (socket) =>
    socket.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello", () => socket.end()),
  "/closed": (socket) => socket.end(),
  "/reset": (socket) => socket.resetAndDestroy(),
  "/garbage": (socket) => socket.end("garbage\r\n\r\n"),
  "/bomb": (socket) => {
    const bomb = gzipSync(Buffer.alloc(20_000_000, "x"));
    socket.write(`HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: ${bomb.length}\r\n\r\n`);
    socket.end(bomb);
  },
  "/no-gzip": (socket) =>
    socket.end("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello"),
  "/redirect": (socket) =>
    socket.end("HTTP/1.1 302 Found\r\nLocation: /fine\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"),
  "/silent": () => {},
};

let server: Server;
let origin: string;

beforeAll(async () => {
  server = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", (data) => {
      const answer = answers[String(data).split(" ")[1] ?? ""] ?? answers["/garbage"];
      answer?.(socket);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  origin = `http://127.0.0.1:${address.port}`;
});
afterAll(() => {
  server.close();
});

const call = (url: string, { signal = new AbortController().signal, maxChars = 1_000_000 } = {}) =>
  callSite({ fetch, url, method: "GET", headers: {}, signal, maxChars });

const faultOf = async (promise: Promise<unknown>): Promise<ApiError> => {
  const fault = await promise.then(
    () => undefined,
    (error) => error,
  );
  if (!(fault instanceof ApiError)) throw new Error("no ApiError", { cause: fault });
  return fault;
};

test("a call of the site reads a text, without its byte order mark", async () => {
  expect(await call(`${origin}/fine`)).toMatchObject({ status: 200, text: "good", isCut: false });
});

test("a call of the site follows no redirect", async () => {
  const { status, headers } = await call(`${origin}/redirect`);
  expect([status, headers.get("location"), headers.getSetCookie()]).toEqual([302, "/fine", ["a=b"]]);
});

test("a call of the site reads no further than the limit, compressed or not", async () => {
  const { text, isCut } = await call(`${origin}/bomb`);
  expect([text.length, isCut]).toEqual([1_000_000, true]);
  expect(await call(`${origin}/fine`, { maxChars: 3 })).toMatchObject({ text: "goo", isCut: true });
  expect(await call(`${origin}/fine`, { maxChars: 4 })).toMatchObject({ text: "good", isCut: false });
});

describe("a connection that fails is upstream_unreachable", () => {
  const faults: Record<string, [url: string, words: RegExp]> = {
    "closed at once": ["/closed", /broke/],
    reset: ["/reset", /broke/],
    "cut between chunks": ["/cut-chunked", /broke/],
    "cut before the length": ["/cut-length", /broke/],
    "no HTTP": ["/garbage", /broke/],
    "broken compression": ["/no-gzip", /broke/],
  };
  for (const [name, [path, words]] of Object.entries(faults)) {
    test(name, async () => {
      const fault = await faultOf(call(origin + path));
      expect(fault.code).toBe("upstream_unreachable");
      expect(fault.message).toMatch(words);
    });
  }

  test("refused", async () => {
    const fault = await faultOf(call(nobody));
    expect([fault.code, fault.message]).toEqual([
      "upstream_unreachable",
      "The chat site can't be reached: no connection was accepted.",
    ]);
  });

  test("no such host", async () => {
    const fault = await faultOf(call("http://no-such-host.invalid/"));
    expect(fault.message).toBe("The chat site can't be reached: its host name is not known.");
  });

  test("no TLS", async () => {
    const fault = await faultOf(call(`${origin.replace("http", "https")}/garbage`));
    expect(fault.message).toContain("TLS");
  });
});

test("a connection that fails is told apart in the words of Bun, Deno and Node", async () => {
  const chain = (...causes: Array<[message: string, code?: string]>) =>
    causes.reduceRight<Error | undefined>(
      (cause, [message, code]) => Object.assign(new TypeError(message, { cause }), code && { code }),
      undefined,
    );
  const errors: Array<[Error | undefined, RegExp]> = [
    [
      chain(["ECONNREFUSED: Unable to connect. Is the computer able to access the url?", "ECONNREFUSED"]),
      /accepted/,
    ],
    [chain(["fetch failed"], ["connect ECONNREFUSED 127.0.0.1:1", "ECONNREFUSED"]), /accepted/],
    [
      chain(
        ["fetch failed"],
        [
          "error sending request for url (http://a/): client error (Connect): tcp connect error: Connection refused (os error 111)",
        ],
      ),
      /accepted/,
    ],
    [
      new TypeError("fetch failed", { cause: new AggregateError([chain(["x", "ECONNREFUSED"])]) }),
      /accepted/,
    ],
    [chain(["fetch failed"], ["getaddrinfo ENOTFOUND a", "ENOTFOUND"]), /host name/],
    [
      chain(
        ["fetch failed"],
        [
          "error sending request for url (http://a/): client error (Connect): dns error: failed to lookup address information",
        ],
      ),
      /host name/,
    ],
    [chain(["self signed certificate", "DEPTH_ZERO_SELF_SIGNED_CERT"]), /TLS/],
    [
      chain(
        ["fetch failed"],
        [
          "error sending request for url (https://a/): client error (Connect): invalid peer certificate: UnknownIssuer",
        ],
      ),
      /TLS/,
    ],
    [chain(["fetch failed"], ["wrong version number", "ERR_SSL_WRONG_VERSION_NUMBER"]), /TLS/],
    [chain(["fetch failed"], ["other side closed", "UND_ERR_SOCKET"]), /broke/],
    [
      chain(
        ["fetch failed"],
        ["error sending request for http://a/: client error (SendRequest): connection closed"],
      ),
      /broke/,
    ],
    [chain(["Network connection lost."]), /broke/],
  ];
  for (const [error, words] of errors) {
    const failing = callSite({
      fetch: () => Promise.reject(error),
      url: "http://site.test/",
      method: "GET",
      headers: {},
      signal: new AbortController().signal,
      maxChars: 1,
    });
    expect((await faultOf(failing)).message).toMatch(words);
  }
});

test("an abort is told by its own reason", async () => {
  const controller = new AbortController();
  const reason = new ApiError("client_closed_request", "gone");
  const pending = call(`${origin}/silent`, { signal: controller.signal });
  setTimeout(() => controller.abort(reason), 20);
  expect(await faultOf(pending)).toBe(reason);
});
