import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { settingNames } from "../../core/config/config.ts";
import { errorTable } from "../../core/errors.ts";

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");
const page = read("docs/operations.md");

test("the page for operators says of each failure that isn't a client's mistake what to do", () => {
  const codes = Object.entries(errorTable)
    .filter(([, { status }]) => status >= 499)
    .map(([code]) => code);
  expect(codes.filter((code) => !page.includes(`\`${code}\``))).toEqual([]);
});

test("the page for operators names nothing that does not exist", () => {
  const names = [...page.matchAll(/`([A-Z][A-Z_]{3,})/g)].map(([, name = ""]) => name);
  const known = new Set([...settingNames, "HTTPS_PROXY"]);
  expect(names.filter((name) => !known.has(name))).toEqual([]);
  const codes = [...page.matchAll(/`((?:upstream|session|internal|rate|request|api|client)_\w+)`/g)];
  expect(codes.map(([, code = ""]) => code).filter((code) => !(code in errorTable))).toEqual([]);
  const { scripts } = JSON.parse(read("package.json"));
  const commands = [...page.matchAll(/npm run ([\w:-]+)/g)].map(([, name = ""]) => name);
  expect(commands.filter((name) => !(name in scripts))).toEqual([]);
});
