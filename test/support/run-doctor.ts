/** The doctor as operators run it: a command of its own. */
import { expect } from "bun:test";
import { join } from "node:path";

const root = join(import.meta.dir, "../..");

export interface Diagnosis {
  readonly code: number;
  readonly output: string;
  /** The lines of a step, mark and all. */
  step(name: string): string;
  /** Each step with its mark: "✓ settings". */
  readonly marks: readonly string[];
}

/** What runs the command line, by runtime. */
export const programs: Record<string, readonly string[]> = {
  bun: [process.execPath, "--no-env-file", "adapters/cli.ts"],
};

/** Runs the doctor to its end. */
export async function doctor(
  env: Record<string, string>,
  runtime = "bun",
  options: readonly string[] = [],
): Promise<Diagnosis> {
  const child = Bun.spawn([...(programs[runtime] ?? []), "doctor", ...options], {
    cwd: root,
    env: { PATH: process.env.PATH, HOME: process.env.HOME, PORT: "0", ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout = "", stderr = ""] = await Promise.all(
    [child.stdout, child.stderr].map((stream) => new Response(stream).text()),
  );
  expect(stderr).toBe("");
  const entries = stdout.split(/\n(?=[✓✗!-] )/).slice(1);
  return {
    code: await child.exited,
    output: stdout,
    step: (name) => entries.filter((entry) => entry.split(/\s+/)[1] === name).join("\n"),
    marks: entries.map((entry) => entry.split(/\s+/).slice(0, 2).join(" ")),
  };
}
