import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";

const readManifest = (path: string) =>
  JSON.parse(readFileSync(new URL(`../${path}`, import.meta.url), "utf8"));

const { dependencies, engines } = readManifest("package.json");

test.each(Object.keys(dependencies))("%s runs on every Node that the product promises", (name) => {
  const oldest = engines.node.replace(">=", "");
  const { engines: needed } = readManifest(`node_modules/${name}/package.json`);
  expect(Bun.semver.satisfies(oldest, needed?.node ?? "*")).toBe(true);
});
