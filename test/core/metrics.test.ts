import { describe, expect, test } from "bun:test";
import { ApiError } from "../../core/errors.ts";
import { failure, reply, scriptedProvider } from "../support/scripted-provider.ts";
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

  test("stays bounded, whatever names clients ask an upstream for", async () => {
    const provider = { ...scriptedProvider(), takesUnlistedModels: true };
    const { send, chat } = testHandler({}, { providers: [provider] });
    for (let index = 0; index < 1100; index++) await chat({ ...hello, model: `scripted/${index}` });
    const found = samples(await (await send("/metrics")).text());
    expect(found['kimi_first_part_seconds_count{provider="scripted",model="999"}']).toBe(1);
    expect(found['kimi_first_part_seconds_count{provider="scripted",model="1000"}']).toBeUndefined();
    expect(found['kimi_first_part_seconds_count{provider="scripted",model="others"}']).toBe(100);
    const circuits = Object.keys(found).filter((name) => name.startsWith("kimi_circuit_open"));
    expect(circuits).toHaveLength(1000);
  });

  test("is plain text that a Prometheus server can read", async () => {
    const { send, chat } = testHandler();
    await chat(hello);
    const page = await (await send("/metrics")).text();
    for (const line of page.trimEnd().split("\n")) {
      expect(line).toMatch(/^(# (HELP|TYPE) kimi_\w+ .+|kimi_\w+(\{(\w+="[^"]*",?)+\})? [\d.e+-]+)$/);
    }
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
    upstreams: [{ name: "scripted", circuits: { "test-model": "closed" }, running: 0, waiting: 0 }],
  });
  expect(Date.parse(health.upstreams[0].lastSuccess)).toBeGreaterThan(0);
});
