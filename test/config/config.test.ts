import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { ConfigError, type Environment, firstModel, parseConfig } from "../../core/config/config.ts";
import { version } from "../../core/config/version.ts";
import type { SiteSettings } from "../../core/providers/wordpress-chat/settings.ts";

const problemsOf = (environment: Environment, exposed?: boolean): readonly string[] => {
  try {
    parseConfig(environment, exposed === undefined ? {} : { exposed });
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
};

const siteOf = (environment: Environment): SiteSettings => {
  const { site } = parseConfig(environment);
  if (site === undefined) throw new Error("the site is off");
  return site;
};

describe("settings", () => {
  test("have the documented defaults", () => {
    const config = parseConfig({});
    expect(config.hostname).toBe("127.0.0.1");
    expect(config.port).toBe(8088);
    expect(config.maxBodyBytes).toBeUndefined();
    expect(config.requestTimeoutMs).toBe(180_000);
    expect(config.defaultModel).toBeUndefined();
    expect(firstModel(config)).toBe("kimi-k2-instruct-0905");
    expect(siteOf({}).pageUrl).toBe("https://kimi-ai.chat/chat/");
    expect(siteOf({}).ajaxUrl).toBe("https://kimi-ai.chat/wp-admin/admin-ajax.php");
    expect(siteOf({}).maxChars).toBe(1000);
    expect(siteOf({}).safeText).toBe(true);
    expect(siteOf({}).chunkChars).toBe(20);
    expect(siteOf({}).models).toEqual([
      { id: "kimi-k2-instruct-0905", siteName: "moonshotai/Kimi-K2-Instruct-0905", aliases: ["kimi"] },
      { id: "kimi-k2-instruct", siteName: "moonshotai/Kimi-K2-Instruct" },
    ]);
    expect(config.sessions).toMatchObject({ ttlMs: 3_600_000, maxEntries: 1024 });
    expect(config.logLevel).toBe("info");
  });

  test.each([
    ["", ["X-Session-Id"]],
    ["x-openwebui-chat-id", ["x-openwebui-chat-id"]],
    ["X-Session-Id, session_id", ["X-Session-Id", "session_id"]],
  ])("of SESSION_HEADERS=%p are a list", (value, headers) => {
    expect(parseConfig({ SESSION_HEADERS: value }).sessions.headers).toEqual(headers);
  });

  test.each(["a b", "X-Session-Id,", "chat:id", "Authorization", "X-Session-Id,cookie", "X-Api-Key"])(
    "refuse SESSION_HEADERS=%p",
    (value) => {
      expect(() => parseConfig({ SESSION_HEADERS: value })).toThrow(/SESSION_HEADERS must be a comma list/);
    },
  );

  test.each([
    ["sk-of-one", "sk-of-one"],
    ["sk-of-one, sk-of-two", ["sk-of-one", "sk-of-two"]],
  ])("of OPENAI_API_KEY=%p are one key or several", (value, apiKey) => {
    const given = { OPENAI_BASE_URL: "http://127.0.0.1:1/v1", OPENAI_API_KEY: value };
    expect(parseConfig(given).upstreams[0]).toHaveProperty("apiKey", apiKey);
    const upstream = { name: "a", baseUrl: "http://127.0.0.1:1/v1", apiKey };
    expect(parseConfig({ PROVIDERS: JSON.stringify([upstream]) }).upstreams[0]).toHaveProperty(
      "apiKey",
      apiKey,
    );
  });

  test.each([[[]], [[""]], [[5]], [["sk-\0a"]]])("refuse %p as the keys of an upstream", (apiKey) => {
    const upstream = { name: "a", baseUrl: "http://127.0.0.1:1/v1", apiKey };
    expect(problemsOf({ PROVIDERS: JSON.stringify([upstream]) })[0]).toStartWith("PROVIDERS [0].apiKey");
    const own = { OPENAI_BASE_URL: "http://127.0.0.1:1/v1", OPENAI_API_KEY: "sk-a,,sk-b" };
    expect(problemsOf(own)[0]).toStartWith("OPENAI_API_KEY has an empty entry");
  });

  test("that are empty count as not set", () => {
    expect(parseConfig({ PORT: "", API_MASTER_KEY: " ", KNOWN_MODELS: "" })).toEqual(parseConfig({}));
  });

  test("that are bad are all named in one message, without their values", () => {
    const environment = {
      PORT: "99999secret",
      API_MASTER_KEY: "sk-secret,,b",
      API_KEYS: '{"alice":"sk-secret"',
      UPSTREAM_HEADERS: '{"cookie": 7, "x": "secret"}',
      KNOWN_MODELS: "secret,secret",
      STREAM_DELAY_MS: "secret",
      LOG_LEVEL: "secret",
      CORS_ORIGIN: "secret",
      UPSTREAM_URL: "ftp://secret",
      PROMPT_LABELS: "secret=x",
      UPSTREAM_SAFE_TEXT: "secret",
    };
    const problems = problemsOf(environment);
    for (const name of Object.keys(environment)) {
      expect(problems.filter((problem) => problem.startsWith(`${name} `))).toHaveLength(1);
    }
    expect(problems.join("\n")).not.toContain("secret");
    expect(problems.join("\n")).toContain("must be a number from 0 to 65535");
  });

  test("that are bad are named together with those that only others make bad", () => {
    expect(problemsOf({ PORT: "x", LOG_LEVEL: "loud", DEFAULT_MODEL: "nope" })).toEqual([
      expect.stringMatching(/^LOG_LEVEL must/),
      expect.stringMatching(/^PORT must/),
      expect.stringMatching(/^DEFAULT_MODEL must/),
    ]);
    expect(problemsOf({ KNOWN_MODELS: ",", DEFAULT_MODEL: "a" })).toHaveLength(1);
    expect(problemsOf({ OPENAI_BASE_URL: "x", OPENAI_API_KEY: "sk", KIMI_WEB: "off" })).toHaveLength(1);
  });

  test("take NGINX_PORT when PORT is not set", () => {
    expect(parseConfig({ NGINX_PORT: "9000" }).port).toBe(9000);
    expect(parseConfig({ NGINX_PORT: "9000", PORT: "9001" }).port).toBe(9001);
    expect(problemsOf({ NGINX_PORT: "x" })[0]).toStartWith("NGINX_PORT ");
  });

  test.each([
    [{}, "loopback"],
    [{ API_MASTER_KEY: "1" }, "loopback"],
    [{ API_MASTER_KEY: "sk-a" }, "keys"],
    [{ API_KEYS: '{"alice":"sk-a"}' }, "keys"],
    [{ HOST: "0.0.0.0" }, "unconfigured"],
    [{ HOST: "0.0.0.0", API_MASTER_KEY: "1" }, "open"],
    [{ HOST: "::1" }, "loopback"],
    [{ HOST: "[::1]" }, "loopback"],
    [{ HOST: "localhost" }, "loopback"],
    [{ HOST: " LocalHost " }, "loopback"],
    [{ HOST: "192.168.1.4" }, "unconfigured"],
  ] as const)("%j give access %s", (environment, access) => {
    expect(parseConfig(environment).access).toBe(access);
  });

  test("of a server that is reachable for another reason than HOST never leave it open by accident", () => {
    expect(parseConfig({}, { exposed: true }).access).toBe("unconfigured");
    expect(parseConfig({ API_MASTER_KEY: "1" }, { exposed: true }).access).toBe("open");
  });

  test.each([
    [{ API_MASTER_KEY: "sk-a,,sk-b" }],
    [{ API_MASTER_KEY: "sk-a,1" }],
    [{ API_MASTER_KEY: "," }],
    [{ API_KEYS: '{"alice":""}' }],
    [{ API_KEYS: '{"alice":"1"}' }],
    [{ API_KEYS: '["sk-a"]' }],
    [{ API_KEYS: '{"alice":"sk-a"}', API_MASTER_KEY: "1" }],
    [{ API_MASTER_KEY: "sk-ä" }],
  ])("%j stop the start", (environment) => {
    expect(problemsOf(environment)).not.toEqual([]);
  });

  test("name the keys of all lists for the log", () => {
    const { apiKeys } = parseConfig({ API_MASTER_KEY: "sk-a, sk-b", API_KEYS: '{"alice":"sk-c"}' });
    expect(apiKeys).toEqual([
      { name: "master-1", key: "sk-a" },
      { name: "master-2", key: "sk-b" },
      { name: "alice", key: "sk-c" },
    ]);
  });

  test("take models as a comma list or a JSON list, with names at the site", () => {
    const models = [
      { id: "kimi-k2-instruct", siteName: "moonshotai/Kimi-K2-Instruct", aliases: ["kimi"] },
      { id: "next", siteName: "moonshotai/Next=1" },
      { id: "bare", siteName: "bare" },
    ];
    expect(siteOf({ KNOWN_MODELS: "kimi-k2-instruct, next=moonshotai/Next=1, bare" }).models).toEqual(models);
    expect(siteOf({ KNOWN_MODELS: '["kimi-k2-instruct","next=moonshotai/Next=1","bare"]' }).models).toEqual(
      models,
    );
    expect(firstModel(parseConfig({ KNOWN_MODELS: "bare" }))).toBe("bare");
    expect(problemsOf({ KNOWN_MODELS: "bare", DEFAULT_MODEL: "other" })[0]).toStartWith("DEFAULT_MODEL ");
  });

  test("let the default model of the site be called kimi", () => {
    const called = (environment: Environment) =>
      siteOf(environment).models.find(({ aliases }) => aliases?.includes("kimi"))?.id;
    expect(called({})).toBe("kimi-k2-instruct-0905");
    expect(called({ DEFAULT_MODEL: "kimi-k2-instruct" })).toBe("kimi-k2-instruct");
    expect(called({ KNOWN_MODELS: "a,b" })).toBe("a");
    expect(problemsOf({ DEFAULT_MODEL: "kimi" })).toEqual([]);
  });

  test("take prompt labels as a comma list or a JSON object", () => {
    const labels = { system: "System: ", user: "用户: ", assistant: "模型: ", tool: "Tool: " };
    expect(siteOf({ PROMPT_LABELS: "user=用户,assistant=模型" }).labels).toEqual(labels);
    expect(siteOf({ PROMPT_LABELS: '{"user":"用户","assistant":"模型"}' }).labels).toEqual(labels);
  });

  test("type one character at a time with a delay, unless told otherwise", () => {
    expect(siteOf({ STREAM_DELAY_MS: "20" }).chunkChars).toBe(1);
    expect(siteOf({ STREAM_DELAY_MS: "20", STREAM_CHUNK_CHARS: "5" }).chunkChars).toBe(5);
  });

  test("take one OpenAI-compatible upstream by its address, or many as JSON with variables in it", () => {
    const one = parseConfig({
      OPENAI_BASE_URL: "https://api.example.com/v1",
      OPENAI_API_KEY: "sk-o",
      OPENAI_MODELS: "a, b",
    });
    expect(one.upstreams).toEqual([
      { name: "openai", baseUrl: "https://api.example.com/v1", apiKey: "sk-o", models: ["a", "b"] },
    ]);
    const many = parseConfig({
      PROVIDERS:
        '[{"name":"moonshot","baseUrl":"https://m.example/v1","apiKey":"${MOONSHOT_KEY}"},{"name":"local","baseUrl":"http://127.0.0.1:11434/v1","models":["llama"],"headers":{"x-team":"${TEAM}-1"}}]',
      MOONSHOT_KEY: "sk-m",
      TEAM: "blue",
    });
    expect(many.upstreams).toEqual([
      { name: "moonshot", baseUrl: "https://m.example/v1", apiKey: "sk-m", models: "*" },
      {
        name: "local",
        baseUrl: "http://127.0.0.1:11434/v1",
        models: ["llama"],
        headers: { "x-team": "blue-1" },
      },
    ]);
  });

  test.each([
    [{ PROVIDERS: "{}" }, "PROVIDERS"],
    [{ PROVIDERS: '[{"name":"Bad Name","baseUrl":"https://x.example"}]' }, "PROVIDERS [0].name"],
    [{ PROVIDERS: '[{"name":"a","baseUrl":"nowhere"}]' }, "PROVIDERS [0].baseUrl"],
    [
      { PROVIDERS: '[{"name":"a","baseUrl":"https://x.example","apikey":"sk-secret"}]' },
      "PROVIDERS [0].apikey",
    ],
    [
      { PROVIDERS: '[{"name":"a","baseUrl":"https://x.example","apiKey":"${NONE}"}]' },
      "PROVIDERS names ${NONE}",
    ],
    [{ PROVIDERS: '[{"name":"a","baseUrl":"https://x.example","apiKey":""}]' }, "PROVIDERS [0].apiKey"],
    [{ PROVIDERS: '[{"name":"a","baseUrl":"https://x.example","apiKey":"sk-…"}]' }, "PROVIDERS [0].apiKey"],
    [
      { PROVIDERS: '[{"name":"a","baseUrl":"https://x.example","headers":{"x y":"z"}}]' },
      "PROVIDERS [0].headers",
    ],
    [{ OPENAI_BASE_URL: "https://x.example", OPENAI_API_KEY: "sk-\n1" }, "OPENAI_API_KEY"],
    [{ PROVIDERS: '[{"name":"kimi-web","baseUrl":"https://x.example"}]' }, "PROVIDERS has the name kimi-web"],
    [{ OPENAI_API_KEY: "sk-secret" }, "OPENAI_API_KEY"],
    [{ KIMI_WEB: "off" }, "KIMI_WEB"],
    [{ MODEL_ALIASES: "gpt-4o" }, "MODEL_ALIASES"],
    [{ MODEL_FALLBACKS: '{"a":"b"}' }, "MODEL_FALLBACKS"],
  ])("%j stop the start and name %s", (environment, name) => {
    const problems = problemsOf(environment);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toStartWith(name);
    expect(problems[0]).not.toContain("secret");
  });

  test("take the first known model as the default, and check a given one only against whole lists", () => {
    const local = { KIMI_WEB: "off", OPENAI_BASE_URL: "http://127.0.0.1:1/v1" };
    expect(firstModel(parseConfig({ ...local, OPENAI_MODELS: "llama,qwen" }))).toBe("llama");
    expect(firstModel(parseConfig(local))).toBeUndefined();
    expect(parseConfig({ ...local, DEFAULT_MODEL: "anything" }).defaultModel).toBe("anything");
    expect(problemsOf({ ...local, OPENAI_MODELS: "llama", DEFAULT_MODEL: "other" })[0]).toStartWith(
      "DEFAULT_MODEL",
    );
    expect(parseConfig(local).site).toBeUndefined();
  });

  test("end an answer five seconds before the platform does", () => {
    const deadlineMs = (environment: Environment, timeLimitMs?: number) =>
      parseConfig(environment, timeLimitMs === undefined ? {} : { timeLimitMs }).requestTimeoutMs;
    expect(deadlineMs({}, 60_000)).toBe(55_000);
    expect(deadlineMs({}, 300_000)).toBe(180_000);
    expect(deadlineMs({ API_REQUEST_TIMEOUT: "600" }, 300_000)).toBe(295_000);
    expect(deadlineMs({ API_REQUEST_TIMEOUT: "900", PLATFORM_TIME_LIMIT: "800" }, 300_000)).toBe(795_000);
    expect(deadlineMs({ PLATFORM_TIME_LIMIT: "25" })).toBe(20_000);
    const totalMs = (environment: Environment, timeLimitMs = Infinity) =>
      parseConfig(environment, { timeLimitMs }).totalTimeoutMs;
    expect(totalMs({})).toBe(Infinity);
    expect(totalMs({ API_TOTAL_TIMEOUT: "600" })).toBe(600_000);
    expect(totalMs({ API_TOTAL_TIMEOUT: "600" }, 300_000)).toBe(295_000);
    expect(totalMs({}, 60_000)).toBe(55_000);
    expect(deadlineMs({ API_TOTAL_TIMEOUT: "60" })).toBe(60_000);
    expect(problemsOf({ PLATFORM_TIME_LIMIT: "5" })).toEqual([
      "PLATFORM_TIME_LIMIT must be a number from 6 to 86400 (seconds)",
    ]);
  });

  test("take the REST API's address and token only together, under either of their names", () => {
    const rest = { url: "https://eu1.example.com", token: "secret" };
    const { url, token } = rest;
    expect(parseConfig({ KV_REST_API_URL: url, KV_REST_API_TOKEN: token }).sessions.redisRest).toEqual(rest);
    expect(
      parseConfig({ UPSTASH_REDIS_REST_URL: url, UPSTASH_REDIS_REST_TOKEN: token }).sessions.redisRest,
    ).toEqual(rest);
    expect(problemsOf({ UPSTASH_REDIS_REST_URL: url })).toEqual([
      "UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN belong together: set both or neither",
    ]);
    expect(problemsOf({ SESSION_STORE: "mongo", REDIS_URL: "http://127.0.0.1" })).toEqual([
      "SESSION_STORE must be one of memory, sqlite, deno-kv, durable-object, netlify-blobs, redis-rest, redis",
      expect.stringMatching(/^REDIS_URL must be a redis:\/\/ or rediss:\/\/ URL such as /),
    ]);
  });

  test("show the package's version", () => {
    const manifest = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
    expect(version).toBe(manifest.version);
  });
});
