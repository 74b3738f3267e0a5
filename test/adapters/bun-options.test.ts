import { expect, test } from "bun:test";
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import manifest from "../../package.json" with { type: "json" };
import { expectManyCallsAtOnce } from "../contracts/connection-limit.ts";

const root = join(import.meta.dir, "../..");
const read = (path: string): Promise<string> => Bun.file(join(root, path)).text();

const options = {
  BUN_CONFIG_MAX_HTTP_REQUESTS: "65000",
  BUN_JSC_largeHeapSize: "16777216",
  BUN_JSC_heapGrowthMaxIncrease: "0.5",
};

/** The environment of the Bun that `npm start` starts. */
function startedWith(env: Record<string, string>, cwd = root): Record<string, string> {
  const script = "console.log(JSON.stringify(process.env))";
  const look = manifest.scripts.start.replace("adapters/cli.ts", `-e '${script}'`);
  const PATH = `${root}/node_modules/.bin:${process.env.PATH}`;
  const { stdout } = Bun.spawnSync(["sh", "-c", look], { cwd, env: { PATH, ...env } });
  return JSON.parse(stdout.toString());
}

test(
  "a Bun server has more calls to the site open at once than Bun's own limit, without any setting",
  () => expectManyCallsAtOnce(),
  15_000,
);

test("`npm start` has its options from the start, so that the server need not replace itself, unless they are set", () => {
  expect(startedWith({})).toMatchObject(options);
  const own = {
    BUN_CONFIG_MAX_HTTP_REQUESTS: "300",
    BUN_JSC_largeHeapSize: "8388608",
    BUN_JSC_heapGrowthMaxIncrease: "1",
  };
  expect(startedWith(own)).toMatchObject(own);
});

test("the image and a program that starts itself anew have the same options as `npm start`", async () => {
  const [dockerfile, program] = [await read("Dockerfile"), await read("adapters/bun-options.ts")];
  for (const [name, value] of Object.entries(options)) {
    expect(dockerfile).toContain(`${name}=${value}`);
    expect(program).toContain(`${name}: "${value}"`);
  }
});

test("settings in .env files count, those for NODE_ENV before the common ones", async () => {
  const folder = await mkdtemp(join(tmpdir(), "options-"));
  try {
    await mkdir(join(folder, "adapters"));
    await cp(join(root, "adapters/bun-options.sh"), join(folder, "adapters/bun-options.sh"));
    await writeFile(join(folder, ".env"), "A=common\nB=common\n");
    await writeFile(join(folder, ".env.production"), "B=production\n");
    expect(startedWith({ NODE_ENV: "production" }, folder)).toMatchObject({ A: "common", B: "production" });
  } finally {
    await rm(folder, { recursive: true });
  }
});
