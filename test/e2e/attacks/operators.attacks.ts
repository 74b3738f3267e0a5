/** What an operator sees at night, and what a newcomer is told. */
import { expect, test } from "bun:test";
import { startServer } from "../../support/start-server.ts";
import { until } from "../../support/until.ts";
import { attackOnEveryRuntime, commandOf, onEveryRuntime } from "./attacked-server.ts";

onEveryRuntime("a site that can't be reached", (runtime) => {
  test("is named when the server starts, in one line with the reason and what to do", async () => {
    const server = await startServer({
      command: await commandOf(runtime),
      env: {
        CHAT_PAGE_URL: "http://127.0.0.1:9/chat/",
        UPSTREAM_URL: "http://127.0.0.1:9/ajax",
        SESSION_STORE: "memory",
        LOG_LEVEL: "warn",
        DENO_NO_UPDATE_CHECK: "1",
      },
    });
    await until(async () => server.output().includes("page.failed"));
    const line =
      server
        .output()
        .split("\n")
        .find((text) => text.includes("page.failed")) ?? "";
    expect(JSON.parse(line)).toMatchObject({
      level: "warn",
      reason: expect.stringContaining("can't be reached"),
      next: "npm run doctor",
      since: expect.stringMatching(/^20/),
    });
    await server.stop();
  });
});

attackOnEveryRuntime(
  "an outage at night",
  {
    LOG_LEVEL: "warn",
    MODEL_ALIASES: "gone=dead/model",
    PROVIDERS: '[{"name":"dead","baseUrl":"http://127.0.0.1:9/v1","models":["model"]}]',
  },
  (attacked) => {
    test("has a line with a reason for each failed request, and one for the circuit", async () => {
      for (let round = 0; round < 7; round++) await (await attacked.chat({ model: "gone" })).text();
      await until(async () => attacked.log().filter(({ event }) => event === "request.finished").length >= 7);
      for (const line of attacked.log().filter(({ event }) => event === "request.finished")) {
        expect(line).toMatchObject({
          level: "error",
          status: 502,
          reason: expect.stringContaining("no connection"),
        });
      }
      expect(attacked.log().find(({ event }) => event === "circuit.opened")).toMatchObject({
        provider: "dead",
        code: "upstream_unreachable",
        until: expect.any(String),
        next: expect.any(String),
      });
    });

    test("shows in /health, and in /ready only once nothing is left that could answer", async () => {
      const health = await attacked.get("/health");
      expect(health.status).toBe(200);
      expect(await health.json()).toMatchObject({
        status: "degraded",
        upstreams: [{ name: "dead", lastFailure: { code: "upstream_unreachable" } }],
      });
      expect((await attacked.get("/ready")).status).toBe(200);
    });

    test("a refused origin has one line, with the setting that lets it in", async () => {
      for (let round = 0; round < 3; round++) {
        await attacked.get("/v1/models", { origin: "https://page.example.com" });
        const url = `${attacked.url}/v1/models`;
        await fetch(url, { method: "OPTIONS", headers: { origin: "https://page.example.com" } });
      }
      const lines = () => attacked.log().filter(({ event }) => event === "origin.refused");
      await until(async () => lines().length > 0);
      expect(lines()).toMatchObject([{ level: "warn", next: "CORS_ORIGIN=https://page.example.com" }]);
    });

    test.each([
      "/v1/chat/completions/chat/completions",
      "/openai/chat/completions",
      "/v1/chat/chat/completions",
    ])("a base URL that makes %s is set right", async (path) => {
      const response = await fetch(attacked.url + path, { method: "POST", body: "{}" });
      expect(response.status).toBe(404);
      expect((await response.json()).error.message).toContain("base URL end in /v1");
    });

    test("a doubled /v1 is served", async () => {
      expect((await attacked.get("/v1/v1/models")).status).toBe(200);
    });

    test("a model that no list has: the error names those that there are, and MODEL_ALIASES", async () => {
      const { error } = await (await attacked.chat({ model: "gpt-99" })).json();
      expect(error.message).toContain("echo, reasoner, model");
      expect(error.message).toContain("MODEL_ALIASES");
    });
  },
);

attackOnEveryRuntime(
  "an outage of everything",
  { OPENAI_BASE_URL: "http://127.0.0.1:9/v1", OPENAI_MODELS: "echo" },
  (attacked) => {
    test("is no longer ready", async () => {
      expect((await attacked.get("/ready")).status).toBe(200);
      for (let round = 0; round < 5; round++) await (await attacked.chat()).text();
      expect((await attacked.get("/ready")).status).toBe(503);
      expect((await attacked.get("/health")).status).toBe(200);
    });
  },
);
