import { describe, expect, test } from "bun:test";
import parsePrometheusTextFormat from "parse-prometheus-text-format";
import { ApiError } from "../../core/errors.ts";
import type { StreamPart } from "../../core/types.ts";
import { countingStore } from "../fakes/counting-store.ts";
import { fakeClock } from "../fakes/fake-clock.ts";
import { failure, reply, scriptedProvider } from "../fakes/scripted-provider.ts";
import { hello, testHandler } from "../support/test-handler.ts";

/** The page's samples by name and labels. */
const samples = (page: string): Record<string, number> =>
  Object.fromEntries(
    page
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("#"))
      .map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ") + 1))]),
  );

describe("the metrics page", () => {
  test("needs a key", async () => {
    const { send } = testHandler({ API_MASTER_KEY: "sk-a" });
    expect((await send("/metrics")).status).toBe(401);
  });

  test("counts requests, times, characters and failures", async () => {
    let calls = 0;
    const provider = scriptedProvider({
      answer: () => (++calls > 1 ? failure(new ApiError("upstream_unavailable", "Down.")) : reply("12345")),
    });
    const { send, chat } = testHandler({}, { providers: [{ ...provider, maxConcurrency: 4 }] });
    await chat(hello);
    await chat(hello);
    const response = await send("/metrics");
    expect(response.headers.get("content-type")).toStartWith("text/plain; version=0.0.4");
    const found = samples(await response.text());
    const route = 'route="/chat/completions",method="POST"';
    expect(found[`kimi_requests_total{${route},status="200",code="",key="anyone"}`]).toBe(1);
    expect(found[`kimi_requests_total{${route},status="503",code="upstream_unavailable",key="anyone"}`]).toBe(
      1,
    );
    const upstream = 'provider="scripted",model="test-model"';
    expect(found[`kimi_characters_total{${upstream},direction="out"}`]).toBe(5);
    expect(found[`kimi_characters_total{${upstream},direction="in"}`]).toBe(4);
    expect(found[`kimi_first_part_seconds_count{${upstream}}`]).toBe(1);
    expect(found['kimi_request_duration_seconds_bucket{route="/chat/completions",le="+Inf"}']).toBe(2);
    expect(found[`kimi_circuit_open{${upstream}}`]).toBe(0);
    expect(found['kimi_upstream_running{provider="scripted"}']).toBe(0);
  });

  test("counts tokens as the upstream did, else by an estimate, streamed or not", async () => {
    const usage = { promptTokens: 70, completionTokens: 30, totalTokens: 100 };
    const withCounts = async function* (): AsyncGenerator<StreamPart> {
      yield* reply("Hello there.");
      yield { type: "usage", usage };
    };
    const counted = scriptedProvider({ name: "counted", answer: withCounts });
    const uncounted = scriptedProvider({ name: "uncounted", answer: () => reply("Hello there.") });
    const { send, chat, records } = testHandler({}, { providers: [counted, uncounted] });
    for (const stream of [false, true]) {
      await (await chat({ ...hello, model: "counted/test-model", stream })).text();
      await (await chat({ ...hello, model: "uncounted/test-model", stream })).text();
    }
    const found = samples(await (await send("/metrics")).text());
    const tokens = (provider: string, direction: string) =>
      found[`kimi_tokens_total{provider="${provider}",model="test-model",direction="${direction}"}`];
    expect([tokens("counted", "in"), tokens("counted", "out")]).toEqual([140, 60]);
    expect([tokens("uncounted", "in"), tokens("uncounted", "out")]).toEqual([2, 6]);
    expect(records[0]).toMatchObject({ tokensIn: 70, tokensOut: 30 });
  });

  test("stays bounded, whatever names clients ask an upstream for", async () => {
    const provider = { ...scriptedProvider(), takesUnlistedModels: true };
    const { send, chat } = testHandler({}, { providers: [provider] });
    for (let index = 0; index < 1100; index++) await chat({ ...hello, model: `scripted/${index}` });
    const found = samples(await (await send("/metrics")).text());
    expect(found['kimi_first_part_seconds_count{provider="scripted",model="99"}']).toBe(1);
    expect(found['kimi_first_part_seconds_count{provider="scripted",model="100"}']).toBeUndefined();
    expect(found['kimi_first_part_seconds_count{provider="scripted",model="other"}']).toBe(1000);
    const circuits = Object.keys(found).filter((name) => name.startsWith("kimi_circuit_open"));
    expect(circuits).toEqual(['kimi_circuit_open{provider="scripted",model="other"}']);
  });

  test("has one series for all names that no provider has confirmed", async () => {
    const provider = {
      ...scriptedProvider({ answer: () => failure(new ApiError("model_not_found", "No such model.")) }),
      takesUnlistedModels: true,
    };
    const { send, chat } = testHandler({}, { providers: [provider] });
    for (let index = 0; index < 5; index++) await chat({ ...hello, model: `scripted/${index}` });
    const found = samples(await (await send("/metrics")).text());
    expect(found['kimi_upstream_attempts_total{provider="scripted",model="other"}']).toBe(5);
    expect(Object.keys(found).filter((name) => name.includes('model="0"'))).toEqual([]);
  });

  test("tells known methods apart and no others", async () => {
    const { send } = testHandler();
    for (const method of ["PUT", "PATCH", "PUT"]) await send("/health", { method });
    const found = samples(await (await send("/metrics")).text());
    const others = Object.entries(found).filter(([name]) => name.includes('method="other"'));
    expect(others.map(([, count]) => count)).toEqual([3]);
  });

  test("counts what the store takes and what was not asked again", async () => {
    const { send, chat } = testHandler();
    const headers = { "x-session-id": "s", "idempotency-key": "k" };
    await chat(hello, { headers });
    await chat(hello, { headers });
    const found = samples(await (await send("/metrics")).text());
    expect(found.kimi_session_store_seconds_count).toBe(2);
    expect(found['kimi_replayed_answers_total{provider="scripted",model="test-model"}']).toBe(1);
    expect(found['kimi_upstream_attempts_total{provider="scripted",model="test-model"}']).toBe(1);
  });

  test("is what a parser of Prometheus' text format reads, whatever models are called", async () => {
    const strange = { id: 'a "quoted"\\\nname', createdAt: 0 };
    const provider = { ...scriptedProvider({ models: [strange] }), maxConcurrency: 4 };
    const second = { ...scriptedProvider({ name: "second" }), maxConcurrency: 4 };
    const { send, chat } = testHandler({}, { providers: [provider, second] });
    await chat({ ...hello, model: strange.id });
    await chat(hello);
    await chat({});
    const page = await (await send("/metrics")).text();
    const families = parsePrometheusTextFormat(page);

    const names = families.map(({ name }) => name);
    expect(names).toEqual([...new Set([...page.matchAll(/^# TYPE (\S+)/gm)].map(([, name = ""]) => name))]);
    expect(families.every(({ help }) => help !== "")).toBe(true);
    const family = (name: string) => families.find((each) => each.name === name);
    expect(family("kimi_circuit_open")).toMatchObject({
      type: "GAUGE",
      metrics: [
        { labels: { provider: "scripted", model: strange.id }, value: "0" },
        { labels: { provider: "second", model: "test-model" }, value: "0" },
      ],
    });
    const durations = family("kimi_request_duration_seconds");
    expect(durations?.type).toBe("HISTOGRAM");
    expect(durations?.metrics[0]?.buckets?.["+Inf"]).toBe("3");
    expect(family("kimi_requests_total")?.metrics.map(({ value }) => value)).toEqual(["2", "1"]);
  });
});

test("health tells of the store, the upstreams and their circuits", async () => {
  const provider = scriptedProvider({ answer: () => reply("x") });
  const { send, chat } = testHandler({}, { providers: [{ ...provider, maxConcurrency: 4 }] });
  await chat(hello);
  const health = await (await send("/health")).json();
  expect(health).toMatchObject({
    status: "ok",
    sessions: { store: "memory", shared: false },
    upstreams: [
      { name: "scripted", circuits: { closed: 1, open: 0, "half-open": 0 }, running: 0, waiting: 0 },
    ],
  });
  expect(Date.parse(health.upstreams[0].lastSuccess)).toBeGreaterThan(0);
});

test("health names no model, says what failed last, and is degraded while a circuit is open", async () => {
  const provider = scriptedProvider({
    answer: () => failure(new ApiError("upstream_challenge", "Prove it.")),
  });
  const { send, chat } = testHandler({}, { providers: [provider] });
  await chat(hello);
  const response = await send("/health");
  expect(response.status).toBe(200);
  const text = await response.text();
  expect(text).not.toContain("test-model");
  expect(JSON.parse(text)).toMatchObject({
    status: "degraded",
    upstreams: [
      {
        circuits: { closed: 0, open: 1, "half-open": 0 },
        lastSuccess: null,
        lastFailure: { code: "upstream_challenge", at: expect.stringMatching(/^20/) },
      },
    ],
  });
});

test("readiness is lost while nothing could answer, and only then", async () => {
  const failing = scriptedProvider({
    answer: () => failure(new ApiError("upstream_challenge", "Prove it.")),
  });
  const { send, chat } = testHandler({}, { providers: [failing] });
  expect((await send("/ready")).status).toBe(200);
  await chat(hello);
  expect((await send("/ready")).status).toBe(503);
  const second = scriptedProvider({ name: "second" });
  const both = testHandler({}, { providers: [failing, second] });
  await both.chat(hello);
  expect((await both.send("/ready")).status).toBe(200);
  const unconfigured = testHandler({}, { exposed: true });
  expect((await unconfigured.send("/ready")).status).toBe(503);
});

test("health tells of a store that fails, and the log when it is back", async () => {
  const clock = fakeClock();
  const store = countingStore(clock);
  const { send, chat, log } = testHandler({}, { store, clock });
  const headers = { "x-session-id": "s" };
  store.failing = "all";
  expect((await chat(hello, { headers })).status).toBe(503);
  expect(await (await send("/health")).json()).toMatchObject({
    status: "degraded",
    sessions: { lastFailure: { code: "session_store_unavailable" } },
  });
  await clock.advance(3000);
  store.failing = "none";
  await chat(hello, { headers });
  expect(await (await send("/health")).json()).toMatchObject({ status: "ok" });
  expect(log.lines.find(({ event }) => event === "store.recovered")?.fields).toMatchObject({
    failedMs: 3000,
  });
});
