import { existsSync } from "node:fs";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../../../..", import.meta.url));

/** Runs a command to its end; throws with all it has said when it fails. */
export async function run(
  command: readonly string[],
  { cwd = root, env = {} }: { cwd?: string; env?: Readonly<Record<string, string>> } = {},
): Promise<string> {
  const child = Bun.spawn([...command], {
    cwd,
    env: { ...process.env, ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (code !== 0) throw new Error(`${command.join(" ")} ended with ${code}:\n${out}${err}`);
  return out + err;
}

const bun = process.execPath;

/** Deno itself: the script of that name in node_modules/.bin would not pass signals on. */
export const deno = `${root}/node_modules/deno/deno`;

/** Bun's and Deno's own programs, where the platforms' tools look for them. */
export const toolPath = `${root}/node_modules/.bin:${process.env.PATH}`;

const made = new Map<string, Promise<string>>();

/** What one step of `npm run build` makes, made once for all suites of a run; resolves to its path. */
export function built(step: "library" | "single-file" | "program"): Promise<string> {
  const result = made.get(step) ?? build(step);
  made.set(step, result);
  return result;
}

const paths = {
  library: "dist/lib/adapters/cli.js",
  "single-file": "dist/handler.js",
  program: "dist/kimi-ai-2api",
};

async function build(step: keyof typeof paths): Promise<string> {
  const path = join(root, paths[step]);
  await rm(path, { force: true });
  // A single file over its budget is made all the same; the budget has a test of its own.
  await run([bun, "scripts/build.ts", step], { env: { PATH: toolPath } }).catch((error) => {
    if (!existsSync(path)) throw error;
  });
  return path;
}

/** A copy of what git would publish, in a temporary folder of its own: built functions must not lean on this one. */
export async function copyOfSources(name: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), `kimi-ai-2api-${name}-`));
  const files = await run(["git", "ls-files", "--cached", "--others", "--exclude-standard"]);
  for (const file of files.trim().split("\n")) {
    if (existsSync(join(root, file))) await cp(join(root, file), join(folder, file));
  }
  return folder;
}
