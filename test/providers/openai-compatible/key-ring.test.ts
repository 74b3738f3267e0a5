/** Several keys for one upstream: which one is sent, and which one rests. */
import { describe, expect, test } from "bun:test";
import { openAiCompatible } from "../../../core/providers/openai-compatible/provider.ts";
import { fakeClock } from "../../fakes/fake-clock.ts";
import { hello, testHandler } from "../../support/test-handler.ts";

const keys = ["sk-first-0123456789", "sk-second-0123456789", "sk-third-0123456789"];

const refusal = (status: number, message: string, headers: Record<string, string> = {}) =>
  Response.json({ error: { message, code: null } }, { status, headers });

/** An upstream that answers a key as `answers` says, and else well. */
function gateway(answers: Record<string, () => Response>) {
  const clock = fakeClock();
  const sent: number[] = [];
  const fetch = async (url: string, init: RequestInit) => {
    const key = new Headers(init.headers).get("authorization")?.slice("Bearer ".length) ?? "";
    sent.push(keys.indexOf(key) + 1);
    const refused = answers[key]?.();
    if (refused !== undefined) return refused;
    if (url.endsWith("/models")) return Response.json({ data: [{ id: "echo" }] });
    return Response.json({
      choices: [{ index: 0, message: { role: "assistant", content: "Hi" }, finish_reason: "stop" }],
    });
  };
  const provider = openAiCompatible({ name: "v", baseUrl: "http://v.test/v1", apiKey: keys, fetch, clock });
  const { chat, log, records, send } = testHandler(
    { CIRCUIT_BREAKER: "off" },
    { providers: [provider], clock },
  );
  const ask = async () => {
    sent.length = 0;
    const response = await chat({ ...hello, model: "v/echo" });
    return { status: response.status, text: await response.text(), sent: [...sent] };
  };
  return { ask, clock, log, records, send, sent };
}

const [first = "", second = "", third = ""] = keys;

describe("the next key is taken", () => {
  test.each<[string, () => Response]>([
    ["401", () => refusal(401, "Invalid API key")],
    ["403", () => refusal(403, "Forbidden")],
    ["402", () => refusal(402, "Insufficient Balance")],
    ["403 for want of credit", () => refusal(403, "insufficient quota")],
    ["429", () => refusal(429, "Slow down")],
  ])("after %s, by the same request", async (_, refuse) => {
    const { ask, log, send, records } = gateway({ [first]: refuse });
    await send("/v1/models");
    // The list was asked for with the first key too, and that has told.
    expect(await ask()).toMatchObject({ status: 200, sent: [2] });
    expect(records.at(-1)).toMatchObject({ status: 200, attempts: 1 });
    expect(JSON.stringify(log.lines)).not.toContain("0123456789");
  });

  test("and the refused one is logged by its place alone", async () => {
    const { ask, log, clock, send } = gateway({ [first]: () => refusal(401, `Invalid key ${first}`) });
    await send("/v1/models");
    await clock.advance(10 * 60_000);
    const { status, sent, text } = await ask();
    // First for the list, which is old by then.
    expect({ status, sent }).toEqual({ status: 200, sent: [1, 2, 2] });
    expect(log.lines.findLast(({ event }) => event === "key.rested")).toMatchObject({
      event: "key.rested",
      fields: { provider: "v", key: 1, keys: 3, code: "upstream_auth_failed" },
    });
    expect(text).not.toContain("0123456789");
    expect(JSON.stringify(log.lines)).not.toContain("0123456789");
  });
});

describe("a request", () => {
  test("with a good first key sends that one alone", async () => {
    const { ask } = gateway({});
    await ask();
    expect(await ask()).toMatchObject({ status: 200, sent: [1] });
  });

  test("that every key is refused for has the last one's refusal, and shows no key", async () => {
    const { ask, log } = gateway({
      [first]: () => refusal(401, "Invalid"),
      [second]: () => refusal(402, "Insufficient Balance"),
      [third]: () => refusal(429, "Slow down", { "retry-after": "7" }),
    });
    await ask();
    const again = await ask();
    // The third is due first.
    expect(again.sent.at(-1)).toBe(3);
    expect(again.status).toBe(429);
    expect(again.text + JSON.stringify(log.lines)).not.toContain("0123456789");
  });

  test("that is at fault itself, or meets an outage, is sent with one key", async () => {
    for (const [status, message] of [
      [400, "temperature is too high"],
      [403, "Your input was flagged"],
      [500, "Oops"],
    ] as const) {
      const error = { message, code: status === 403 ? "content_policy_violation" : null };
      const { ask } = gateway({ [first]: () => Response.json({ error }, { status }) });
      const { sent } = await ask();
      expect(new Set(sent)).toEqual(new Set([1]));
    }
  });
});

test("a refused key is tried again once it has rested: after Retry-After, else by the kind of its refusal", async () => {
  for (const [refuse, restMs] of [
    [() => refusal(429, "Slow down", { "retry-after": "90" }), 90_000],
    [() => refusal(429, "Slow down"), 30_000],
    [() => refusal(401, "Invalid"), 10 * 60_000],
  ] as const) {
    const { ask, clock } = gateway({ [first]: refuse });
    await ask();
    await clock.advance(restMs - 1);
    expect((await ask()).sent).not.toContain(1);
    await clock.advance(1);
    expect((await ask()).sent).toContain(1);
  }
});
