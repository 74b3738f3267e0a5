import { afterAll } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { acrossProcesses } from "./across-processes.ts";

const folder = await mkdtemp(join(tmpdir(), "deno-kv-"));
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Deno itself: the script of that name in node_modules/.bin would not pass signals on. */
const deno = join(import.meta.dir, "../../../node_modules/deno/deno");

await acrossProcesses("two Deno processes on one Deno KV file", {
  count: 2,
  command: [deno, "run", "-A", "adapters/deno.ts"],
  env: { SESSION_STORE: "deno-kv", DENO_KV_PATH: join(folder, "sessions.db"), DENO_NO_UPDATE_CHECK: "1" },
  turns: 60,
  conversations: 10,
});
