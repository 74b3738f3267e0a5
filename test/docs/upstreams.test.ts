/** What docs/upstreams.md shows is accepted, and what it lists is all there is. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseEnv } from "node:util";
import { parseConfig } from "../../core/config/config.ts";
import { errorTable } from "../../core/errors.ts";

import { mendNames } from "../recordings/mends.ts";
import { recordings } from "../recordings/vendors.ts";

const page = readFileSync(join(import.meta.dir, "../../docs/upstreams.md"), "utf8");
const examples = [...page.matchAll(/```ini\n(.*?)```/gs)].map(([, example = ""]) => example);

describe("docs/upstreams.md", () => {
  test.each(examples)("shows settings that a gateway takes: %s", (example) => {
    const config = parseConfig(parseEnv(example.replaceAll("…", "0123")));
    expect(JSON.stringify(config.upstreams)).not.toContain("$");
    const names = ["kimi-web", ...config.upstreams.map(({ name }) => name)];
    const targets = [...Object.values(config.modelFallbacks).flat(), ...Object.values(config.modelAliases)];
    for (const target of targets) {
      if (target.includes("/")) expect(names).toContain(target.slice(0, target.indexOf("/")));
      else expect(config.site?.models.map(({ id }) => id)).toContain(target);
    }
  });

  test("names every failure that a fallback mends, and no other", () => {
    const [, list = ""] = /failures that another could mend\*\*:(.*?);/s.exec(page) ?? [];
    const named = [...list.matchAll(/`(\w+)`/g)].map(([, code]) => code);
    const mended = Object.entries(errorTable).flatMap(([code, row]) => (row.fallback ? [code] : []));
    expect(named.sort()).toEqual(mended.sort());
  });

  test("lists what is mended of an answer, as the recordings have it", () => {
    const [, table = ""] = /### What is mended(.*?)\n## /s.exec(page) ?? [];
    const named = [...table.matchAll(/^\| `([\w-]+)` +\|/gm)].map(([, name]) => name);
    expect(named).toEqual([...mendNames]);
    expect(table).toContain(`${recordings.length} shapes`.replaceAll("\n", " "));
  });

  test("lists every field of an upstream", () => {
    const [before = ""] = page.split("### What is mended");
    const fields = [...before.matchAll(/^\| `(\w+)` +\|/gm)].map(([, field]) => field);
    const known = [
      "name",
      "baseUrl",
      "apiKey",
      "models",
      "headers",
      "contextMaxTokens",
      "streamUsage",
      "completions",
      "responses",
      "maxConcurrency",
    ];
    expect(fields.filter((field) => !field?.startsWith("x"))).toEqual(known);
    const upstream = {
      name: "a",
      baseUrl: "http://a/v1",
      apiKey: "k",
      models: "*",
      headers: {},
      contextMaxTokens: 1,
      streamUsage: false,
      completions: true,
      responses: true,
      maxConcurrency: 1,
    };
    expect(Object.keys(upstream)).toEqual(known);
    const [parsed] = parseConfig({ PROVIDERS: JSON.stringify([upstream]) }).upstreams;
    expect(parsed).toEqual(upstream as never);
  });
});
