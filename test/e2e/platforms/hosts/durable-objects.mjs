/**
 * The Durable Objects of a Worker, for others to use: `node durable-objects.mjs WORKER.js FOLDER`. Other processes' Workers
 * bind them by way of the folder; a test reaches the object of a name over HTTP, as `/?name=NAME`,
 * and counts what it holds at `/entries?name=NAME`.
 */
import { basename, dirname, join } from "node:path";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";
import { objectsScript, workerOptions } from "./worker-options.mjs";

const [scriptPath, registry] = process.argv.slice(2);

const durableObjects = {
  CONVERSATIONS: { className: "Conversations", scriptName: objectsScript, useSQLite: true },
};

const byName = `export default {
  fetch(request, { CONVERSATIONS }) {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === "/health") return new Response("ok");
    return CONVERSATIONS.get(CONVERSATIONS.idFromName(searchParams.get("name"))).fetch(request);
  },
};`;

/** The class that is shipped, with a window. */
const withWindow = `import { Conversations as Shipped } from "./${basename(scriptPath)}";
export { default } from "./${basename(scriptPath)}";
export class Conversations extends Shipped {
  constructor(state) {
    super(state);
    this.state = state;
  }
  fetch(request) {
    if (new URL(request.url).pathname !== "/entries") return super.fetch(request);
    return new Response([...this.state.storage.kv.list()].length);
  }
}`;

const miniflare = new Miniflare(
  convertV4MiniflareOptions({
    host: "127.0.0.1",
    port: 0,
    unsafeDevRegistryPath: registry,
    workers: [
      {
        ...workerOptions,
        name: "by-name",
        modules: [{ type: "ESModule", path: "by-name.mjs", contents: byName }],
        durableObjects,
      },
      {
        ...workerOptions,
        name: objectsScript,
        modulesRoot: dirname(scriptPath),
        modules: [
          { type: "ESModule", path: join(dirname(scriptPath), "with-window.mjs"), contents: withWindow },
          { type: "ESModule", path: scriptPath },
        ],
        durableObjects,
      },
    ],
  }),
);
console.log(`workerd listens on ${(await miniflare.ready).origin}`);

const end = async () => {
  await miniflare.dispose();
  process.exit(0);
};
process.on("SIGTERM", end);
process.on("SIGINT", end);
