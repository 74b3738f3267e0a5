import { expect, test } from "bun:test";
import { pages } from "../../handler.ts";
import { buildPages, buildSmallPages } from "../../scripts/build-pages.ts";
import { recipes } from "../../web/connect/recipes.ts";
import { testHandler } from "../support/test-handler.ts";

const textOf = (gzip: string): string =>
  new TextDecoder().decode(Bun.gunzipSync(Buffer.from(gzip, "base64")));

test("web/pages.generated.ts is what `npm run pages` makes of web/", async () => {
  const built = await buildPages();
  expect(pages.map(({ paths }) => paths)).toEqual(built.map(({ paths }) => paths));
  for (const [index, { text, contentSecurityPolicy, contentType }] of built.entries()) {
    const page = pages[index];
    expect([page?.contentSecurityPolicy, page?.contentType]).toEqual([contentSecurityPolicy, contentType]);
    // Not the compressed bytes: they may differ from machine to machine.
    expect(textOf(page?.gzip ?? "") === text).toBe(true);
  }
});

test("chat and instructions have at most 40 KB, compressed", () => {
  const page = pages.find(({ paths }) => paths.includes("/"));
  expect(Buffer.from(page?.gzip ?? "", "base64").length).toBeLessThanOrEqual(40 * 1024);
});

test("the small page has no script", async () => {
  const [page] = await buildSmallPages();
  expect(page?.text).not.toContain("<script");
  expect(page?.contentSecurityPolicy).not.toContain("script-src");
  expect(page?.text).not.toContain("<!-- ");
});

test.each(recipes)("the instructions for $name call a route that there is", async ({ route }) => {
  const response = await testHandler().send(`/v1${route}`);
  expect([response.status, response.headers.get("allow")]).toEqual([405, "POST"]);
});
