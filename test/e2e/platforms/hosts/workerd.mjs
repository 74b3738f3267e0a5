/**
 * A Worker in workerd, as Cloudflare runs it: `node workerd.mjs WORKER.js [--objects] [--registry FOLDER] [--pasted]`. The
 * Worker's variables are this process's environment. With `--objects` it has Durable Objects, as wrangler.jsonc binds
 * them: its own, or, with a registry, those of the process that hosts them there (durable-objects.mjs). With `--pasted` it has
 * what Cloudflare gives a Worker by itself, in place of wrangler.jsonc.
 */
import { dirname } from "node:path";
import { parseArgs } from "node:util";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";
import { objectsScript, pastedOptions, workerOptions } from "./worker-options.mjs";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    objects: { type: "boolean" },
    registry: { type: "string" },
    pasted: { type: "boolean" },
  },
});
const { objects, registry, pasted } = values;
const [scriptPath] = positionals;
const { HOST: host = "127.0.0.1", PORT: port = "0", ...bindings } = process.env;

const conversations = {
  className: "Conversations",
  useSQLite: true,
  ...(registry && { scriptName: objectsScript }),
};

const miniflare = new Miniflare(
  convertV4MiniflareOptions({
    host,
    port: Number(port),
    scriptPath,
    modulesRoot: dirname(scriptPath),
    bindings,
    ...(pasted ? pastedOptions : workerOptions),
    ...(objects && { durableObjects: { CONVERSATIONS: conversations } }),
    ...(registry && { name: `gateway-${process.pid}`, unsafeDevRegistryPath: registry }),
  }),
);
console.log(`workerd listens on ${(await miniflare.ready).origin}`);

const end = async () => {
  await miniflare.dispose();
  process.exit(0);
};
process.on("SIGTERM", end);
process.on("SIGINT", end);
