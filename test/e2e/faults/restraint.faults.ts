/** What keeps the gateway from multiplying load: circuit breaker, places, rate limit. Over HTTP, in real time. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { startChatSite } from "../../fakes/chat-site.ts";
import { siteControl } from "../../fakes/site-control.ts";
import { type Server, startServer } from "../../support/start-server.ts";
import { until } from "../../support/until.ts";
import { expectRefusal, readAnswer } from "./expect-fault.ts";

const chatSite = startChatSite();
const site = siteControl(chatSite.url);
let gateway: Server;

async function start(env: Readonly<Record<string, string>> = {}): Promise<void> {
  gateway = await startServer({ env: { CHAT_PAGE_URL: site.pageUrl, UPSTREAM_URL: site.ajaxUrl, ...env } });
}
beforeEach(() => site.reset());
afterEach(() => gateway.stop());

const ask = (
  content: string,
  { signal, ...fields }: { signal?: AbortSignal; model?: string; stream?: boolean } = {},
) =>
  fetch(`${gateway.url}/v1/chat/completions`, {
    method: "POST",
    body: JSON.stringify({ messages: [{ role: "user", content }], ...fields }),
    ...(signal && { signal }),
  });
const statusOf = async (content: string, fields?: { model?: string; stream?: boolean }) => {
  const { status } = await readAnswer(await ask(content, fields));
  return status;
};
const messages = async () => (await site.log()).ajax.length;
const upstream = async () => (await (await fetch(`${gateway.url}/health`)).json()).upstreams[0];
const circuit = async () => {
  const { circuits } = await upstream();
  return Object.keys(circuits).find((state) => state !== "closed" && circuits[state] > 0) ?? "closed";
};

describe("the circuit breaker", () => {
  test("leaves the site alone after a challenge, says why, and asks it for other models", async () => {
    await start();
    expect(await statusOf("[[sim:challenge]]")).toBe(503);
    expect(await circuit()).toBe("open");
    for (const stream of [false, true]) {
      const answer = await readAnswer(await ask("Hello", { stream }));
      const { error } = JSON.parse(answer.text);
      expect(error.code).toBe("upstream_challenge");
      expect(error.message).toContain("firewall");
      expect(answer.headers.get("x-should-retry")).toBe("false");
      const seconds = Number(answer.headers.get("retry-after"));
      expect(seconds).toBeGreaterThan(10);
      expect(seconds).toBeLessThanOrEqual(15);
    }
    expect(await messages()).toBe(1);
    expect(await statusOf("Hello", { model: "kimi-k2-instruct" })).toBe(200);
  });

  test("opens after five outages in a row, and not for what is the client's", async () => {
    await start();
    for (let round = 0; round < 4; round++) expect(await statusOf("[[sim:http=500]]")).toBe(503);
    expect(await statusOf("[[sim:too_long]]")).toBe(400);
    for (let round = 0; round < 4; round++) expect(await statusOf("[[sim:kill]]")).toBe(503);
    const leaving = new AbortController();
    const left = ask("[[sim:slow=1]]", { signal: leaving.signal }).catch(() => "left");
    await until(async () => (await messages()) === 10);
    leaving.abort();
    expect(await left).toBe("left");
    expect(await circuit()).toBe("closed");
    expect(await statusOf("[[sim:cut]]")).toBe(502);
    expect(await circuit()).toBe("open");
    expect(await statusOf("Hello")).toBe(502);
    expect(await messages()).toBe(11);
  });

  test("lets one request at a time see whether it is over, and takes a probe back that was given up", async () => {
    await start();
    expect(await statusOf("[[sim:ratelimit=1]]")).toBe(429);
    expect(await statusOf("Hello")).toBe(429);
    expect(await messages()).toBe(1);
    await Bun.sleep(1050);
    expect(await circuit()).toBe("half-open");

    const leaving = new AbortController();
    const probe = ask("[[sim:slow=2]]", { signal: leaving.signal }).catch(() => "left");
    await until(async () => (await messages()) === 2);
    const beside = await Promise.all(Array.from({ length: 5 }, () => statusOf("Hello")));
    expect(beside).toEqual([429, 429, 429, 429, 429]);
    leaving.abort();
    expect(await probe).toBe("left");
    await until(async () => (await upstream()).running === 0);

    expect(await statusOf("Hello")).toBe(200);
    expect(await circuit()).toBe("closed");
    expect(await messages()).toBe(3);
  });

  test("can be switched off", async () => {
    await start({ CIRCUIT_BREAKER: "off" });
    expect(await statusOf("[[sim:challenge]]")).toBe(503);
    expect(await statusOf("Hello")).toBe(200);
  });
});

describe("places at the site", () => {
  test("are given in the order of arrival, and whoever finds no place to wait is told when to come again", async () => {
    await start({ UPSTREAM_MAX_CONCURRENCY: "1" });
    const first = ask("[[sim:slow=0.4]] first");
    await until(async () => (await upstream())?.running === 1);
    const waiting: Promise<number>[] = [];
    for (let at = 1; at <= 8; at++) {
      waiting.push(statusOf(`in line ${at}`));
      await until(async () => (await upstream()).waiting === at);
    }
    expectRefusal(await readAnswer(await ask("one too many")), {
      status: 503,
      code: "overloaded",
      retryAfter: 5,
    });
    expect((await first).status).toBe(200);
    expect(await Promise.all(waiting)).toEqual(Array(8).fill(200));
    const { ajax } = await site.log();
    expect(ajax.map(({ message }) => message?.slice(-1))).toEqual([..."t12345678"]);
  });
});

describe("the rate limit", () => {
  test("of a key is told before and after it is reached, and is the key's alone", async () => {
    await start({ RATE_LIMIT_RPM: "2", API_KEYS: '{"ann":"sk-ann","bob":"sk-bob"}' });
    const as = (key: string) =>
      fetch(`${gateway.url}/v1/chat/completions`, {
        method: "POST",
        headers: { authorization: `Bearer ${key}` },
        body: JSON.stringify({ messages: [{ role: "user", content: "Hello" }] }),
      });
    const left = (response: Response) => response.headers.get("x-ratelimit-remaining-requests");
    expect([left(await as("sk-ann")), left(await as("sk-ann"))]).toEqual(["1", "0"]);
    const refused = await as("sk-ann");
    expect(refused.status).toBe(429);
    expect((await refused.json()).error.code).toBe("rate_limit_exceeded");
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(25);
    expect(refused.headers.get("x-ratelimit-limit-requests")).toBe("2");
    expect((await as("sk-bob")).status).toBe(200);
    expect(await messages()).toBe(3);
  });
});
