/** Every event that the sources log is named `noun.verb`, and docs/observability.md says what it means. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dir, "../..");
const page = readFileSync(join(root, "docs/observability.md"), "utf8");

interface LoggedEvent {
  readonly event: string;
  readonly level: string;
}

const eventsIn = (source: string): LoggedEvent[] =>
  [...source.matchAll(/\blog\??\.(debug|info|warn|error)\(\s*"([^"]*)"/g)].map(
    ([, level = "", event = ""]) => ({ event, level }),
  );

const logged = [...new Bun.Glob("{core,adapters}/**/*.ts").scanSync(root)].flatMap((path) =>
  eventsIn(readFileSync(join(root, path), "utf8")),
);

const listed = [...page.matchAll(/^\| `(\w+\.\w+)` +\| (debug|info|warn|error) /gm)].map(
  ([, event = "", level = ""]) => ({ event, level }),
);

describe("log events", () => {
  test("are named noun.verb", () => {
    expect(logged.length).toBeGreaterThan(10);
    expect(logged.filter(({ event }) => !/^[a-z]+\.[a-z]+(_[a-z]+)*$/.test(event))).toEqual([]);
  });

  test("are all listed in docs/observability.md with their level, and no others", () => {
    const line = ({ event, level }: LoggedEvent) => `${event} ${level}`;
    const expected = new Set(logged.map(line));
    expect(listed.map(line).sort()).toEqual([...expected].sort());
  });
});
