/** The API reference and the dashboard, driven in a real browser. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { closeBrowser, type Gateway, missing, open, type Seen, startGateway } from "./stage.ts";

const key = "sk-page-key";
const why = missing ? ` (skipped: ${missing})` : "";

let keyed: Gateway;
let seen: Seen | undefined;

beforeAll(async () => {
  if (!missing) keyed = await startGateway({ env: { API_MASTER_KEY: key }, reply: "Blue." });
});

afterAll(async () => {
  await closeBrowser();
  await keyed?.stop();
});

afterEach(async () => {
  const { troubles = [], foreign = [] } = seen ?? {};
  await seen?.close();
  seen = undefined;
  expect(
    troubles.filter((text) => !text.startsWith("Failed to load resource: the server responded")),
  ).toEqual([]);
  expect(foreign).toEqual([]);
});

const visit = async (path: string, options: Parameters<typeof open>[1] = {}, url = keyed.url) => {
  seen = await open(url + path, options);
  return seen.page;
};

const chat = (model: string, content = "A secret word", url = keyed.url) =>
  fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}` },
    body: JSON.stringify({ model, messages: [{ role: "user", content }] }),
  });

describe.skipIf(missing !== undefined)(`the API reference${why}`, () => {
  test("is whole without a script", async () => {
    const page = await visit("/docs", { javaScriptEnabled: false });
    await page.locator("article[lang=en] .operation").first().click();
    expect(await page.locator("article[lang=en] .operation[open] table").first().isVisible()).toBe(true);
  });

  test("sends its examples with the page's key and shows what comes", async () => {
    const page = await visit("/docs");
    await page.locator("#key").fill(key);
    await page.locator("#key").press("Tab");
    const operation = page.locator("article[lang=en] [data-operation=createChatCompletion]");
    await operation.locator("summary").first().click();
    await operation.getByRole("button", { name: "Send" }).click();
    await operation.locator(".try pre", { hasText: '"content": "Blue."' }).waitFor();
    await operation.locator("select").selectOption({ label: "Streamed" });
    await operation.getByRole("button", { name: "Send" }).click();
    await operation.locator(".try pre", { hasText: "data: [DONE]" }).waitFor();
  });

  test("has no field for a key where none is needed", async () => {
    const open = await startGateway();
    const page = await visit("/docs", {}, open.url);
    await page.locator("article[lang=en] .operation summary").first().click();
    await page.getByRole("button", { name: "Send" }).first().waitFor();
    expect(await page.locator("#key").isVisible()).toBe(false);
    await open.stop();
  });

  test("is in Chinese for those who read it", async () => {
    const page = await visit("/docs", { locale: "zh-CN" });
    await page.getByRole("heading", { name: "API 参考" }).waitFor();
    expect(await page.getByRole("heading", { name: "API reference" }).isVisible()).toBe(false);
  });
});

describe.skipIf(missing !== undefined)(`the dashboard${why}`, () => {
  test("shows nothing without a key, and with one what the server does", async () => {
    await chat("kimi-k2-instruct-0905");
    await chat("no-such-model");
    for (let n = 0; n < 4; n++) await chat("kimi-k2-instruct-0905", "A secret word ".repeat(60));
    const page = await visit("/dashboard");
    await page.locator("#key").waitFor();
    expect(await page.locator(".cards").count()).toBe(0);
    expect(seen?.troubles).toEqual([]);
    await page.locator("#key").fill("sk-wrong");
    await page.getByRole("button", { name: "Show" }).click();
    await page.locator(".note", { hasText: "not one of the server's" }).waitFor();
    await page.locator("#key").fill(key);
    await page.getByRole("button", { name: "Show" }).click();
    await page.locator(".cards").waitFor();
    const text = (await page.locator("main").textContent()) ?? "";
    for (const shown of ["model_not_found", "kimi-k2-instruct-0905", "kimi-web", "master", "memory"]) {
      expect(text).toContain(shown);
    }
    expect(text).not.toContain("secret word");
    const widths = await page
      .locator(".card")
      .evaluateAll((all) => all.map(({ scrollWidth, clientWidth }) => scrollWidth <= clientWidth));
    expect(widths).toEqual(Array(7).fill(true));
    expect(await page.locator("#key").isVisible()).toBe(false);
  });

  test("goes on with what the server does, and says whether it is all of it", async () => {
    const one = await startGateway({ hosted: true });
    const page = await visit("/dashboard", {}, one.url);
    await page.locator(".remark", { hasText: "many short-lived instances" }).waitFor();
    const requests = page.locator(".card", { hasText: "Requests" }).locator("dd");
    expect(await requests.textContent()).toBe("0");
    await chat("no-such-model", "Hi", one.url);
    await page.locator(".card", { hasText: "Requests1" }).waitFor();
    await page.getByRole("button", { name: "中文" }).click();
    await page.getByRole("heading", { name: "仪表盘" }).waitFor();
    await one.stop();
  });

  test("fits a phone", async () => {
    const page = await visit("/dashboard", {
      viewport: { width: 360, height: 640 },
      hasTouch: true,
      isMobile: true,
    });
    await page.locator("#key").fill(key);
    await page.getByRole("button", { name: "Show" }).click();
    await page.locator(".cards").waitFor();
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(360);
  });
});
