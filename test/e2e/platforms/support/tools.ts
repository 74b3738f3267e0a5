import { root, run } from "./built.ts";

const folder = `${root}/test/e2e/platforms`;

async function install(): Promise<string | undefined> {
  try {
    await run([process.execPath, "install", "--frozen-lockfile"], { cwd: folder });
    return undefined;
  } catch (error) {
    return `the platforms' tools could not be installed: ${(error as Error).message.trim().split("\n").at(-1)}`;
  }
}

/** Why the platforms' own tools can't be had; undefined where they can. */
export const missingTools = await install();

/** A tool of test/e2e/platforms, as Node runs it. */
export const tool = (name: string): readonly [string, ...string[]] => [
  "node",
  `${folder}/node_modules/.bin/${name}`,
];
