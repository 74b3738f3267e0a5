import { describe, expect, test } from "bun:test";
import { exposedHeaders } from "../../core/http/cors.ts";
import { scriptedProvider } from "../fakes/scripted-provider.ts";
import { schemaErrors } from "../support/openai-schema.ts";
import { hello, testHandler } from "../support/test-handler.ts";

const authorization = (key: string) => ({ headers: { authorization: `Bearer ${key}` } });

describe("routes", () => {
  test.each([
    ["/v1/models", 200],
    ["/models", 200],
    ["//v1//models/", 200],
    ["/v1/models/test-model", 200],
    ["/models/test-model/", 200],
    ["/v1/models/scripted/test-model", 200],
    ["/v1/models/scripted%2Ftest-model", 200],
    ["/", 200],
    ["//", 200],
    ["/v1", 200],
    ["/health", 200],
    ["/v1/health", 200],
    ["/health/?probe=1", 200],
    ["/v1/models/none", 404],
    ["/v1/models/%ff", 404],
    ["/v2/models", 404],
    ["/v1/embeddings", 404],
    ["/v1beta", 404],
    ["/favicon.ico", 404],
  ])("GET %s answers %i", async (path, status) => {
    const { send } = testHandler();
    const response = await send(path);
    expect(response.status).toBe(status);
    const body = await response.json();
    if (status >= 400) expect(schemaErrors("ErrorResponse", body)).toEqual([]);
  });

  test.each([
    "/v1/chat/completions",
    "/chat/completions",
    "//v1/chat//completions/",
    "/chat/completions?api-version=1",
  ])("POST %s is a chat completion", async (path) => {
    const { send } = testHandler();
    const response = await send(path, { method: "POST", body: JSON.stringify(hello) });
    expect(await response.json()).toMatchObject({ object: "chat.completion" });
  });

  test("list models in OpenAI's shape, with a constant date", async () => {
    const { send } = testHandler();
    const list = await (await send("/v1/models")).json();
    expect(schemaErrors("ListModelsResponse", list)).toEqual([]);
    expect(list.data).toEqual([
      { id: "test-model", object: "model", created: 1_700_000_000, owned_by: "scripted" },
    ]);
    const one = await (await send("/v1/models/test-model")).json();
    expect(schemaErrors("Model", one)).toEqual([]);
    expect(one).toEqual(list.data[0]);
  });

  test("show no model that nobody lists, though the only upstream is asked for it", async () => {
    const open = { ...scriptedProvider(), takesUnlistedModels: true };
    const { send, chat } = testHandler({}, { providers: [open] });
    expect((await send("/v1/models/gpt-0")).status).toBe(404);
    expect((await chat({ ...hello, model: "gpt-0" })).status).toBe(200);
    expect(open.requests[0]?.request.model).toBe("gpt-0");
  });

  test("that are unknown are answered with those that there are", async () => {
    const { send } = testHandler();
    const { error } = await (await send("/v1/embeddings", { method: "POST" })).json();
    expect(error).toMatchObject({ code: "not_found", type: "invalid_request_error", param: null });
    expect(error.message).toContain("POST /chat/completions");
  });

  test("say which methods they have", async () => {
    const { send } = testHandler();
    const get = await send("/v1/chat/completions");
    expect(get.status).toBe(405);
    expect(get.headers.get("allow")).toBe("POST");
    expect((await get.json()).error.code).toBe("method_not_allowed");
    const put = await send("/v1/models", { method: "PUT", body: "{}" });
    expect(put.status).toBe(405);
    expect(put.headers.get("allow")).toBe("GET, HEAD");
  });

  test("answer HEAD as GET without a body", async () => {
    const { send } = testHandler();
    for (const path of ["/", "/health", "/v1/models"]) {
      const response = await send(path, { method: "HEAD" });
      expect(response.status).toBe(200);
      expect(response.headers.get("content-type")).toStartWith("application/json");
      expect(await response.text()).toBe("");
      const whole = await (await send(path)).text();
      expect(response.headers.get("content-length")).toBe(String(whole.length));
    }
  });

  test("answer with JSON that no cache keeps, and with security headers", async () => {
    const { send } = testHandler();
    for (const path of ["/", "/v1/models", "/nowhere"]) {
      const { headers } = await send(path);
      expect(headers.get("cache-control")).toBe("no-store");
      expect(headers.get("x-content-type-options")).toBe("nosniff");
      expect(headers.get("content-security-policy")).toContain("default-src 'none'");
    }
  });

  test("welcome without secrets", async () => {
    const { send } = testHandler({ API_MASTER_KEY: "sk-secret", UPSTREAM_HEADERS: '{"cookie":"a=secret"}' });
    const text = await (await send("/")).text();
    expect(JSON.parse(text)).toMatchObject({ name: "kimi-ai-2api" });
    expect(text).not.toContain("secret");
  });
});

describe("request ids", () => {
  test("are kept when they are sane, on errors too", async () => {
    const { send, records } = testHandler();
    const response = await send("/nowhere", { headers: { "x-request-id": "abc-1.2:3_4" } });
    expect(response.headers.get("x-request-id")).toBe("abc-1.2:3_4");
    expect(records[0]).toMatchObject({ requestId: "abc-1.2:3_4", status: 404, code: "not_found" });
  });

  test.each(["", "a b", "x".repeat(129), 'q"q'])("are replaced when they are %j", async (given) => {
    const { send } = testHandler();
    const id = (await send("/", { headers: { "x-request-id": given } })).headers.get("x-request-id");
    expect(id).toMatch(/^[0-9a-f-]{36}$/);
  });
});

describe("API keys", () => {
  const keyed = { API_MASTER_KEY: "sk-a", API_KEYS: '{"alice":"sk-b"}' };

  test("are asked for everywhere but on the welcome page, the health check and preflights", async () => {
    const { send } = testHandler(keyed);
    expect((await send("/")).status).toBe(200);
    expect((await send("/health")).status).toBe(200);
    expect((await send("/v1/models", { method: "OPTIONS" })).status).toBe(204);
    for (const path of ["/v1/models", "/v1/models/test-model", "/v1/chat/completions", "/nowhere"]) {
      expect((await send(path)).status).toBe(401);
    }
  });

  test.each([
    [{}],
    [{ authorization: "sk-a" }],
    [{ authorization: "Basic c2stYQ==" }],
    [{ authorization: "Bearer" }],
    [{ authorization: "Bearer a b" }],
  ])("that come as %j are missing", async (headers) => {
    const { send } = testHandler(keyed);
    const response = await send("/v1/models", { headers: headers as Record<string, string> });
    expect(response.status).toBe(401);
    expect(response.headers.get("www-authenticate")).toBe("Bearer");
    const body = await response.json();
    expect(schemaErrors("ErrorResponse", body)).toEqual([]);
    expect(body.error.code).toBe("missing_api_key");
  });

  test.each(["sk-A", "sk-", "sk-aa", "sk-ab", "a", "1"])("that are wrong (%s) are refused", async (key) => {
    const { send } = testHandler(keyed);
    for (const init of [authorization(key), { headers: { "x-api-key": key } }]) {
      const response = await send("/v1/models", init);
      // OpenAI's SDKs make AuthenticationError of a 401 alone, and apps send their users to the settings on it.
      expect(response.status).toBe(401);
      expect(response.headers.get("x-should-retry")).toBe("false");
      expect(response.headers.get("www-authenticate")).toBe('Bearer error="invalid_token"');
      const body = await response.json();
      expect(schemaErrors("ErrorResponse", body)).toEqual([]);
      expect(body.error.code).toBe("invalid_api_key");
    }
  });

  test("are known by name in the log, and never shown", async () => {
    const { send, records, log } = testHandler(keyed);
    expect((await send("/v1/models", { headers: { authorization: "bearer sk-b" } })).status).toBe(200);
    expect((await send("/v1/models", authorization("sk-a"))).status).toBe(200);
    await send("/v1/models", authorization("sk-wrong"));
    expect(records.map(({ key }) => key)).toEqual(["alice", "master", undefined]);
    expect(JSON.stringify(log.lines)).not.toContain("sk-");
  });

  test("must be set on a server that can be reached from outside", async () => {
    const { send } = testHandler({}, { exposed: true });
    const response = await send("/v1/models");
    expect(response.status).toBe(503);
    expect(response.headers.get("x-should-retry")).toBe("false");
    expect((await response.json()).error.code).toBe("api_key_not_configured");
    expect((await send("/health")).status).toBe(200);
  });

  test("are not needed anywhere once the server is opened on purpose", async () => {
    const { send } = testHandler({ API_MASTER_KEY: "1" }, { exposed: true });
    expect(
      (await send("/v1/models", { headers: { host: "api.example.com", origin: "https://example.com" } }))
        .status,
    ).toBe(200);
  });
});

describe("a server without keys on loopback", () => {
  test.each([
    [{ host: "127.0.0.1:8088" }, 200],
    [{ host: "localhost:8088" }, 200],
    [{ host: "[::1]:8088" }, 200],
    [{ host: "app.localhost" }, 200],
    [{ host: "host.docker.internal:8088" }, 200],
    [{ host: "gateway.docker.internal" }, 200],
    [{ host: "host.containers.internal:8088" }, 200],
    [{ host: "host.docker.internal.example.com" }, 403],
    [{ host: "xhost.docker.internal" }, 403],
    [{ host: "nas.local:8088" }, 403],
    [{ host: "localhost:8088", origin: "app://obsidian.md" }, 403],
    [{ host: "localhost:8088", origin: "chrome-extension://abcdefgh" }, 403],
    [{ host: "rebound.example.com" }, 403],
    [{ host: "localhost.example.com" }, 403],
    [{ host: "127.0.0.1.example.com" }, 403],
    [{ host: "localhost:8088", origin: "http://localhost:3000" }, 200],
    [{ host: "localhost:8088", origin: "http://127.0.0.1:3000" }, 200],
    [{ host: "localhost:8088", origin: "https://evil.example.com" }, 403],
    [{ host: "localhost:8088", origin: "https://localhost.evil.example.com" }, 403],
    [{ host: "localhost:8088", origin: "null" }, 403],
  ])("answers %j with %i", async (headers, status) => {
    const { send } = testHandler();
    const response = await send("/v1/models", { headers: headers as Record<string, string> });
    expect(response.status).toBe(status);
    if (status === 403) expect((await response.json()).error.code).toBe("forbidden_origin");
  });

  test("tells a refused Host which setting lets it in, and that setting does", async () => {
    const headers = { host: "nas.local:8088" };
    const { error } = await (await testHandler().send("/v1/models", { headers })).json();
    expect(error.message).toContain("API_MASTER_KEY");
    expect(error.message).toContain("CORS_ORIGIN=http://nas.local:8088");
    const { send } = testHandler({ CORS_ORIGIN: "http://nas.local:8088" });
    expect((await send("/v1/models", { headers })).status).toBe(200);
  });

  test("shows no Host that is none", async () => {
    const { send } = testHandler();
    const response = await send("/v1/models", { headers: { host: "planted secret <b>" } });
    expect(response.status).toBe(403);
    expect(await response.text()).not.toContain("planted");
  });

  test("lets in the origins that CORS_ORIGIN names", async () => {
    const { send } = testHandler({ CORS_ORIGIN: "https://chat.example.com" });
    const from = (origin: string) => send("/v1/models", { headers: { host: "localhost", origin } });
    expect((await from("https://chat.example.com")).status).toBe(200);
    expect((await from("https://other.example.com")).status).toBe(403);
    expect((await send("/v1/models", { headers: { host: "chat.example.com" } })).status).toBe(200);
    const all = testHandler({ CORS_ORIGIN: "*" });
    expect(
      (await all.send("/v1/models", { headers: { host: "any.example.com", origin: "https://a.example" } }))
        .status,
    ).toBe(200);
  });
});

describe("cross-origin answers", () => {
  const keyed = { API_MASTER_KEY: "sk-a" };
  const origin = "https://chat.example.com";

  test("reflect what a preflight asks for", async () => {
    const { send } = testHandler(keyed);
    const response = await send("/v1/chat/completions", {
      method: "OPTIONS",
      headers: {
        origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization, content-type, x-stainless-lang",
      },
    });
    expect(response.status).toBe(204);
    expect(response.headers.get("access-control-allow-origin")).toBe("*");
    expect(response.headers.get("access-control-allow-headers")).toBe(
      "authorization, content-type, x-stainless-lang",
    );
    expect(response.headers.get("access-control-allow-methods")).toContain("POST");
    expect(response.headers.get("access-control-allow-credentials")).toBeNull();
  });

  test.each([
    ["https://chat.example.com", "true", "true"],
    ["app://obsidian.md", "true", "true"],
    ["http://localhost:3000", "true", "true"],
    ["https://chat.example.com", "false", null],
    ["https://chat.example.com", undefined, null],
    ["https://evil.example.com", "true", null],
    [undefined, "true", null],
  ])("let a page at %p, which asks %p, into a private network: %p", async (from, asked, expected) => {
    const { send } = testHandler({ CORS_ORIGIN: "https://chat.example.com,app://obsidian.md" });
    const headers = {
      "access-control-request-method": "POST",
      ...(from !== undefined && { origin: from }),
      ...(asked !== undefined && { "access-control-request-private-network": asked }),
    };
    const response = await send("/v1/chat/completions", { method: "OPTIONS", headers });
    expect(response.headers.get("access-control-allow-private-network")).toBe(expected);
  });

  test("keep their status and can be read when they are errors", async () => {
    const { send } = testHandler(keyed);
    for (const [path, status] of [
      ["/v1/models", 401],
      ["/health", 200],
    ] as const) {
      const response = await send(path, { headers: { origin } });
      expect(response.status).toBe(status);
      expect(response.headers.get("access-control-allow-origin")).toBe("*");
    }
  });

  test("name one origin of a list, and none for others", async () => {
    const { send } = testHandler({ ...keyed, CORS_ORIGIN: "https://chat.example.com, app://local" });
    const from = async (given: string) => (await send("/v1/models", { headers: { origin: given } })).headers;
    expect((await from(origin)).get("access-control-allow-origin")).toBe(origin);
    expect((await from("app://local")).get("access-control-allow-origin")).toBe("app://local");
    expect((await from("https://other.example.com")).get("access-control-allow-origin")).toBeNull();
    expect((await from(origin)).get("vary")).toBe("Origin");
  });

  test("go to pages only, and caches are told that they differ", async () => {
    const { send } = testHandler(keyed);
    const names = async (init?: RequestInit) => [...(await send("/health", init)).headers.keys()];
    expect((await names()).filter((name) => name.startsWith("access-control"))).toEqual([]);
    expect(await names()).toContain("vary");
    expect(await names({ headers: { origin } })).toContain("vary");
  });

  test("expose every header of ours", async () => {
    const { send } = testHandler(keyed);
    const { headers } = await send("/v1/models", { headers: { origin } });
    const exposed = headers.get("access-control-expose-headers")?.split(", ");
    expect(exposed).toEqual([...exposedHeaders]);
    for (const name of headers.keys()) if (name.startsWith("x-")) expect(exposed).toContain(name);
  });
});
