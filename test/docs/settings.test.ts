/** docs/settings.md has every setting, with its real default and bounds, and examples that a server takes. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { parseEnv } from "node:util";
import { parseConfig, settingNames } from "../../core/config/config.ts";
import { documentedSettings } from "../../scripts/docs.ts";

const page = readFileSync(new URL("../../docs/settings.md", import.meta.url), "utf8");

/** Each setting's entry: a paragraph that begins with its name. */
const entries = page.split(/\n\n/).flatMap((paragraph) => {
  const [, name] = /^\*\*`([A-Z_]+)`\*\*/.exec(paragraph) ?? [];
  return name === undefined ? [] : [{ name, text: paragraph.replaceAll("\n", " ") }];
});

const isAccepted = (environment: Record<string, string>): boolean => {
  try {
    parseConfig(environment);
    return true;
  } catch {
    return false;
  }
};

describe("docs/settings.md", () => {
  test("has every setting once, and no other", () => {
    expect(entries.map(({ name }) => name).sort()).toEqual([...settingNames].sort());
  });

  test("tells the defaults that .env.example shows", () => {
    const told = entries.map(({ name, text }) => {
      const [, value] = /Default `([^`]*)`/.exec(text) ?? [];
      const isUnset = text.includes("Not set by default");
      expect({ name, tellsOneDefault: (value !== undefined) !== isUnset }).toEqual({
        name,
        tellsOneDefault: true,
      });
      return [name, value ?? ""];
    });
    const shown = documentedSettings().map(({ name, defaultValue }) => [name, defaultValue]);
    expect(Object.fromEntries(told)).toEqual(Object.fromEntries(shown));
  });

  test.each(entries.filter(({ text }) => / from \d+ to \d+/.test(text)))(
    "tells the bounds of $name",
    (entry) => {
      const { name, text } = entry;
      const [, min, max] = (/ from (\d+) to (\d+)/.exec(text) ?? []).map(Number) as [number, number, number];
      const accepted = [min - 1, min, max, max + 1].map((value) => isAccepted({ [name]: String(value) }));
      expect(accepted).toEqual([false, true, true, false]);
    },
  );

  test("tells bounds wherever .env.example does, and the same", () => {
    const boundsIn = (text: string) => /(\d+) to (\d+)/.exec(text)?.slice(1, 3).join(" to ");
    for (const { name, meaning } of documentedSettings()) {
      const { text = "" } = entries.find((entry) => entry.name === name) ?? {};
      expect({ name, bounds: boundsIn(text) }).toEqual({ name, bounds: boundsIn(meaning) });
    }
  });

  const examples = [...page.matchAll(/```ini\n(.*?)```/gs)].map(([, example = ""]) => example);

  test.each(examples)("shows settings that a server takes, without a warning: %s", (example) => {
    const environment = parseEnv(example.replaceAll("…", "0123")) as Record<string, string>;
    expect(parseConfig(environment).warnings).toEqual([]);
  });
});
