/**
 * Makes what is published and deployed without sources:
 *
 *     bun scripts/build.ts [library] [single-file] [server] [program]
 *
 * dist/lib is the package for npm (Node runs no TypeScript there), dist/handler.js the gateway in one module without
 * imports, dist/handler-with-pages.js the same with the pages for people, dist/server what the Docker image runs, dist/kimi-ai-2api the gateway in one program, Bun included. Without
 * arguments all four are made.
 */
import { mkdir, rm } from "node:fs/promises";
import { join, relative } from "node:path";

const root = join(import.meta.dir, "..");
const dist = join(root, "dist");
const singleFile = join(dist, "handler.js");
const singleFileWithPages = join(dist, "handler-with-pages.js");
const program = join(dist, process.platform === "win32" ? "kimi-ai-2api.exe" : "kimi-ai-2api");

/**
 * For dist/handler.js, libraries included (71 KB of it: @cfworker/json-schema 23, lru-cache 18, valibot 12,
 * jsonrepair 8, cookie 4, eventsource-parser 3, itty-router 1). What counts is the time of a cold start; this only
 * notices what was added by mistake.
 * docs/deploy/single-file.md tells what the rest is.
 */
const budget = { minifiedBytes: 384 * 1024, gzippedBytes: 139 * 1024 };

/** One module without imports; returns its sizes. */
async function buildModule(path: string, plugins: Bun.BunPlugin[]) {
  const name = relative(root, path);
  // For browsers, as other targets keep imports of modules that Workers don't have.
  const { outputs } = await Bun.build({
    entrypoints: [join(root, "handler.ts")],
    target: "browser",
    minify: true,
    plugins,
  });
  const code = (await outputs[0]?.text()) ?? "";
  const imports = new Bun.Transpiler({ loader: "js" }).scanImports(code).map(({ path }) => path);
  if (imports.length > 0) throw new Error(`${name} imports ${imports.join(", ")}`);
  await Bun.write(path, code);
  const minifiedBytes = Buffer.byteLength(code);
  const gzippedBytes = Bun.gzipSync(code, { level: 9 }).length;
  console.log(`${name.padEnd(26)}${kilobytes(minifiedBytes)} minified, ${kilobytes(gzippedBytes)} gzipped`);
  return { minifiedBytes, gzippedBytes };
}

const kilobytes = (bytes: number) => `${(bytes / 1024).toFixed(1)} KB`;

async function buildLibrary() {
  await rm(join(dist, "lib"), { recursive: true, force: true });
  await Bun.$`tsc -p scripts`.cwd(root);
  let bytes = 0;
  for (const path of new Bun.Glob("lib/**/*.js").scanSync(dist)) bytes += Bun.file(join(dist, path)).size;
  console.log(`dist/lib            ${kilobytes(bytes)}`);
}

/** Has a build take a small page without a script for the pages for people. */
const smallPages: Bun.BunPlugin = {
  name: "small pages",
  setup(build) {
    build.onLoad({ filter: /pages\.generated\.ts$/ }, async () => {
      const { smallPagesModule } = await import("./build-pages.ts");
      return { contents: await smallPagesModule(), loader: "ts" };
    });
  },
};

async function buildSingleFile() {
  const { minifiedBytes, gzippedBytes } = await buildModule(singleFile, [smallPages]);
  await buildModule(singleFileWithPages, []);
  if (minifiedBytes > budget.minifiedBytes || gzippedBytes > budget.gzippedBytes) {
    const { minifiedBytes: minified, gzippedBytes: gzipped } = budget;
    console.error(
      `dist/handler.js is over its budget of ${kilobytes(minified)}, ${kilobytes(gzipped)} gzipped`,
    );
    process.exitCode = 1;
  }
}

/** Loaded by Node alone, or with a native part. */
const external = ["redis", "undici", "@deno/kv"];

/**
 * The server in one file for Bun, and the doctor in another. Compiled ahead for the Bun that builds it, the server
 * starts twice as fast as from its sources; its map lets the log name them.
 */
async function buildServer() {
  const outdir = join(dist, "server");
  await rm(outdir, { recursive: true, force: true });
  const common = { target: "bun", external, outdir } as const;
  await Bun.build({
    ...common,
    entrypoints: [join(root, "adapters/bun.ts")],
    format: "cjs",
    bytecode: true,
    sourcemap: "linked",
  });
  await Bun.build({ ...common, entrypoints: [join(root, "adapters/doctor/doctor.ts")] });
  console.log(`dist/server         ${kilobytes(Bun.file(join(outdir, "bun.js")).size)}, and compiled`);
}

async function buildProgram() {
  await Bun.build({
    entrypoints: [join(root, "adapters/cli.ts")],
    compile: { outfile: program },
    // Compiled ahead it is 3 MB larger and starts twice as fast.
    format: "esm",
    bytecode: true,
    minify: true,
    external,
  });
  console.log(`dist/kimi-ai-2api   ${kilobytes(Bun.file(program).size)}, Bun included`);
}

const steps: Readonly<Record<string, () => Promise<void>>> = {
  library: buildLibrary,
  "single-file": buildSingleFile,
  server: buildServer,
  program: buildProgram,
};
const asked = process.argv.slice(2);

await mkdir(dist, { recursive: true });
for (const name of asked.length > 0 ? asked : Object.keys(steps)) {
  const step = steps[name];
  if (step === undefined)
    throw new Error(`There is no step ${name}; there are ${Object.keys(steps).join(", ")}.`);
  await step();
}
