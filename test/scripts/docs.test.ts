import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { parseConfig, settingNames } from "../../core/config/config.ts";
import { errorTable } from "../../core/errors.ts";
import { documentedSettings, documents, withTables } from "../../scripts/docs.ts";

const settings = documentedSettings();

describe(".env.example", () => {
  test("has every setting once, with what it is, and no other", () => {
    expect(settings.map(({ name }) => name).sort()).toEqual([...settingNames].sort());
    expect(settings.filter(({ group, meaning }) => group === "" || meaning === "")).toEqual([]);
  });

  test("shows the real defaults", () => {
    const environment = Object.fromEntries(settings.map(({ name, defaultValue }) => [name, defaultValue]));
    expect(parseConfig(environment)).toEqual(parseConfig({}));
  });
});

test.each(documents())("the tables of %s are as `npm run docs` writes them", (path) => {
  const text = readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");
  expect(text).toBe(withTables(text));
});

test("docs/errors.md has every error's code", () => {
  const text = readFileSync(new URL("../../docs/errors.md", import.meta.url), "utf8");
  const cells = text.split("\n").map((line) => line.split("|")[1]?.trim());
  for (const code of Object.keys(errorTable)) expect(cells).toContain(`\`${code}\``);
});
