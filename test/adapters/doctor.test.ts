/** The doctor as operators run it: a command of its own, before the stand-ins and all their faults. */
import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startChatSite } from "../fakes/chat-site.ts";
import { jsonScript, startOpenAiUpstream } from "../fakes/openai-upstream.ts";
import { siteControl } from "../fakes/site-control.ts";
import { nobody } from "../support/nobody.ts";
import { hasRedis, redisServer } from "../support/redis-server.ts";
import { type Diagnosis, doctor, programs } from "../support/run-doctor.ts";
import { startServer } from "../support/start-server.ts";

const root = join(import.meta.dir, "../..");
const chatSite = startChatSite();
const site = siteControl(chatSite.url);
const siteEnv = { CHAT_PAGE_URL: site.pageUrl, UPSTREAM_URL: site.ajaxUrl };
afterAll(() => chatSite.stop());
beforeEach(() => site.reset());

describe("the doctor of a gateway that works", () => {
  test("finds every step good, tells how long each took, and ends with exit code 0", async () => {
    const { code, output, marks, step } = await doctor(siteEnv);
    expect(marks).toEqual([
      "✓ settings",
      "✓ access",
      "✓ address",
      "✓ store",
      "✓ host",
      "✓ page",
      "✓ nonce",
      "✓ message",
      "✓ refusal",
    ]);
    for (const timed of ["store", "host", "page", "message"]) expect(step(timed)).toMatch(/ {2}\d+ ms/);
    expect(step("settings")).toContain("PORT, CHAT_PAGE_URL, UPSTREAM_URL");
    expect(output).toEndWith("\nAll is well.\n");
    expect(code).toBe(0);
  });

  test("sends the site one message, and one with a false nonce, which it refuses", async () => {
    await site.log({ clear: true });
    await doctor(siteEnv);
    const { ajax, pages } = await site.log();
    expect(ajax.map(({ outcome }) => outcome)).toEqual(["ok", "nonce_real"]);
    expect(pages).toHaveLength(2);
  });

  test("finds the gateway that already runs at the address", async () => {
    const server = await startServer({ env: siteEnv });
    const { code, step } = await doctor({ ...siteEnv, PORT: new URL(server.url).port });
    expect(step("address")).toContain("✓ address   a gateway of version");
    expect(code).toBe(0);
    await server.stop();
  });

  test("passes a page cache that holds a dead nonce", async () => {
    await site.set({ page_cache: "on" });
    await fetch(site.pageUrl).then((page) => page.text());
    await site.rotate();
    const { code, step } = await doctor(siteEnv);
    expect(step("nonce")).toStartWith("✓");
    expect(code).toBe(0);
  });

  test("remarks on a nonce that was refused before another one was taken", async () => {
    await site.set({ cookie: "require" });
    await site.queue({ ajax: ["nonce_json"] });
    const { code, step } = await doctor(siteEnv);
    expect(step("nonce")).toStartWith("! nonce     the first one was refused, the one after it taken");
    expect(step("message")).toStartWith("✓");
    expect(code).toBe(0);
  });

  test.each(["node", "deno"])("runs on %s too", async (runtime) => {
    const folder = mkdtempSync(join(root, "node_modules/.doctor-"));
    try {
      if (runtime === "deno") {
        programs.deno = [join(root, "node_modules/.bin/deno"), "run", "-A", "adapters/cli.ts"];
      } else {
        await Bun.build({
          entrypoints: [join(root, "adapters/cli.ts")],
          target: "node",
          packages: "external",
          splitting: true,
          outdir: folder,
        });
        programs.node = [Bun.which("node") ?? "node", join(folder, "cli.js")];
      }
      const { code, output } = await doctor({ ...siteEnv, SESSION_STORE: "memory" }, runtime);
      expect(output).toEndWith("\nAll is well.\n");
      expect(code).toBe(0);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe("the doctor and settings", () => {
  test("names each bad one, and tries nothing", async () => {
    const { code, marks, output } = await doctor({ PORT: "99999", LOG_LEVEL: "loud" });
    expect(marks).toEqual(["✗ settings", "✗ settings"]);
    expect(output).toContain("PORT must be");
    expect(output).toContain("LOG_LEVEL must be");
    expect(output).toEndWith("\n2 problems.\n");
    expect(code).toBe(1);
  });

  test("warns of those that are probably not meant, and goes on", async () => {
    const { code, step, marks } = await doctor({ ...siteEnv, API_KEY: "sk-planted-key" });
    expect(step("settings")).toContain("! settings  API_KEY is no setting. Did you mean API_MASTER_KEY?");
    expect(step("settings")).not.toContain("planted");
    expect(marks.at(-1)).toBe("✓ refusal");
    expect(code).toBe(0);
  });

  test("objects to a server that is open to the world without a key", async () => {
    const { code, step } = await doctor({ ...siteEnv, HOST: "0.0.0.0" });
    expect(step("access")).toStartWith("✗");
    expect(step("access")).toContain("change  API_MASTER_KEY");
    expect(code).toBe(1);
  });

  test("warns of a server that is open to the world on purpose", async () => {
    const { code, step } = await doctor({ ...siteEnv, HOST: "0.0.0.0", API_MASTER_KEY: "1" });
    expect(step("access")).toStartWith("!");
    expect(code).toBe(0);
  });

  test("objects to a port that another program has", async () => {
    const { code, step } = await doctor({ ...siteEnv, PORT: new URL(site.url).port });
    expect(step("address")).toStartWith("✗");
    expect(step("address")).toContain("change  PORT");
    expect(code).toBe(1);
  });
});

test("the doctor shows no key, cookie, token, password or nonce, even where the site repeats them", async () => {
  const upstream = await startOpenAiUpstream();
  upstream.script(jsonScript(500, { error: { message: "sk-planted-upstream, planted-header" } }));
  await site.set({ ajax: "error=planted-cookie planted-basic planted-master" });
  const providers = [
    {
      name: "local",
      baseUrl: upstream.baseUrl,
      apiKey: "sk-planted-upstream",
      headers: { "x-vendor-token": "planted-header" },
    },
  ];
  const { code, output } = await doctor({
    ...siteEnv,
    API_MASTER_KEY: "planted-master",
    UPSTREAM_HEADERS: '{"cookie":"member=planted-cookie","authorization":"Basic planted-basic"}',
    PROVIDERS: JSON.stringify(providers),
    SESSION_STORE: "redis",
    REDIS_URL: "redis://default:planted-password@127.0.0.1:9",
  });
  upstream.close();
  expect(output).toContain("upstream_error");
  expect(output).not.toContain("planted");
  const { ajax } = await site.log();
  expect(ajax.length).toBeGreaterThan(0);
  for (const { nonce } of ajax) expect(output).not.toContain(nonce as string);
  expect(code).toBe(1);
});

test("the doctor objects to names that lead to no model", async () => {
  const env = {
    ...siteEnv,
    MODEL_ALIASES: "gpt-4o=kimi-k2-instruct-0905,gpt-4=kimi-k3",
    MODEL_FALLBACKS: '{"kimi-k2-instruct":["moonshot/kimi-k2"]}',
  };
  const { code, step } = await doctor(env);
  expect(
    step("names")
      .split("\n")
      .filter((line) => line.startsWith("✗")),
  ).toEqual([
    "✗ names     MODEL_ALIASES leads to kimi-k3, which no upstream has",
    "✗ names     MODEL_FALLBACKS leads to moonshot/kimi-k2, which no upstream has",
  ]);
  expect(code).toBe(1);
  const mended = await doctor({ ...siteEnv, MODEL_ALIASES: "gpt-4o=kimi-k2-instruct-0905" });
  expect(mended.step("names")).toStartWith("✓");
});

describe("the doctor and the site", () => {
  const cases: {
    what: string;
    arrange?: () => Promise<void>;
    env?: () => Promise<Record<string, string>>;
    marks: readonly string[];
    at: string;
    says: string;
    change: string;
  }[] = [
    {
      what: "a challenge",
      arrange: () => site.set({ page_mode: "challenge" }),
      marks: ["✓ host", "✗ page", "- nonce", "- message"],
      at: "page",
      says: "upstream_challenge",
      change: "HTTPS_PROXY",
    },
    {
      what: "a challenge for messages alone",
      arrange: () => site.set({ ajax: "challenge" }),
      marks: ["✓ host", "✓ page", "✓ nonce", "✗ message"],
      at: "message",
      says: "upstream_challenge",
      change: "HTTPS_PROXY",
    },
    {
      what: "maintenance",
      arrange: () => site.maintenance(true),
      marks: ["✓ host", "✗ page", "- nonce", "- message"],
      at: "page",
      says: "upstream_unavailable",
      change: "nothing here; until it is over, MODEL_FALLBACKS",
    },
    {
      what: "a page without the nonce",
      arrange: () => site.set({ page: "no_nonce" }),
      marks: ["✓ host", "✓ page", "✗ nonce", "- message"],
      at: "nonce",
      says: "has no nonce",
      change: "CHAT_PAGE_URL",
    },
    {
      what: "a nonce that the site refuses",
      arrange: () => site.set({ ajax: "nonce_json" }),
      marks: ["✓ host", "✓ page", "✗ nonce", "✗ message"],
      at: "nonce",
      says: "Security check failed",
      change: "UPSTREAM_URL and CHAT_PAGE_URL",
    },
    {
      what: "a login wall",
      arrange: () => site.set({ page_mode: "html200" }),
      marks: ["✓ host", "✓ page", "✗ nonce", "- message"],
      at: "nonce",
      says: "Log In",
      change: "CHAT_PAGE_URL",
    },
    {
      what: "a page that is not there",
      env: async () => ({ CHAT_PAGE_URL: `${site.url}/chats/` }),
      marks: ["✓ host", "✗ page", "- nonce", "- message"],
      at: "page",
      says: "status 404",
      change: "CHAT_PAGE_URL",
    },
    {
      what: "a refused connection",
      env: async () => ({ CHAT_PAGE_URL: `${nobody}/chat/` }),
      marks: ["✗ host", "✓ host", "- page", "- nonce", "- message"],
      at: "host",
      says: "ECONNREFUSED",
      change: "CHAT_PAGE_URL",
    },
    {
      what: "a host that nobody knows",
      env: async () => ({ CHAT_PAGE_URL: "http://chat.invalid/chat/" }),
      marks: ["✗ host", "✓ host", "- page", "- nonce", "- message"],
      at: "host",
      says: "chat.invalid is not found",
      change: "CHAT_PAGE_URL",
    },
    {
      what: "an UPSTREAM_URL of a path that is not there",
      env: async () => ({ UPSTREAM_URL: `${site.url}/admin-ajax.php` }),
      marks: ["✓ host", "✓ page", "✓ nonce", "✗ message"],
      at: "message",
      says: "upstream_invalid_response",
      change: "UPSTREAM_URL",
    },
    {
      what: "an UPSTREAM_URL of a host where nobody listens",
      env: async () => ({ UPSTREAM_URL: `${nobody}/wp-admin/admin-ajax.php` }),
      marks: ["✓ host", "✗ host", "✓ page", "✓ nonce", "✗ message"],
      at: "host",
      says: "ECONNREFUSED",
      change: "UPSTREAM_URL",
    },
    {
      what: "a site that knows no such action",
      arrange: () => site.set({ ajax: "unknown_action" }),
      marks: ["✓ host", "✓ page", "✓ nonce", "✗ message"],
      at: "message",
      says: "no action kimi_send_message",
      change: "UPSTREAM_URL",
    },
    {
      what: "a model that the site does not know",
      env: async () => ({ KNOWN_MODELS: "kimi-k9" }),
      marks: ["✓ host", "✓ page", "✓ nonce", "✗ message"],
      at: "message",
      says: "Invalid model",
      change: "KNOWN_MODELS",
    },
    {
      what: "the site's own rate limit",
      arrange: () => site.set({ ajax: "ratelimit=7" }),
      marks: ["✓ host", "✓ page", "✓ nonce", "✗ message"],
      at: "message",
      says: "upstream_rate_limited",
      change: "UPSTREAM_MAX_CONCURRENCY",
    },
    {
      what: "a site that thinks for too long",
      arrange: () => site.set({ ajax: "slow=30" }),
      env: async () => ({ API_REQUEST_TIMEOUT: "1" }),
      marks: ["✓ host", "✓ page", "✓ nonce", "✗ message"],
      at: "message",
      says: "upstream_timeout",
      change: "API_REQUEST_TIMEOUT",
    },
  ];

  test.each(cases)("explains $what", async ({ arrange, env, marks, at, says, change }) => {
    await arrange?.();
    const diagnosis = await doctor({ ...siteEnv, ...(await env?.()) });
    // A site elsewhere needs a network, which the machine of a test may or may not have.
    const steps = diagnosis.marks.filter((mark) => !mark.endsWith(" network"));
    expect(steps.slice(4)).toEqual([...marks]);
    expect(diagnosis.step(at)).toContain(says);
    expect(diagnosis.step(at)).toMatch(/\n {12}means {3}\S/);
    expect(diagnosis.step(at)).toContain(`change  ${change}`);
    expect(diagnosis.code).toBe(1);
  });
});

describe("the doctor and stores", () => {
  test("says that a store is not configured", async () => {
    const { code, step } = await doctor({ ...siteEnv, SESSION_STORE: "redis" });
    expect(step("store")).toStartWith("✗");
    expect(step("store")).toContain("change  REDIS_URL");
    expect(code).toBe(1);
  });

  test("says that a store is down, and shows no password", async () => {
    const REDIS_URL = `redis://default:hunter2-hunter2@127.0.0.1:9`;
    const { code, step, output } = await doctor({ ...siteEnv, SESSION_STORE: "redis", REDIS_URL });
    expect(step("store")).toStartWith("✗");
    expect(step("store")).toContain("change  REDIS_URL");
    expect(output).not.toContain("hunter2");
    expect(code).toBe(1);
  });

  test("says that a REST API refuses, and shows no token", async () => {
    const { code, step, output } = await doctor({
      ...siteEnv,
      SESSION_STORE: "redis-rest",
      UPSTASH_REDIS_REST_URL: site.url,
      UPSTASH_REDIS_REST_TOKEN: "planted-token",
    });
    expect(step("store")).toStartWith("✗");
    expect(step("store")).toContain("change  UPSTASH_REDIS_REST_URL");
    expect(output).not.toContain("planted-token");
    expect(code).toBe(1);
  });

  test("says that a file can't be a database", async () => {
    const folder = mkdtempSync(join(tmpdir(), "doctor-"));
    const { code, step } = await doctor({ ...siteEnv, SESSION_STORE: "deno-kv", DENO_KV_PATH: folder });
    expect(step("store")).toStartWith("✗");
    expect(step("store")).toContain("change  DENO_KV_PATH");
    expect(code).toBe(1);
    rmSync(folder, { recursive: true });
  });

  test.skipIf(!hasRedis())("uses a real Redis and leaves nothing in it (needs redis-server)", async () => {
    await using redis = await redisServer();
    const { code, step } = await doctor({ ...siteEnv, SESSION_STORE: "redis", REDIS_URL: redis.url });
    expect(step("store")).toStartWith("✓ store     redis: written, read and deleted");
    expect(code).toBe(0);
    const client = new Bun.RedisClient(redis.url);
    expect(await client.send("DBSIZE", [])).toBe(0);
    client.close();
  });
});

describe("the doctor and OpenAI-compatible upstreams", () => {
  const withUpstream = async (
    env: Record<string, string>,
    use: (diagnosis: Diagnosis) => void,
    arrange?: (upstream: Awaited<ReturnType<typeof startOpenAiUpstream>>) => void,
  ) => {
    const upstream = await startOpenAiUpstream({ apiKey: "sk-planted" });
    arrange?.(upstream);
    const base = { KIMI_WEB: "off", OPENAI_BASE_URL: upstream.baseUrl, OPENAI_API_KEY: "sk-planted" };
    const diagnosis = await doctor({ ...base, ...env });
    upstream.close();
    expect(diagnosis.output).not.toContain("sk-planted");
    use(diagnosis);
  };

  test("lists the models and sends one message", () =>
    withUpstream({}, ({ code, marks, step }) => {
      expect(marks.slice(4)).toEqual(["✓ host", "✓ models", "✓ message"]);
      expect(step("models")).toContain("openai lists 3");
      expect(step("message")).toContain("openai: echo answered with");
      expect(code).toBe(0);
    }));

  test("says that the key is not accepted, even where the upstream repeats it", () =>
    withUpstream(
      {},
      ({ code, step }) => {
        expect(step("message")).toContain("upstream_auth_failed");
        expect(step("message")).toContain("change  OPENAI_API_KEY");
        expect(code).toBe(1);
      },
      (upstream) => {
        const refusal = jsonScript(401, { error: { message: "Incorrect API key: sk-planted" } });
        upstream.script(jsonScript(200, { data: [{ id: "echo" }] }), refusal);
      },
    ));

  test("says that the base URL is not that of an API", () =>
    withUpstream({ OPENAI_BASE_URL: `${site.url}/chat` }, ({ code, step }) => {
      expect(step("models")).toContain("change  OPENAI_BASE_URL");
      expect(code).toBe(1);
    }));

  test("remarks on a model that is not listed, and says that it is refused", () =>
    withUpstream({ OPENAI_MODELS: "ecco" }, ({ code, step }) => {
      expect(step("models")).toStartWith("! models    openai does not list ecco");
      expect(step("message")).toContain("change  OPENAI_MODELS");
      expect(code).toBe(1);
    }));

  test("gets by without a list where models are named", () =>
    withUpstream(
      { OPENAI_MODELS: "echo" },
      ({ code, marks }) => {
        expect(marks.slice(4)).toEqual(["✓ host", "! models", "✓ message"]);
        expect(code).toBe(0);
      },
      (upstream) => upstream.script(jsonScript(404, { error: { message: "No such route." } })),
    ));

  test("names the entry of PROVIDERS that is at fault", async () => {
    const PROVIDERS = JSON.stringify([{ name: "local", baseUrl: `${nobody}/v1` }]);
    const { code, step } = await doctor({ KIMI_WEB: "off", PROVIDERS });
    expect(step("host")).toContain("change  baseUrl of local in PROVIDERS");
    expect(code).toBe(1);
  });
});
