import { expect, test } from "bun:test";
import { join } from "node:path";
import manifest from "../../package.json" with { type: "json" };
import { expectManyCallsAtOnce } from "../contracts/connection-limit.ts";

test(
  "a Bun server has more calls to the site open at once than Bun's own limit, without any setting",
  () => expectManyCallsAtOnce(),
  15_000,
);

test("`npm start` has it from the start, so that the server need not replace itself, unless it is set", () => {
  const look = manifest.scripts.start.replace(
    "adapters/cli.ts",
    "-p process.env.BUN_CONFIG_MAX_HTTP_REQUESTS",
  );
  const limitWith = (env: Record<string, string>) => {
    const cwd = join(import.meta.dir, "../..");
    const PATH = `${cwd}/node_modules/.bin:${process.env.PATH}`;
    return Bun.spawnSync(["sh", "-c", look], { cwd, env: { PATH, ...env } })
      .stdout.toString()
      .trim();
  };
  expect(limitWith({})).toBe("65000");
  expect(limitWith({ BUN_CONFIG_MAX_HTTP_REQUESTS: "300" })).toBe("300");
});
