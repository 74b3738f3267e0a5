/**
 * A Worker in workerd, as Cloudflare runs it: `node workerd.mjs WORKER.js [--objects [FOLDER]]`. The Worker's variables are this
 * process's environment. With `--objects` it has Durable Objects, as wrangler.jsonc binds them: its own, or, with a
 * folder, those of the process that hosts them there (durable-objects.mjs).
 */
import { dirname } from "node:path";
import { Miniflare } from "miniflare";
import { objectsScript, workerOptions } from "./worker-options.mjs";

const [scriptPath, objects, registry] = process.argv.slice(2);
const { HOST: host = "127.0.0.1", PORT: port = "0", ...bindings } = process.env;

const conversations = {
  className: "Conversations",
  useSQLite: true,
  ...(registry && { scriptName: objectsScript }),
};

const miniflare = new Miniflare({
  host,
  port: Number(port),
  scriptPath,
  modulesRoot: dirname(scriptPath),
  bindings,
  ...workerOptions,
  ...(objects && { durableObjects: { CONVERSATIONS: conversations } }),
  ...(registry && { name: `gateway-${process.pid}`, unsafeDevRegistryPath: registry }),
});
console.log(`workerd listens on ${(await miniflare.ready).origin}`);

const end = async () => {
  await miniflare.dispose();
  process.exit(0);
};
process.on("SIGTERM", end);
process.on("SIGINT", end);
