/** What a key of API_KEYS may not do, and what its holder is told, whatever the client speaks. */
import { describe, expect, test } from "bun:test";
import { parseConfig } from "../../core/config/config.ts";
import { ConfigError } from "../../handler.ts";
import { fakeClock } from "../fakes/fake-clock.ts";
import { reply, scriptedProvider } from "../fakes/scripted-provider.ts";
import { testHandler } from "../support/test-handler.ts";

const models = ["small", "large", "other"].map((id) => ({ id, createdAt: 1_700_000_000 }));

const setUp = (limits: object, more: Record<string, string> = {}, options: object = {}) => {
  const clock = fakeClock(Date.UTC(2026, 11, 31, 23));
  const provider = scriptedProvider({ models });
  const set = testHandler(
    { API_KEYS: JSON.stringify({ ann: { key: "sk-ann", ...limits }, bob: "sk-bob" }), ...more },
    { clock, providers: [provider], ...options },
  );
  const ask = (path: string, body?: object, key = "sk-ann") =>
    set.send(path, {
      method: body === undefined ? "GET" : "POST",
      headers: { authorization: `Bearer ${key}` },
      ...(body && { body: JSON.stringify(body) }),
    });
  const say = (model?: string, key?: string, more: object = {}) =>
    ask("/v1/chat/completions", { model, messages: [{ role: "user", content: "Hi" }], ...more }, key);
  return { ...set, clock, provider, ask, say };
};

const messages = [{ role: "user", content: "Hi" }];

/** A chat in each dialect, and where its failures have their code. */
const dialects = {
  "Chat Completions": ["/v1/chat/completions", { messages }],
  Completions: ["/v1/completions", { prompt: "Hi" }],
  Responses: ["/v1/responses", { input: "Hi" }],
  Messages: ["/v1/messages", { messages, max_tokens: 9 }],
  Ollama: ["/api/chat", { messages, stream: false }],
} as const;

describe.each(Object.entries(dialects))("in %s", (_, [path, body]) => {
  test("a key that has expired is told since when", async () => {
    const { ask, clock, provider } = setUp({ expiresAt: "2027-01-01T00:00:00Z" });
    expect((await ask(path, { ...body, model: "small" })).status).toBe(200);
    await clock.advance(3_600_000);
    const refused = await ask(path, { ...body, model: "small" });
    expect([refused.status, refused.headers.get("x-should-retry")]).toEqual([401, "false"]);
    expect(await refused.text()).toContain("2027-01-01T00:00:00.000Z");
    expect((await ask(path, { ...body, model: "small" }, "sk-bob")).status).toBe(200);
    expect(provider.requests).toHaveLength(2);
  });

  test("a model that the key may not use is refused, and those that it may are named", async () => {
    const { ask, provider } = setUp({ models: ["small", "other"] });
    const refused = await ask(path, { ...body, model: "large" });
    expect(refused.status).toBe(403);
    expect(await refused.text()).toContain("It may use: small, other.");
    expect((await ask(path, { ...body, model: "other" })).status).toBe(200);
    expect((await ask(path, { ...body, model: "large" }, "sk-bob")).status).toBe(200);
    expect(provider.requests.map(({ request }) => request.model)).toEqual(["other", "large"]);
  });

  test("a key that has used its tokens is told until when, and another key goes on", async () => {
    const { ask, clock } = setUp({ tokensPerDay: 5 });
    const first = await ask(path, { ...body, model: "small" });
    expect([first.status, first.headers.get("x-ratelimit-remaining-tokens")]).toEqual([200, "5"]);
    await first.text();
    for (let time = 0; time < 5; time++) await (await ask(path, { ...body, model: "small" })).text();
    const refused = await ask(path, { ...body, model: "small" });
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([429, "86400"]);
    expect(refused.headers.get("x-should-retry")).toBe("false");
    expect(await refused.text()).toContain("5 tokens in 24 hours, and has. Try again in 24h0m0s.");
    expect((await ask(path, { ...body, model: "small" }, "sk-bob")).status).toBe(200);
    await clock.advance(86_400_000);
    expect((await ask(path, { ...body, model: "small" })).status).toBe(200);
  });

  test("a key has its own requests a minute", async () => {
    const { ask } = setUp({ rpm: 1 }, { RATE_LIMIT_RPM: "3" });
    expect((await ask(path, { ...body, model: "small" })).status).toBe(200);
    const refused = await ask(path, { ...body, model: "small" });
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([429, "60"]);
    for (let time = 0; time < 3; time++)
      expect((await ask(path, { ...body, model: "small" }, "sk-bob")).status).toBe(200);
    expect((await ask(path, { ...body, model: "small" }, "sk-bob")).status).toBe(429);
  });
});

test("errors have their own codes", async () => {
  const codeOf = async (response: Response) => [response.status, (await response.json()).error.code];
  const expired = setUp({ expiresAt: "2026-12-31" });
  expect(await codeOf(await expired.say("small"))).toEqual([401, "api_key_expired"]);
  const limited = setUp({ models: ["small"], tokensPerDay: 1 });
  expect(await codeOf(await limited.say("large"))).toEqual([403, "model_not_allowed"]);
  expect(await codeOf(await limited.say("unknown"))).toEqual([404, "model_not_found"]);
  await limited.say("small");
  expect(await codeOf(await limited.say("small"))).toEqual([429, "token_limit_exceeded"]);
});

test("a client that sends two keys gets in by the one that has not expired", async () => {
  const { send } = setUp({ expiresAt: "2026-12-31" });
  const headers = { authorization: "Bearer sk-ann", "x-api-key": "sk-bob" };
  const body = JSON.stringify({ messages });
  expect((await send("/v1/chat/completions", { method: "POST", headers, body })).status).toBe(200);
});

describe("the models of a key", () => {
  test("are all that the lists show, by the names that it has them by", async () => {
    const more = { MODEL_ALIASES: "gpt-4o=large" };
    const { ask } = setUp({ models: ["small", "gpt-4o", "scripted/other", "gone"] }, more);
    const { data } = await (await ask("/v1/models")).json();
    expect(data.map(({ id }: { id: string }) => id)).toEqual(["small", "gpt-4o", "scripted/other"]);
    const tags = await (await ask("/api/tags")).json();
    expect(tags.models.map(({ name }: { name: string }) => name)).toEqual([
      "small",
      "gpt-4o",
      "scripted/other",
    ]);
    expect((await ask("/v1/models/other")).status).toBe(200);
    const all = await (await ask("/v1/models", undefined, "sk-bob")).json();
    expect(all.data).toHaveLength(3);
  });

  test("can't be got round by another name, an alias or a fallback", async () => {
    const more = {
      MODEL_ALIASES: "cheap=small,dear=large,*=large",
      MODEL_FALLBACKS: '{"small":["large","other"]}',
    };
    const provider = scriptedProvider({
      models,
      answer: ({ model }) => {
        if (model === "other") return reply("Fine");
        throw new Error("not reached");
      },
    });
    const failing = {
      ...provider,
      async answer(...asked: Parameters<typeof provider.answer>) {
        if (asked[0].model !== "small") return provider.answer(...asked);
        const { ApiError } = await import("../../handler.ts");
        throw new ApiError("upstream_unavailable", "Closed.");
      },
    };
    const { say } = setUp({ models: ["small", "other"] }, more, { providers: [failing] });
    for (const name of ["large", "scripted/large", "dear", "anything"])
      expect((await say(name)).status).toBe(403);
    // Another name of an allowed one is fine; its first fallback is none for this key, its second is.
    const answered = await say("cheap");
    expect(["x-served-by", "x-fallback-from"].map((name) => answered.headers.get(name))).toEqual([
      "scripted/other",
      "scripted/small",
    ]);
  });

  test("have a first one, which answers requests that name none", async () => {
    const { say, provider } = setUp({ models: ["other", "small"] }, { DEFAULT_MODEL: "kimi-k2-instruct" });
    await say();
    expect(provider.requests.at(-1)?.request.model).toBe("other");
  });
});

describe("tokens", () => {
  test("are the upstream's own count, else an estimate; a client that leaves pays for what came", async () => {
    const provider = scriptedProvider({
      models,
      answer: async function* () {
        yield { type: "text-delta", delta: "word ".repeat(400) };
        yield { type: "finish", reason: "stop" };
        yield { type: "usage", usage: { promptTokens: 7, completionTokens: 3, totalTokens: 10 } };
      },
    });
    const { say } = setUp({ tokensPerDay: 1000 }, {}, { providers: [provider] });
    const left = async (response: Response) => response.headers.get("x-ratelimit-remaining-tokens");
    await (await say("small")).text();
    expect(await left(await say("small"))).toBe("990");
    const stream = await say("small", "sk-ann", { stream: true });
    const reader = stream.body?.getReader();
    await reader?.read();
    await reader?.cancel();
    const after = Number(await left(await say("small")));
    expect(after).toBeLessThan(900);
  });

  test("of an answer given before are not counted again", async () => {
    const { send, provider } = setUp({ tokensPerDay: 1000 });
    const left = async (retryOf: string) => {
      const response = await send("/v1/chat/completions", {
        method: "POST",
        headers: { authorization: "Bearer sk-ann", "x-session-id": "one", "idempotency-key": retryOf },
        body: JSON.stringify({ model: "small", messages }),
      });
      await response.text();
      return Number(response.headers.get("x-ratelimit-remaining-tokens"));
    };
    const before = [await left("a"), await left("a"), await left("a"), await left("b")];
    expect(provider.requests).toHaveLength(2);
    expect(before[0]).toBe(1000);
    expect(before[1]).toBeLessThan(1000);
    expect(before.slice(2)).toEqual([before[1] as number, before[1] as number]);
  });
});

describe("API_KEYS", () => {
  const problemOf = (keys: object): string => {
    try {
      parseConfig({ API_KEYS: JSON.stringify(keys) });
      return "none";
    } catch (error) {
      return (error as ConfigError).problems.join("; ");
    }
  };

  test("may be texts and objects side by side", () => {
    const ann = { key: "sk-a", rpm: 60, tokensPerDay: 100000, models: [" a "], expiresAt: "2027-01-01" };
    const { apiKeys } = parseConfig({ API_KEYS: JSON.stringify({ ann, bob: "sk-b", cy: { key: "sk-c" } }) });
    expect(apiKeys).toEqual([
      {
        name: "ann",
        key: "sk-a",
        limits: { rpm: 60, tokensPerDay: 100000, models: ["a"], expiresAtMs: Date.UTC(2027, 0, 1) },
      },
      { name: "bob", key: "sk-b" },
      { name: "cy", key: "sk-c" },
    ]);
  });

  test.each([
    [{ rpm: 60 }, "ann.key is missing"],
    [{ key: 1 }, "ann.key must be the key, a text"],
    [
      { key: "k", rpm: "60" },
      "ann.rpm must be a whole number from 0 to 1000000 (requests a minute; 0 for no limit)",
    ],
    [{ key: "k", rpm: 1.5 }, "ann.rpm must be a whole number from 0 to 1000000"],
    [{ key: "k", tokensPerDay: 0 }, "ann.tokensPerDay must be a whole number from 1 to "],
    [{ key: "k", models: "a" }, "ann.models must be a list of models' names, at least one"],
    [{ key: "k", models: [] }, "ann.models must be a list of models' names, at least one"],
    [{ key: "k", models: ["a", 1] }, "ann.models.1 must be a list of models' names, at least one"],
    [{ key: "k", expiresAt: "tomorrow" }, "ann.expiresAt must be a date, or a time with its zone"],
    [{ key: "k", expiresAt: "2027-01-01T00:00:00" }, "ann.expiresAt must be a date, or a time with its zone"],
    [{ key: "k", expiresAt: "2027-13-01" }, "ann.expiresAt must be a date, or a time with its zone"],
    [{ key: "k", tokenPerDay: 5 }, "ann.tokenPerDay is no field of a key. Did you mean tokensPerDay?"],
    [{ key: "k", budget: 5 }, "ann.budget is no field of a key."],
    [{ key: '"k"' }, "has quotes around a key"],
    [{ key: "" }, "has an empty name, or an empty key"],
    [["k"], "must be a JSON object of named keys"],
  ])("that has %j stops the start and says why", (ann, problem) => {
    expect(problemOf({ ann })).toStartWith(`API_KEYS ${problem}`);
  });

  test("that names a model which there is not is questioned", () => {
    const { warnings } = parseConfig({ API_KEYS: '{"ann":{"key":"sk-a","models":["kimi-k3"]}}' });
    expect(warnings).toEqual([
      "API_KEYS lets ann use a model that is not among kimi-k2-instruct-0905, kimi-k2-instruct.",
    ]);
  });
});

test("RATE_LIMIT_SHARED stops the start where the store does not count, and names both settings", () => {
  const start = () => testHandler({ RATE_LIMIT_SHARED: "on" });
  expect(start).toThrow(ConfigError);
  expect(start).toThrow(/RATE_LIMIT_SHARED .* store is memory.* SESSION_STORE/);
});
