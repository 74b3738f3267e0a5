/** What docs/deploy/ says of versions, dates and limits is what is tested and shipped. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");
const { dependencies } = JSON.parse(read("test/e2e/platforms/package.json"));
const minor = (version: string) => version.split(".").slice(0, 2).join(".");

test.each([
  ["workers", "wrangler"],
  ["vercel", "vercel"],
  ["netlify", "netlify-cli"],
])("docs/deploy/%s.md names the tested version of %s", (page, tool) => {
  expect(read(`docs/deploy/${page}.md`)).toContain(`Tested with ${tool} ${minor(dependencies[tool])}`);
});

test("docs/deploy/deno.md names the tested Deno", () => {
  const { devDependencies } = JSON.parse(read("package.json"));
  expect(read("docs/deploy/deno.md")).toContain(`with Deno ${minor(devDependencies.deno)}.`);
});

describe("a Worker's compatibility date", () => {
  const [tested, pasted] = [
    ...read("test/e2e/platforms/hosts/worker-options.mjs").matchAll(/compatibilityDate: "([\d-]+)"/g),
  ].map(([, date]) => date);
  const shipped = /"compatibility_date": "([\d-]+)"/.exec(read("wrangler.jsonc"))?.[1] as string;

  test("is tested as it is shipped", () => expect(tested).toBe(shipped));

  test("is the one that docs/deploy/ names", () => {
    expect(read("docs/deploy/workers.md")).toContain(`\`compatibility_date\` there is ${shipped}.`);
    expect(read("docs/deploy/workers.md")).toContain(`with the date ${pasted}`);
    expect(read("docs/deploy/single-file.md")).toContain(`--compatibility-date ${shipped}`);
  });
});

test("docs/deploy/vercel.md names the time that vercel.json sets", () => {
  const { maxDuration } = JSON.parse(read("vercel.json")).functions["api/index.ts"];
  expect(read("docs/deploy/vercel.md")).toContain(`may run for ${maxDuration} s`);
});
