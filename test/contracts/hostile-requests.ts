/** What no gateway may be fooled by, whichever adapter and runtime serves it: bytes that no client library would send. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { startChatSite } from "../fakes/chat-site.ts";
import { siteControl } from "../fakes/site-control.ts";
import { rawRequest } from "../support/raw-request.ts";
import type { Server } from "../support/start-server.ts";

type Started = Pick<Server, "url" | "stop">;

export interface HostileRequestsOptions {
  /** Starts a gateway with these settings. */
  start(env: Readonly<Record<string, string>>): Promise<Started>;
}

const key = "sk-hostile";
const body = JSON.stringify({ messages: [{ role: "user", content: "Hello" }] });
const head = (headers: string, requestLine = "POST /v1/chat/completions HTTP/1.1") =>
  `${requestLine}\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${key}\r\n${headers}\r\n`;
const length = (text: string) => `Content-Length: ${text.length}\r\n`;
const chunked = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n0\r\n\r\n`;

/** Registers the suite for one adapter or runtime. */
export function hostileRequests(name: string, { start }: HostileRequestsOptions): void {
  describe(`on ${name},`, () => {
    const chatSite = startChatSite();
    const site = siteControl(chatSite.url);
    const startBefore = (env: Readonly<Record<string, string>> = {}) =>
      start({ CHAT_PAGE_URL: site.pageUrl, UPSTREAM_URL: site.ajaxUrl, API_MASTER_KEY: key, ...env });
    let gateway: Started;
    beforeAll(async () => {
      gateway = await startBefore();
    }, 60_000);
    afterAll(async () => {
      await gateway?.stop();
      await chatSite.stop();
    }, 60_000);
    beforeEach(() => site.reset());

    describe("a request whose framing is", () => {
      const smuggled = `GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${key}\r\n\r\n`;
      const cases: Record<string, readonly string[]> = {
        "two lengths that differ": [head(`Content-Length: 5\r\n${length(body)}`), body],
        "a length and chunks": [
          head(`${length(body)}Transfer-Encoding: chunked\r\n`),
          chunked(body),
          smuggled,
        ],
        "an unknown coding": [head("Transfer-Encoding: xchunked\r\n"), body],
        "chunks of no size": [head("Transfer-Encoding: chunked\r\n"), `zz\r\n${body}\r\n0\r\n\r\n`],
        "a negative length": [head("Content-Length: -5\r\n"), body],
        "a length that is no number": [head("Content-Length: 0x10\r\n"), body],
        "a length beyond all numbers": [head(`Content-Length: 1${"0".repeat(40)}\r\n`), body],
        "a blank before a colon": [head(`Content-Length : ${body.length}\r\n`), body],
        "a folded header": [head(`X-A: a\r\n b\r\n${length(body)}`), body],
        "a header with NUL": [head(`X-A: a\0b\r\n${length(body)}`), body],
        "headers of 200 KB": [head(`X-A: ${"a".repeat(200_000)}\r\n${length(body)}`), body],
        "five thousand headers": [head(`${"X-A: a\r\n".repeat(5000)}${length(body)}`), body],
        "an address of 100 KB": [head("", `GET /${"a".repeat(100_000)} HTTP/1.1`)],
        "a method of its own": [head("", "constructor / HTTP/1.1")],
        "no HTTP at all": ["\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"],
      };
      test.each(Object.entries(cases))("%s is refused, and reaches nobody", async (_, pieces) => {
        const answer = await rawRequest(gateway.url, pieces, { endsAfter: true, readMs: 20 });
        // Some the server just hangs up on; a body in no order has ended early.
        expect([0, 400, 405, 413, 431, 499, 501, 505]).toContain(answer.status);
        expect(answer.count).toBeLessThanOrEqual(1);
        expect((await site.log()).ajax).toEqual([]);
      });

      test("shorter than its length is never sent on", async () => {
        await rawRequest(gateway.url, [head("Content-Length: 1000\r\n"), body], { endsAfter: true });
        expect((await site.log()).ajax).toEqual([]);
      });

      test("shorter than its length, on a connection that stays open, is given up in time", async () => {
        const hasty = await startBefore({ API_REQUEST_TIMEOUT: "1" });
        const answers = await Promise.all([
          rawRequest(hasty.url, [head("Content-Length: 1000\r\n"), body]),
          rawRequest(hasty.url, [head("Transfer-Encoding: chunked\r\n"), "1000\r\n", body]),
        ]);
        for (const answer of answers) {
          expect(answer.status).toBe(408);
          expect(answer.text).toContain('"code":"request_timeout"');
        }
        expect((await site.log()).ajax).toEqual([]);
        await hasty.stop();
      });

      test("longer than its length ends where it said", async () => {
        const answer = await rawRequest(gateway.url, [head("Content-Length: 10\r\n"), body], { readMs: 50 });
        expect(answer.status).toBe(400);
        expect((await site.log()).ajax).toEqual([]);
      });

      test("in chunks is read whole", async () => {
        const answer = await rawRequest(gateway.url, [head("Transfer-Encoding: chunked\r\n"), chunked(body)]);
        expect(answer.status).toBe(200);
        expect(answer.text).toContain("You said: Hello");
      });

      test("of HTTP/1.0, without Host, finds its route", async () => {
        const answer = await rawRequest(gateway.url, ["GET /health HTTP/1.0\r\n\r\n"]);
        expect(answer.text).toContain('"status":"ok"');
      });
    });

    describe("a body", () => {
      test.each([5_000_000, 9_000_000, 10 ** 15])(
        "of %p bytes is refused by its declared length alone",
        async (bytes) => {
          const answer = await rawRequest(gateway.url, [head(`Content-Length: ${bytes}\r\n`)], {
            readMs: 20,
          });
          expect(answer.status).toBe(413);
          expect(answer.text).toContain('"code":"request_too_large"');
        },
      );

      test.each([5_000_000, 20_000_000])(
        "of %p bytes is refused without a declared length too",
        async (bytes) => {
          const pieces = [
            head("Transfer-Encoding: chunked\r\n"),
            `${bytes.toString(16)}\r\n`,
            "x".repeat(bytes),
          ];
          const answer = await rawRequest(gateway.url, pieces, { readMs: 20 });
          expect(answer.status).toBe(413);
          expect(answer.text).toContain('"code":"request_too_large"');
        },
      );
    });
  });
}
