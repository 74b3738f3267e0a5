/**
 * Vercel's router in front of what `vercel build` made: `node vercel-output.mjs .vercel/output`, or the same with bun.
 * https://vercel.com/docs/build-output-api/configuration#routes
 */
import { existsSync, readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";

const output = resolve(process.argv[2] ?? ".vercel/output");
const readJson = (path) => JSON.parse(readFileSync(path, "utf8"));
const { routes } = readJson(join(output, "config.json"));

const functionFor = (path) =>
  [path, `${path}/index`]
    .map((name) => join(output, "functions", `${name}.func`))
    .find((folder) => existsSync(join(folder, ".vc-config.json")));

const loaded = new Map();
const load = (folder) => {
  if (!loaded.has(folder)) {
    const { handler, entrypoint } = readJson(join(folder, ".vc-config.json"));
    loaded.set(folder, import(pathToFileURL(join(folder, handler ?? entrypoint)).href));
  }
  return loaded.get(folder);
};

async function fetch(request) {
  const path = decodeURIComponent(new URL(request.url).pathname);
  const file = join(output, "static", path);
  if (path !== "/" && existsSync(file) && statSync(file).isFile()) return new Response(readFileSync(file));
  const rewritten = routes.find(({ src, dest }) => dest && new RegExp(src).test(path))?.dest;
  const folder = functionFor(path) ?? (rewritten && functionFor(rewritten));
  if (!folder) return new Response("NOT_FOUND", { status: 404 });
  const { default: exported } = await load(folder);
  return (exported.fetch ?? exported)(request);
}

const { serve } = await import(globalThis.Bun ? "srvx/bun" : "srvx/node");
const { HOST: hostname = "127.0.0.1", PORT: port = "0" } = process.env;
const server = serve({
  hostname,
  port,
  fetch,
  silent: true,
  gracefulShutdown: false,
  bun: { idleTimeout: 0 },
});
await server.ready();
console.log(`Vercel's output listens on ${server.url}`);
