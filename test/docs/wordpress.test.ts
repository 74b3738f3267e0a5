/** What docs/wordpress.md shows is accepted, and it has every preset and every part of one. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseEnv } from "node:util";
import { parseConfig } from "../../core/config/config.ts";
import { presetEntries } from "../../core/providers/wordpress-chat/preset.ts";
import { presets } from "../../core/providers/wordpress-chat/presets/presets.ts";
import { typeErrors } from "../support/type-check.ts";

const page = readFileSync(join(import.meta.dir, "../../docs/wordpress.md"), "utf8");
const blocks = (language: string): string[] =>
  [...page.matchAll(new RegExp(`\`\`\`${language}\\n(.*?)\`\`\``, "gs"))].map(([, code = ""]) => code);

/** The first column of the table whose head begins so. */
const named = (head: string): string[] => {
  const [, table = ""] = new RegExp(`\\| ${head} +\\|.*?\\n(.*?)\\n\\n`, "s").exec(page) ?? [];
  return [...table.matchAll(/^\| `([\w-]+)` +\|/gm)].map(([, name = ""]) => name);
};

describe("docs/wordpress.md", () => {
  test.each(blocks("ini"))("shows settings that a gateway takes: %s", (example) => {
    const config = parseConfig(parseEnv(example));
    expect(config.warnings).toEqual([]);
    expect(config.site ?? config.upstreams[0]).toMatchObject({ kind: "wordpress-chat" });
  });

  test("its program is well-typed", () => {
    const files = Object.fromEntries(blocks("ts").map((code, at) => [`example-${at}.ts`, code]));
    expect(Object.keys(files)).toHaveLength(1);
    expect(typeErrors({ files })).toBe("");
  });

  test("has every preset, and no other", () => expect(named("preset")).toEqual(Object.keys(presets)));

  test("has every part of a preset, and no other", () => {
    expect(named("part").sort()).toEqual(["preset", ...Object.keys(presetEntries)].sort());
  });

  test("has every part of a nonce and of a stream", () => {
    expect(named("of `nonce`")).toEqual(["in", "route", "path", "field", "header", "refused"]);
    expect(named("of `stream`")).toEqual(["type", "delta", "end", "error", "text"]);
  });
});
