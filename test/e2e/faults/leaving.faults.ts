/** A client that goes away ends what was begun for it within a tenth of a second, and nothing is kept of it. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { startChatSite } from "../../fakes/chat-site.ts";
import { siteControl } from "../../fakes/site-control.ts";
import { type Server, startServer } from "../../support/start-server.ts";
import { until } from "../../support/until.ts";

const longestMs = 100;
/** Other work on the machine may take longer than that. */
const busyMachine = { retry: 3 };

const chatSite = startChatSite();
const site = siteControl(chatSite.url);
let gateway: Server;

async function startGateway(env: Readonly<Record<string, string>>): Promise<Server> {
  return startServer({
    env: {
      CHAT_PAGE_URL: site.pageUrl,
      UPSTREAM_URL: site.ajaxUrl,
      UPSTREAM_MAX_CONCURRENCY: "1",
      CIRCUIT_BREAKER: "off",
      ...env,
    },
  });
}

interface Asking {
  readonly stream?: boolean;
  readonly signal?: AbortSignal;
}

const sessionId = { "x-session-id": "left" };

const ask = (content: string, { stream = false, signal }: Asking = {}) =>
  fetch(`${gateway.url}/v1/chat/completions`, {
    method: "POST",
    headers: sessionId,
    body: JSON.stringify({ messages: [{ role: "user", content }], stream }),
    ...(signal && { signal }),
  });

/** How many calls run at the upstream, and how many wait for a place. */
async function places(): Promise<{ running: number; waiting: number }> {
  const { upstreams } = await (await fetch(`${gateway.url}/health`)).json();
  const { running = 0, waiting = 0 } = upstreams[0] ?? {};
  return { running, waiting };
}

const remembered = async (): Promise<unknown[]> =>
  (await (await fetch(`${gateway.url}/v1/session`, { headers: sessionId })).json()).messages;

const aborted = async () => (await site.status()).counts.aborted ?? 0;

/** Asks, goes away once `isWaiting`, and tells how long it took until `isOver`. */
async function leave(
  content: string,
  stream: boolean,
  isWaiting: () => Promise<boolean>,
  isOver: () => Promise<boolean>,
): Promise<number> {
  const leaving = new AbortController();
  const { signal } = leaving;
  const answer = ask(content, { stream, signal }).then((response) => response.text());
  const outcome = answer.then(
    () => "answered",
    () => "left",
  );
  await until(isWaiting);
  const startedMs = performance.now();
  leaving.abort();
  await until(isOver, 3000);
  const tookMs = performance.now() - startedMs;
  expect(await outcome).toBe("left");
  return tookMs;
}

describe.each([
  ["asked in whole", false, "5000"],
  ["asked for a stream", true, "5000"],
  ["has a stream's headers already", true, "1"],
] as const)("a client that %s leaves while it waits for", (_, stream, commitMs) => {
  const env = { STREAM_COMMIT_MS: commitMs };

  beforeEach(async () => {
    await site.reset();
    await gateway?.stop();
    gateway = await startGateway(env);
    await until(async () => (await site.log()).pages.some(({ status }) => status === 200));
    await site.log({ clear: true });
  });

  test(
    "the nonce",
    async () => {
      await gateway.stop();
      await site.set({ page_mode: "slow=2" });
      // The warm-up waits for the page too, and a fetch ends when the last one has left: so it must be over.
      await site.queue({ page: ["http=500"] });
      gateway = await startGateway(env);
      await until(async () => (await site.log()).pages.some(({ status }) => status === 500));
      const before = await aborted();
      const isWaiting = async () => (await site.log()).pages.length === 2;
      expect(await leave("Hello", stream, isWaiting, async () => (await aborted()) > before)).toBeLessThan(
        longestMs,
      );
      expect((await site.log()).ajax).toEqual([]);
      expect(await remembered()).toEqual([]);
    },
    busyMachine,
  );

  test(
    "the reply",
    async () => {
      await site.set({ ajax: "slow=2" });
      const before = await aborted();
      const isWaiting = async () => (await site.log()).ajax.length === 1;
      expect(await leave("Hello", stream, isWaiting, async () => (await aborted()) > before)).toBeLessThan(
        longestMs,
      );
      expect(await places()).toEqual({ running: 0, waiting: 0 });
      expect(await remembered()).toEqual([]);
    },
    busyMachine,
  );

  test(
    "another nonce and a second try",
    async () => {
      await (await ask("[[sim:text=First]]")).text();
      await site.log({ clear: true });
      await site.rotate();
      await site.set({ page_mode: "slow=2" });
      const before = await aborted();
      const isWaiting = async () => (await site.log()).pages.length === 1;
      expect(await leave("Hello", stream, isWaiting, async () => (await aborted()) > before)).toBeLessThan(
        longestMs,
      );
      expect((await site.log()).ajax).toHaveLength(1);
      expect(await remembered()).toHaveLength(2);
    },
    busyMachine,
  );

  test(
    "a place",
    async () => {
      const holding = fetch(`${gateway.url}/v1/chat/completions`, {
        method: "POST",
        body: JSON.stringify({ messages: [{ role: "user", content: "[[sim:slow=0.6]] Mine" }] }),
      });
      await until(async () => (await places()).running === 1);
      const isWaiting = async () => (await places()).waiting === 1;
      const isOver = async () => (await places()).waiting === 0;
      expect(await leave("Hello", stream, isWaiting, isOver)).toBeLessThan(longestMs);
      expect((await holding).status).toBe(200);
      expect((await site.log()).ajax).toHaveLength(1);
      expect(await places()).toEqual({ running: 0, waiting: 0 });
      expect(await remembered()).toEqual([]);
    },
    busyMachine,
  );

  test(
    "the reply gives its place to the next one at once",
    async () => {
      const isWaiting = async () => (await places()).running === 1;
      let next: Promise<Response> | undefined;
      const isNext = async () => {
        next ??= fetch(`${gateway.url}/v1/chat/completions`, {
          method: "POST",
          body: JSON.stringify({ messages: [{ role: "user", content: "Next" }] }),
        });
        return (await site.log()).ajax.some(({ message }) => message === "Next");
      };
      expect(await leave("[[sim:slow=2]] Hello", stream, isWaiting, isNext)).toBeLessThan(longestMs);
      expect((await next)?.status).toBe(200);
    },
    busyMachine,
  );
});

afterAll(async () => {
  await gateway?.stop();
  await chatSite.stop();
});

describe("a client that reads no further", () => {
  const event = (content: string) =>
    `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content }, finish_reason: null }] })}\n\n`;
  const block = new TextEncoder().encode(event("x".repeat(64 * 1024)));
  let sentBytes = 0;
  let cancelledAtMs = 0;
  const endless = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 0,
    fetch: () =>
      new Response(
        new ReadableStream({
          async pull(controller) {
            sentBytes += block.length;
            controller.enqueue(block);
            await Bun.sleep(0);
          },
          cancel() {
            cancelledAtMs = performance.now();
          },
        }),
        { headers: { "content-type": "text/event-stream" } },
      ),
  });
  let before: Server;
  beforeAll(async () => {
    before = await startServer({
      env: { KIMI_WEB: "off", OPENAI_BASE_URL: `${endless.url}v1`, OPENAI_MODELS: "endless" },
    });
  });
  afterAll(async () => {
    await before.stop();
    await endless.stop(true);
  });

  test("holds its upstream back, and ends it by going away", async () => {
    const { hostname, port } = new URL(before.url);
    const socket = connect(Number(port), hostname);
    const body = JSON.stringify({ messages: [{ role: "user", content: "Hello" }], stream: true });
    socket.write(
      `POST /v1/chat/completions HTTP/1.1\r\nHost: ${hostname}\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    await new Promise((resolve) => socket.once("data", resolve));
    socket.pause();
    // What the sockets between hold is soon full.
    let heldBytes = -1;
    await until(async () => {
      const isSteady = heldBytes === sentBytes;
      heldBytes = sentBytes;
      await Bun.sleep(100);
      return isSteady;
    });
    expect(heldBytes).toBeLessThan(32 * 1024 * 1024);
    socket.destroy();
    await until(async () => cancelledAtMs > 0, 3000);
  });
});
