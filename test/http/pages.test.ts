/** How the pages for people are served; what they do in a browser is test/e2e/pages. */
import { describe, expect, test } from "bun:test";
import { pages } from "../../handler.ts";
import { testHandler } from "../support/test-handler.ts";

const browser = { accept: "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8" };
const withPages = (env = {}) => testHandler(env, { pages });

describe("GET /", () => {
  test.each([undefined, "*/*", "application/json", "text/plain", "application/xhtml+xml"])(
    "answers JSON to what accepts %s",
    async (accept) => {
      const response = await withPages().send("/", accept === undefined ? {} : { headers: { accept } });
      expect(response.headers.get("content-type")).toBe("application/json; charset=utf-8");
      expect(await response.json()).toMatchObject({ name: "kimi-ai-2api" });
    },
  );

  test.each(["/", "//", "/v1", "/v1/"])("answers the page to a browser at %s", async (path) => {
    const response = await withPages().send(path, { headers: browser });
    expect(response.headers.get("content-type")).toBe("text/html; charset=utf-8");
    expect(await response.text()).toStartWith("<!doctype html>");
  });

  test("answers JSON to a browser where there are no pages, or PAGES is off", async () => {
    for (const { send } of [testHandler(), withPages({ PAGES: "off" })]) {
      expect(await (await send("/", { headers: browser })).json()).toMatchObject({ name: "kimi-ai-2api" });
      expect((await send("/ui")).status).toBe(404);
    }
  });
});

const paths = pages.flatMap((page) => page.paths.filter((path) => path !== "/"));

describe.each(paths)("GET %s", (path) => {
  test("is the same document plain and compressed, for everyone", async () => {
    const { send } = withPages({ API_MASTER_KEY: "sk-secret" });
    const plain = await send(path);
    const zipped = await send(path, { headers: { "accept-encoding": "br, gzip;q=0.8" } });
    expect([plain.status, zipped.status]).toEqual([200, 200]);
    expect(plain.headers.get("content-encoding")).toBeNull();
    expect(zipped.headers.get("content-encoding")).toBe("gzip");
    const text = await plain.text();
    expect(new TextDecoder().decode(Bun.gunzipSync(await zipped.arrayBuffer()))).toBe(text);
    expect(zipped.headers.get("vary")).toContain("Accept-Encoding");
    const refused = await send(path, { headers: { "accept-encoding": "gzip;q=0" } });
    expect(refused.headers.get("content-encoding")).toBeNull();
  });

  test("is not sent again to who has it, and may not be changed on its way", async () => {
    const { send } = withPages();
    const { headers } = await send(path);
    expect(headers.get("cache-control")).toBe("no-cache, no-transform");
    const again = await send(path, { headers: { "if-none-match": headers.get("etag") ?? "" } });
    expect([again.status, await again.text()]).toEqual([304, ""]);
  });

  test("lets nothing run but its own script, and asks nobody but its own server", async () => {
    const response = await withPages().send(path);
    const policy = response.headers.get("content-security-policy") ?? "";
    if (!response.headers.get("content-type")?.startsWith("text/html")) {
      expect(policy).toBe("default-src 'none'; frame-ancestors 'none'");
      return;
    }
    expect(policy).toStartWith("default-src 'none'; script-src 'sha256-");
    expect(policy).toContain("require-trusted-types-for 'script'; trusted-types 'none'");
    expect(policy).not.toMatch(/unsafe|\*|https?:/);
    const text = await response.text();
    const hashes = [...text.matchAll(/<(script|style)[^>]*>(.*?)<\/\1>/gs)].map(
      ([, , content = ""]) => `sha256-${new Bun.CryptoHasher("sha256").update(content).digest("base64")}`,
    );
    expect(hashes).toHaveLength(2);
    for (const hash of hashes) expect(policy).toContain(hash);
    expect(text).not.toMatch(/<[^>]*\s(on\w+|style)=/);
    expect(text).not.toMatch(/<(link|script|img|iframe)[^>]*\s(src|href)="(?!data:)/);
  });

  test("holds none of the server's secrets", async () => {
    const planted = {
      API_MASTER_KEY: "sk-planted-master",
      API_KEYS: '{"planted-name":"sk-planted-named"}',
      OPENAI_BASE_URL: "https://planted-upstream.example/v1",
      OPENAI_API_KEY: "sk-planted-upstream",
      UPSTREAM_HEADERS: '{"cookie":"planted-cookie"}',
      UPSTASH_REDIS_REST_URL: "https://planted-store.example",
      UPSTASH_REDIS_REST_TOKEN: "planted-token",
    };
    const response = await withPages(planted).send(path, {
      headers: { authorization: "Bearer sk-planted-master" },
    });
    expect(await response.text()).not.toContain("planted");
    expect(JSON.stringify([...response.headers])).not.toContain("planted");
  });
});
