/** Fetches a program from npm that only a test needs, and that this project does not ship. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export interface FetchedProgram {
  readonly program: string;
  /** Why it can't be run; undefined where it can. */
  readonly reason: string | undefined;
}

/** Installs packages once: they are hundreds of megabytes, so they are kept. `path` leads from node_modules to the program. */
export async function fetchProgram(
  what: string,
  { packages, version, path }: { packages: readonly string[]; version: string; path: readonly string[] },
): Promise<FetchedProgram> {
  const folder = `${what.toLowerCase().replaceAll(" ", "-")}-${version}`;
  const cache = fileURLToPath(new URL(`../../node_modules/.cache/${folder}`, import.meta.url));
  const program = join(cache, "node_modules", ...path);
  const failed = (reason: string): FetchedProgram => ({ program, reason });
  if (!existsSync(program)) {
    const command = ["npm", "install", "--prefix", cache, "--no-audit", "--no-fund", "--ignore-scripts"];
    const names = packages.map((name) => `${name}@${version}`);
    try {
      const npm = Bun.spawn([...command, ...names], { stdout: "ignore", stderr: "pipe" });
      const [said] = await Promise.all([new Response(npm.stderr).text(), npm.exited]);
      if (!existsSync(program)) return failed(`npm has no ${what} here: ${said.slice(-300)}`);
    } catch (error) {
      return failed(`npm can't be run: ${error}`);
    }
  }
  const tried = Bun.spawnSync([program, "--version"], { env: { HOME: cache, PATH: process.env.PATH } });
  if (!tried.success) return failed(`it does not start here: ${tried.stderr.toString().slice(0, 300)}`);
  return { program, reason: undefined };
}
