/**
 * `npm start` where Bun is missing. It is a development dependency, and npm leaves those out when NODE_ENV is production.
 * Plain JavaScript, so that an old Node can at least say what it lacks.
 */
import { existsSync } from "node:fs";
import process from "node:process";

const reason = "Bun is not installed (npm leaves it out when NODE_ENV is production)";
const built = new URL("../dist/lib/adapters/node.js", import.meta.url);
const server = process.features.typescript ? new URL("node.ts", import.meta.url) : built;

if (server === built && !existsSync(built)) {
  console.error(`${reason}, and Node ${process.version} can't run the sources.
Either install Bun too (npm install --include=dev), or take Node 22.18 or later, or npx kimi-ai-2api.`);
  process.exitCode = 1;
} else {
  console.error(`${reason}, so Node ${process.version} runs the server.`);
  await import(server.href);
}
