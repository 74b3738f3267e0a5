import { afterAll } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { acrossProcesses } from "./across-processes.ts";

const folder = await mkdtemp(join(tmpdir(), "sqlite-"));
afterAll(() => rm(folder, { recursive: true, force: true }));

await acrossProcesses("three Bun processes on one SQLite file", {
  count: 3,
  env: { DATA_DIR: folder },
  turns: 60,
  conversations: 10,
});
