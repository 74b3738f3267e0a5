/**
 * Runs the suites of the chat site against a real WordPress: the one at KIMI_SITE_URL, or one that is started for
 * the occasion where its folder is found, and removed afterwards.
 *
 *     bun test/e2e/wordpress.ts [FOLDER]
 */
import { cpSync, existsSync, mkdirSync } from "node:fs";
import { resolve } from "node:path";
import { freePort } from "../support/free-port.ts";

const root = resolve(import.meta.dir, "../..");
const folder = resolve(root, process.argv[2] ?? "../shared/wordpress");

/** Runs a program to its end, its output beside ours. */
async function run(command: readonly string[], env: Record<string, string> = {}): Promise<number> {
  const child = Bun.spawn([...command], {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ["ignore", "inherit", "inherit"],
  });
  return child.exited;
}

const suites = [
  "test/fakes",
  "test/providers/wordpress-chat/site/",
  "test/clients/site-tools.test.ts",
  "./test/e2e/faults/site.faults.ts",
  "./test/e2e/wordpress/rest-chat.wordpress.ts",
];

const runSuites = (siteUrl: string) =>
  run([process.execPath, "test", "--timeout", "60000", ...suites], { KIMI_SITE_URL: siteUrl });

async function runOnOwnSite(): Promise<number> {
  const port = String(await freePort());
  const siteFolder = `/tmp/kimi-wordpress-${port}`;
  const env = { PORT: port, KIMI_WP_DIR: siteFolder };
  const stop = () => run([`${folder}/stop`, "--wipe"], env);
  // Ctrl-C reaches the suites too; when they have ended, the site is stopped as usual.
  process.on("SIGINT", () => {});
  const start = () => run([`${folder}/start`], env);
  if ((await start()) !== 0) {
    console.log("Once more, with fresh lists of packages.");
    await run(["apt-get", "update", "-q"]);
    if ((await start()) !== 0) return 1;
  }
  try {
    // A must-use plug-in runs without being activated.
    const plugins = `${siteFolder}/wp/wp-content/mu-plugins`;
    mkdirSync(plugins, { recursive: true });
    cpSync(resolve(root, "test/e2e/wordpress/rest-chat.php"), `${plugins}/rest-chat.php`);
    return await runSuites(`http://127.0.0.1:${port}`);
  } finally {
    await stop();
  }
}

const { KIMI_SITE_URL: siteUrl } = process.env;
if (siteUrl) {
  process.exitCode = await runSuites(siteUrl);
} else if (existsSync(`${folder}/start`)) {
  process.exitCode = await runOnOwnSite();
} else {
  console.log(
    `Not run: there is no WordPress at ${folder}. Set KIMI_SITE_URL to the address of one with the simulator plugin.`,
  );
}
