import { describe, expect, test } from "bun:test";
import { ApiError, type ErrorCode, errorTable } from "../../core/errors.ts";
import { type CircuitChange, createCircuitBreaker } from "../../core/routing/circuit-breaker.ts";
import { fakeClock } from "../fakes/fake-clock.ts";

const setup = (sharesRateLimit = true) => {
  const clock = fakeClock();
  const breaker = createCircuitBreaker({ clock, sharesRateLimit });
  const fail = (code: ErrorCode, retryAfterMs?: number) =>
    breaker.admit("a").failed(new ApiError(code, "Because.", { retryAfterMs }));
  const failTimes = (times: number, code: ErrorCode = "upstream_unavailable") => {
    for (let time = 0; time < times; time++) fail(code);
  };
  const refusal = () => {
    try {
      breaker.admit("a").abandoned();
      return undefined;
    } catch (error) {
      return error as ApiError;
    }
  };
  return { clock, breaker, fail, failTimes, refusal };
};

describe("a circuit", () => {
  test.each(["upstream_unreachable", "upstream_unavailable", "upstream_timeout"] as const)(
    "opens after five %s in a row",
    (code) => {
      const { failTimes, refusal } = setup();
      failTimes(4, code);
      expect(refusal()).toBeUndefined();
      failTimes(1, code);
      expect(refusal()).toMatchObject({ code, retryAfterMs: 15_000 });
      expect(refusal()?.message).toContain(errorTable[code].when);
    },
  );

  test("counts from the start again after a success, or an answer that only refuses the client's text", () => {
    const { breaker, fail, failTimes, refusal } = setup();
    failTimes(4);
    breaker.admit("a").succeeded();
    failTimes(4);
    fail("context_length_exceeded");
    failTimes(4);
    expect(refusal()).toBeUndefined();
  });

  test.each([
    "upstream_error",
    "upstream_invalid_response",
    "upstream_nonce_unavailable",
    "unsupported_content",
    "overloaded",
  ] as const)("never opens because of %s", (code) => {
    const { failTimes, refusal } = setup();
    failTimes(20, code);
    expect(refusal()).toBeUndefined();
  });

  test("never opens because of clients that leave", () => {
    const { breaker, refusal } = setup();
    for (let time = 0; time < 20; time++) breaker.admit("a").abandoned();
    expect(refusal()).toBeUndefined();
  });

  test("opens at once after a challenge", () => {
    const { fail, refusal } = setup();
    fail("upstream_challenge");
    expect(refusal()).toMatchObject({ code: "upstream_challenge", shouldRetry: false });
  });

  test("opens for the time that the site's rate limit states, five minutes at the most", async () => {
    const { clock, fail, refusal } = setup();
    fail("upstream_rate_limited", 40_000);
    await clock.advance(39_999);
    expect(refusal()).toMatchObject({ code: "upstream_rate_limited" });
    await clock.advance(1);
    expect(refusal()).toBeUndefined();
    fail("upstream_rate_limited", 3_600_000);
    expect(refusal()?.retryAfterMs).toBe(300_000);
  });

  test("stays closed after a rate limit without a time, or one of a single vendor key", () => {
    const site = setup();
    site.fail("upstream_rate_limited");
    expect(site.refusal()).toBeUndefined();
    const vendor = setup(false);
    vendor.fail("upstream_rate_limited", 40_000);
    expect(vendor.refusal()).toBeUndefined();
  });

  test("lets one probe through when its time is over, and closes when that succeeds", async () => {
    const { clock, breaker, failTimes, refusal } = setup();
    failTimes(5);
    await clock.advance(15_000);
    expect(breaker.state).toBe("half-open");
    const probe = breaker.admit("a");
    expect(refusal()).toMatchObject({ code: "upstream_unavailable" });
    probe.succeeded();
    expect(breaker.state).toBe("closed");
    expect(refusal()).toBeUndefined();
  });

  test("gives an abandoned probe back", async () => {
    const { clock, breaker, failTimes, refusal } = setup();
    failTimes(5);
    await clock.advance(15_000);
    breaker.admit("a").abandoned();
    expect(refusal()).toBeUndefined();
    expect(breaker.state).toBe("half-open");
  });

  test("stays open for longer each time a probe fails, five minutes at the most", async () => {
    const { clock, fail, failTimes, refusal } = setup();
    failTimes(5);
    const pauses: (number | undefined)[] = [];
    for (let probe = 0; probe < 7; probe++) {
      const pauseMs = refusal()?.retryAfterMs ?? 0;
      pauses.push(pauseMs);
      await clock.advance(pauseMs);
      fail("upstream_timeout");
    }
    expect(pauses).toEqual([15_000, 30_000, 60_000, 120_000, 240_000, 300_000, 300_000]);
  });

  test("is not closed by a call that began before it opened", () => {
    const { breaker, failTimes, refusal } = setup();
    const early = breaker.admit("a");
    failTimes(5);
    early.succeeded();
    expect(refusal()).toBeDefined();
  });
});

describe("a circuit of several callers", () => {
  const setup = () => {
    const clock = fakeClock();
    const changes: CircuitChange[] = [];
    const breaker = createCircuitBreaker({
      clock,
      sharesRateLimit: false,
      onChange: (change) => changes.push(change),
    });
    const fail = (caller: string, times = 1, code: ErrorCode = "upstream_unavailable") => {
      for (let time = 0; time < times; time++)
        breaker.admit(caller).failed(new ApiError(code, "Your prompt `my secret` broke me."));
    };
    const isOpenFor = (caller: string): boolean => {
      try {
        breaker.admit(caller).abandoned();
        return false;
      } catch {
        return true;
      }
    };
    return { clock, breaker, changes, fail, isOpenFor };
  };

  test("stays closed for all others while one caller fails, however often", () => {
    const { fail, isOpenFor } = setup();
    fail("a", 5);
    expect(isOpenFor("a")).toBe(true);
    expect(isOpenFor("b")).toBe(false);
  });

  test("opens for everybody once several callers have failed five times in a row, none more than three", () => {
    const { fail, isOpenFor } = setup();
    fail("a", 4);
    fail("b");
    expect(isOpenFor("c")).toBe(false);
    fail("b");
    expect(isOpenFor("c")).toBe(true);
  });

  test("counts from the start again when any caller is answered", () => {
    const { breaker, fail, isOpenFor } = setup();
    fail("a", 4);
    breaker.admit("c").succeeded();
    fail("b", 4);
    expect(isOpenFor("c")).toBe(false);
  });

  test("opens for one caller alone after a challenge, which a text can provoke, and for all after two", () => {
    const { fail, isOpenFor } = setup();
    fail("a", 1, "upstream_challenge");
    expect([isOpenFor("a"), isOpenFor("b")]).toEqual([true, false]);
    fail("b", 1, "upstream_challenge");
    expect(isOpenFor("c")).toBe(true);
  });

  test("is not held open by one caller whose probes hang or fail", async () => {
    const { clock, breaker, fail, isOpenFor } = setup();
    fail("a", 3);
    fail("b", 2);
    await clock.advance(15_000);
    breaker.admit("a");
    fail("b");
    expect(isOpenFor("c")).toBe(false);
    breaker.admit("c").succeeded();
    expect(breaker.state).toBe("closed");
  });

  test("opens again, for longer, when the probes of two callers fail", async () => {
    const { clock, fail, isOpenFor, changes } = setup();
    fail("a", 3);
    fail("b", 2);
    await clock.advance(15_000);
    fail("a");
    fail("b");
    expect(isOpenFor("c")).toBe(true);
    expect(changes.at(-1)).toMatchObject({ state: "open", caller: undefined, ms: 30_000 });
  });

  test("shows nobody the upstream's words about another caller's request", () => {
    const { breaker, fail } = setup();
    fail("a", 3);
    fail("b", 2);
    expect(() => breaker.admit("c")).toThrow(/^(?!.*secret)/);
  });

  test("counts no failure of an API that is about one request", () => {
    const { breaker, isOpenFor } = setup();
    const error = new ApiError("upstream_unavailable", "Because.", { isAboutRequest: true });
    for (let time = 0; time < 20; time++) breaker.admit("a").failed(error);
    expect(isOpenFor("a")).toBe(false);
  });

  test("says when it opens, for whom and for how long, and when it closes", async () => {
    const { clock, breaker, fail, changes } = setup();
    fail("a", 5);
    await clock.advance(20_000);
    breaker.admit("a").succeeded();
    const code = "upstream_unavailable";
    expect(changes).toEqual([
      { state: "open", code, caller: "a", ms: 15_000 },
      { state: "closed", code, caller: "a", ms: 20_000 },
    ]);
  });
});
