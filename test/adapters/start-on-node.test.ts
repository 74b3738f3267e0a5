/** `npm start` where npm has left Bun out, as it does with development dependencies when NODE_ENV is production. */
import { afterAll, describe, expect, test } from "bun:test";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { startServer } from "../support/start-server.ts";

const root = join(import.meta.dir, "../..");
const folder = mkdtempSync(join(tmpdir(), "start-on-node-"));
afterAll(() => rmSync(folder, { recursive: true }));

for (const name of ["adapters", "core", "handler.ts", "package.json"]) {
  cpSync(join(root, name), join(folder, name), { recursive: true });
}
mkdirSync(join(folder, "node_modules"));
const { dependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
for (const name of Object.keys(dependencies)) {
  const link = join(folder, "node_modules", name);
  // A package of an organisation stands in a folder of its own.
  mkdirSync(dirname(link), { recursive: true });
  symlinkSync(join(root, "node_modules", name), link);
}

/** All programs that there are: Bun is none of them. */
const programs = join(folder, "programs");
mkdirSync(programs);
for (const name of ["node", "npm", "sh"]) symlinkSync(Bun.which(name) ?? name, join(programs, name));

const env = {
  PATH: programs,
  HOME: folder,
  NODE_ENV: "production",
  HOST: "127.0.0.1",
  PORT: "0",
  CHAT_PAGE_URL: "http://127.0.0.1:9/chat/",
  UPSTREAM_URL: "http://127.0.0.1:9/wp-admin/admin-ajax.php",
};

async function npmStart(): Promise<{ code: number; output: string }> {
  const child = Bun.spawn([join(programs, "npm"), "start"], {
    cwd: folder,
    env,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const texts = await Promise.all([child.stdout, child.stderr].map((stream) => new Response(stream).text()));
  return { code: await child.exited, output: texts.join("") };
}

const node = Bun.spawnSync([join(programs, "node"), "-p", "Boolean(process.features.typescript)"]);
const runsTypeScript = node.stdout.toString().trim() === "true";

describe("`npm start` without Bun", () => {
  test.skipIf(!runsTypeScript)(
    "runs the sources on a Node that can, and says so (skipped: this one can't)",
    async () => {
      const server = await startServer({
        command: [join(programs, "npm"), "start"],
        cwd: folder,
        env,
        isLauncher: true,
      });
      expect(server.output()).toMatch(/Bun is not installed.*so Node v\d+\S* runs the server/s);
      await server.stop();
    },
  );

  test.skipIf(runsTypeScript)(
    "says on an older Node what to do instead (skipped: this one runs the sources)",
    async () => {
      const { code, output } = await npmStart();
      expect(code).toBe(1);
      expect(output).toContain("Bun is not installed");
      expect(output).toContain("npm install --include=dev");
      expect(output).not.toContain("    at ");
    },
  );

  test.skipIf(runsTypeScript)(
    "runs what was built on an older Node, and says so (skipped: this one runs the sources)",
    async () => {
      const built = join(folder, "dist/lib/adapters");
      mkdirSync(built, { recursive: true });
      writeFileSync(join(built, "node.js"), 'console.log("the built server");');
      const { code, output } = await npmStart();
      expect(code).toBe(0);
      expect(output).toMatch(/Bun is not installed.*so Node v\d+\S* runs the server/s);
      expect(output).toContain("the built server");
    },
  );
});
