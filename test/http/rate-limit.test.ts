import { describe, expect, test } from "bun:test";
import { localAllowances } from "../../core/http/allowances.ts";
import { createRateLimit } from "../../core/http/rate-limit.ts";
import { fakeClock } from "../fakes/fake-clock.ts";
import { hello, testHandler } from "../support/test-handler.ts";

const authorization = (key: string) => ({ headers: { authorization: `Bearer ${key}` } });

describe("a rate limit", () => {
  test("lets as many requests through as a minute has, then one for each interval", async () => {
    const clock = fakeClock();
    const limit = createRateLimit(3, localAllowances(clock));
    const take = () => {
      try {
        const headers = limit.take({ name: "key", key: "key" });
        return headers instanceof Promise ? "later" : headers["x-ratelimit-remaining-requests"];
      } catch (error) {
        return (error as { retryAfterMs: number }).retryAfterMs;
      }
    };
    expect([take(), take(), take()]).toEqual(["2", "1", "0"]);
    expect(take()).toBe(20_000);
    await clock.advance(19_999);
    expect(take()).toBe(1);
    await clock.advance(1);
    expect(take()).toBe("0");
    await clock.advance(60_000);
    expect(take()).toBe("2");
  });

  test("counts each key for itself and tells with OpenAI's headers", async () => {
    const { chat } = testHandler(
      { RATE_LIMIT_RPM: "2", API_KEYS: '{"alice":"sk-a","bob":"sk-b"}' },
      { clock: fakeClock() },
    );
    const first = await chat(hello, authorization("sk-a"));
    expect(first.headers.get("x-ratelimit-limit-requests")).toBe("2");
    expect(first.headers.get("x-ratelimit-remaining-requests")).toBe("1");
    expect(first.headers.get("x-ratelimit-reset-requests")).toBe("30s");
    await chat(hello, authorization("sk-a"));
    const refused = await chat(hello, authorization("sk-a"));
    expect(refused.status).toBe(429);
    expect(refused.headers.get("retry-after")).toBe("30");
    expect(refused.headers.get("x-ratelimit-remaining-requests")).toBe("0");
    expect((await refused.json()).error.code).toBe("rate_limit_exceeded");
    expect((await chat(hello, authorization("sk-b"))).status).toBe(200);
  });

  test("counts chats only, and is off by default", async () => {
    const limited = testHandler({ RATE_LIMIT_RPM: "1" });
    for (let time = 0; time < 3; time++) expect((await limited.send("/v1/models")).status).toBe(200);
    const free = testHandler();
    const response = await free.chat(hello);
    expect(response.headers.get("x-ratelimit-limit-requests")).toBeNull();
  });
});
