import { existsSync } from "node:fs";
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

/** Node of a major version, which npm has for Linux on x64 alone; undefined where it can't be had. */
export function nodeOf(major: 22 | 24): string | undefined {
  const path = `${folder}/node_modules/node-${major}/bin/node`;
  return existsSync(path) ? path : undefined;
}

/** The Node of the hosts and of their tools, some of which want 22; elsewhere the one that is installed. */
export const newestNode = nodeOf(24) ?? "node";

/** A tool of test/e2e/platforms, as Node runs it. */
export const tool = (name: string): readonly [string, ...string[]] => [
  newestNode,
  `${folder}/node_modules/.bin/${name}`,
];

/** workerd as Cloudflare starts it, which a Worker's path and the options of hosts/workerd.mjs follow. */
export const workerd = [newestNode, `${folder}/hosts/workerd.mjs`] as const;
