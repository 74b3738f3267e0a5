/**
 * A Worker in workerd, as Cloudflare runs it: `node workerd.mjs WORKER.js`. The Worker's variables are this process's
 * environment.
 */
import { dirname } from "node:path";
import { Miniflare } from "miniflare";

const scriptPath = process.argv[2];
const { HOST: host = "127.0.0.1", PORT: port = "0", ...bindings } = process.env;

const miniflare = new Miniflare({
  host,
  port: Number(port),
  modules: true,
  scriptPath,
  modulesRoot: dirname(scriptPath),
  bindings,
  compatibilityDate: "2026-04-01",
  compatibilityFlags: ["enable_request_signal"],
});
console.log(`workerd listens on ${(await miniflare.ready).origin}`);

const end = async () => {
  await miniflare.dispose();
  process.exit(0);
};
process.on("SIGTERM", end);
process.on("SIGINT", end);
