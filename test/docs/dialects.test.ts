/** docs/dialects.md names routes that there are; the settings of docs/clients/ are taken by a gateway. */
import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseEnv } from "node:util";
import { parseConfig } from "../../core/config/config.ts";
import * as face from "../../handler.ts";
import { testHandler } from "../support/test-handler.ts";

const docs = join(import.meta.dir, "../../docs");
const page = readFileSync(join(docs, "dialects.md"), "utf8");

describe("docs/dialects.md", () => {
  const routes = [...page.matchAll(/`(GET|POST) (\/[\w/]+)`/g)].map(([, method = "", path = ""]) => ({
    method,
    path,
  }));

  test.each(routes)("has a route that there is: $method $path", async ({ method, path }) => {
    const { send } = testHandler();
    const response = await send(path, { method, ...(method === "POST" && { body: "{}" }) });
    // A model that is not named is not found; a route that is not there says so.
    expect(await response.text()).not.toContain("There is no such route");
    expect(response.status).not.toBe(405);
  });

  test("names every dialect by what the package calls it", () => {
    const [, list = ""] = /dialects: \[…\] \}\)` serves some of them only: (.*?)\./s.exec(page) ?? [];
    const named = [...list.matchAll(/`(\w+)`/g)].map(([, name = ""]) => name);
    const dialects = Object.entries(face).filter(([, value]) => "encodeError" in value);
    expect(named.sort()).toEqual(dialects.map(([name]) => name).sort());
  });
});

const pages = readdirSync(join(docs, "clients")).flatMap((file) => {
  const text = readFileSync(join(docs, "clients", file), "utf8");
  return [...text.matchAll(/```ini\n(.*?)```/gs)].map(([, example = ""]) => ({ file, example }));
});

test.each(pages)("$file shows settings that a gateway takes: $example", ({ example }) => {
  const config = parseConfig(parseEnv(example.replaceAll("…", "0123456789")));
  expect(config.warnings).toEqual([]);
});

describe("docs/clients/", () => {
  const names = readdirSync(join(docs, "clients")).filter((name) => name !== "README.md");
  const list = readFileSync(join(docs, "clients/README.md"), "utf8");

  test.each(names)("%s is listed and ends with whether it was tried", (name) => {
    expect(list).toContain(`](${name})`);
    const last =
      readFileSync(join(docs, "clients", name), "utf8")
        .trimEnd()
        .split("\n")
        .at(-1) ?? "";
    expect(last).toMatch(/^_(Tried|Not tried)\b.*\._$/);
    for (const [, file = ""] of last.matchAll(/`(test\/[^`]*)`/g)) {
      expect(existsSync(join(docs, "..", file))).toBe(true);
    }
  });
});
