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

const seams = ["core/types.ts", "core/errors.ts", "core/messages.ts", "core/sse.ts", "core/tokens.ts"];

/** Who may import whom: the first rule whose folder holds the file counts. What does not end in ".ts" is a prefix. */
const rules: readonly { readonly of: string; readonly may: readonly string[] }[] = [
  { of: "core/types.ts", may: [] },
  { of: "core/errors.ts", may: [] },
  { of: "core/tokens.ts", may: [] },
  { of: "core/messages.ts", may: ["core/types.ts"] },
  { of: "core/json-depth.ts", may: [] },
  { of: "core/dialects/", may: [...seams, "valibot"] },
  {
    of: "core/providers/kimi-web/",
    may: [
      ...seams,
      "core/clock.ts",
      "core/providers/kimi-web/",
      "core/providers/in-one-piece.ts",
      "core/providers/shared-task.ts",
      "core/providers/upstream-http.ts",
      "cookie",
    ],
  },
  {
    of: "core/providers/",
    may: [
      ...seams,
      "core/clock.ts",
      "core/json-depth.ts",
      "core/providers/openai-compatible/",
      "core/providers/in-one-piece.ts",
      "core/providers/shared-task.ts",
      "core/providers/upstream-http.ts",
      "eventsource-parser",
    ],
  },
  { of: "core/stores/open-store.ts", may: [...seams, "core/stores/"] },
  {
    of: "core/stores/",
    may: [...seams, "core/stores/redis-commands.ts", "core/stores/within.ts"],
  },
  { of: "core/router.ts", may: ["core/", "itty-router"] },
  { of: "core/config", may: ["core/", "valibot"] },
  { of: "core/", may: ["core/"] },
  { of: "handler.ts", may: ["core/"] },
  { of: "adapters/doctor/", may: ["handler.ts", "core/", "adapters/", "node:"] },
  {
    of: "adapters/",
    may: [
      "handler.ts",
      "adapters/",
      "core/config.ts",
      "core/stores/",
      "core/environment.ts",
      "core/log.ts",
      "core/types.ts",
      "srvx/node",
      "undici",
      "redis",
      "@deno/kv",
      "node:",
    ],
  },
];

/** In core/ itself, outside their own folders, nobody knows a concrete dialect, provider or store. */
const isPlugIn = (path: string) => /^core\/(dialects|providers|stores)\//.test(path);

const files = ["handler.ts", ...sourcesIn("core"), ...sourcesIn("adapters")];

test.each(files)("%s imports only what its place allows", (file) => {
  const rule = rules.find(({ of }) => (of.endsWith(".ts") ? file === of : file.startsWith(of)));
  expect(rule).toBeDefined();
  const isAllowed = (path: string) =>
    rule?.may.some((allowed) => (/[:/]$/.test(allowed) ? path.startsWith(allowed) : path === allowed)) &&
    (!isPlugIn(path) || isPlugIn(file) || !file.startsWith("core/"));
  expect(importsOf(file).filter((path) => !isAllowed(path))).toEqual([]);
});

test.each(files.filter((file) => !file.startsWith("adapters/") && file !== "core/environment.ts"))(
  "%s names no platform",
  (file) => {
    const code = new Bun.Transpiler({ loader: "ts" }).transformSync(readFileSync(join(root, file), "utf8"));
    expect(code.match(/\b(Bun|Deno|process)\.[a-z]|\bnode:/g)).toBeNull();
  },
);
