import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";

const root = join(import.meta.dir, "..");

const sourcesIn = (folder: string): string[] =>
  readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return sourcesIn(path);
    return entry.name.endsWith(".ts") ? [path] : [];
  });

const scanner = new Bun.Transpiler({ loader: "ts" });

/** What a file imports, types included: relative ones as paths from the root. */
const importsOf = (file: string): string[] => {
  const source = readFileSync(join(root, file), "utf8").replace(/^#!.*/, "");
  const declarations = source.matchAll(/^(?:import|export)\s[^"';]*?from\s*["']([^"']+)["']/gm);
  const specifiers = [...declarations].map((match) => match[1] as string);
  // The transpiler sees what the pattern above could miss, but no types.
  for (const { path } of scanner.scanImports(source)) if (!specifiers.includes(path)) specifiers.push(path);
  return specifiers.map((specifier) =>
    specifier.startsWith(".") ? relative(root, join(root, dirname(file), specifier)) : specifier,
  );
};

/** What everything may use: the seams and the errors, which import nothing, and small pure helpers. */
const ground = ["core/types.ts", "core/errors.ts", "core/util/"];

/**
 * Who may import whom, from the ground up: the first rule that fits the file counts. What ends in "/" is a folder, and
 * "**" before a file's name stands for any folder. A folder may always import from itself.
 */
const rules: readonly { readonly of: string; readonly may: readonly string[] }[] = [
  { of: "core/types.ts", may: ["core/types/"] },
  { of: "core/types/", may: ["core/errors.ts"] },
  { of: "core/errors.ts", may: [] },
  { of: "core/util/", may: ["core/types.ts", "core/errors.ts", "@noble/hashes/", "lru-cache"] },
  // Settings belong to the plug-in that reads them; core/config/ puts them together and knows nothing else of it.
  {
    of: "**/settings.ts",
    may: [
      ...ground,
      "core/config/values.ts",
      "core/config/entry-problem.ts",
      "core/config/version.ts",
      // Of chat sites, most of what is set is a preset.
      "**/wordpress-chat/preset.ts",
      "**/presets/presets.ts",
      "valibot",
    ],
  },
  { of: "core/providers/wordpress-chat/preset.ts", may: ["valibot"] },
  { of: "core/config/", may: [...ground, "**/settings.ts", "core/operations/log.ts", "valibot"] },
  { of: "core/dialects/", may: [...ground, "core/http/sse.ts", "valibot"] },
  { of: "core/providers/shared/", may: ground },
  {
    of: "core/providers/wordpress-chat/",
    may: [
      ...ground,
      "core/providers/shared/",
      "cookie",
      "eventsource-parser",
      "@cfworker/json-schema",
      "jsonrepair",
    ],
  },
  {
    of: "core/providers/openai-compatible/",
    may: [...ground, "core/providers/shared/", "eventsource-parser"],
  },
  { of: "core/stores/", may: [...ground, "lru-cache"] },
  { of: "core/operations/", may: ground },
  { of: "core/routing/", may: [...ground, "core/conversations/transcript.ts", "lru-cache"] },
  { of: "core/conversations/", may: [...ground, "core/dialects/shared/", "lru-cache"] },
  {
    of: "core/chat/",
    may: [
      ...ground,
      "core/conversations/",
      "core/routing/",
      "core/http/access.ts",
      "core/http/body-budget.ts",
      "core/http/rate-limit.ts",
      "core/http/read-body.ts",
      "core/http/sse.ts",
    ],
  },
  {
    of: "core/http/",
    may: [
      ...ground,
      "core/chat/",
      "core/conversations/",
      "core/operations/",
      "core/routing/",
      "core/stores/watch-store.ts",
      "itty-router",
    ],
  },
  { of: "core/gateway.ts", may: ["core/"] },
  {
    of: "handler.ts",
    may: ["core/", "adapters/runtime.ts", "adapters/self-configuring.ts", "web/pages.generated.ts"],
  },
  // What runs in a browser knows of the gateway nothing but types and the names of errors.
  { of: "web/pages.generated.ts", may: ["core/http/pages.ts"] },
  // What its texts for people import.
  { of: "web/connect/recipes.ts", may: ["web/shared/", "openai", "ai", "@ai-sdk/openai-compatible"] },
  {
    of: "web/",
    may: [
      "core/errors.ts",
      "eventsource-parser",
      "streaming-markdown",
      "sugar-high/core",
      "sugar-high/lang/",
    ],
  },
  { of: "adapters/self-configuring.ts", may: ["core/", "adapters/runtime.ts", "web/pages.generated.ts"] },
  { of: "adapters/runtime.ts", may: ["core/types.ts", "core/config/"] },
  { of: "adapters/doctor/", may: ["core/", "adapters/", "node:"] },
  {
    of: "adapters/",
    may: [
      "core/config/",
      "core/errors.ts",
      "core/gateway.ts",
      "core/http/router.ts",
      "core/http/keep-work-alive.ts",
      "core/operations/log.ts",
      "core/stores/",
      "core/types.ts",
      "core/util/",
      "srvx/node",
      "undici",
      "redis",
      "@deno/kv",
      "bun:sqlite",
      "node:",
    ],
  },
];

const fits = (path: string, place: string): boolean => {
  if (place.startsWith("**")) return path.endsWith(place.slice(2));
  return /[:/]$/.test(place) ? path.startsWith(place) : path === place;
};

const files = ["handler.ts", ...sourcesIn("core"), ...sourcesIn("adapters"), ...sourcesIn("web")];

test.each(files)("%s imports only what its place allows", (file) => {
  const rule = rules.find(({ of }) => fits(file, of));
  expect(rule).toBeDefined();
  const allowed = [...(rule?.may ?? []), ...(rule?.of.endsWith("/") ? [rule.of] : [])];
  const isAllowed = (path: string) => allowed.some((place) => fits(path, place));
  expect(importsOf(file).filter((path) => !isAllowed(path))).toEqual([]);
});

test.each(files.filter((file) => !/^(adapters|web)\//.test(file)))("%s names no platform", (file) => {
  const code = new Bun.Transpiler({ loader: "ts" }).transformSync(readFileSync(join(root, file), "utf8"));
  expect(code.match(/\b(Bun|Deno|process)\.[a-z]|\bnode:/g)).toBeNull();
});

test("no file imports itself by way of others", () => {
  const circles: string[] = [];
  const done = new Set<string>();
  const visit = (file: string, way: readonly string[]) => {
    if (way.includes(file)) circles.push([...way.slice(way.indexOf(file)), file].join(" → "));
    if (way.includes(file) || done.has(file) || !files.includes(file)) return;
    for (const imported of importsOf(file)) visit(imported, [...way, file]);
    done.add(file);
  };
  for (const file of files) visit(file, []);
  expect(circles).toEqual([]);
});
