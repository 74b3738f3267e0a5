/** The command line of `kimi-ai-2api`, as a process. */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { version } from "../../core/config/version.ts";
import { freePort } from "../support/free-port.ts";
import { startServer } from "../support/start-server.ts";

const root = join(import.meta.dir, "../..");
const cli = [process.execPath, "--no-env-file", "adapters/cli.ts"] as const;

/** A site that nobody serves, so that nothing leaves this machine. */
const nowhere = {
  CHAT_PAGE_URL: "http://127.0.0.1:9/chat/",
  UPSTREAM_URL: "http://127.0.0.1:9/wp-admin/admin-ajax.php",
};

async function run(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const child = Bun.spawn([...cli, ...args], {
    cwd: root,
    env: { PATH: process.env.PATH, PORT: "0", ...nowhere },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    // A server that starts where none should would stay.
    timeout: 10_000,
  });
  const [stdout = "", stderr = ""] = await Promise.all(
    [child.stdout, child.stderr].map((stream) => new Response(stream).text()),
  );
  return { code: await child.exited, stdout, stderr };
}

describe("the command line", () => {
  test.each([["--version"], ["-v"]])("tells its version with %s", async (flag) => {
    expect(await run(flag)).toEqual({ code: 0, stdout: `${version}\n`, stderr: "" });
  });

  test.each([["--help"], ["-h"]])("tells how it is used with %s", async (flag) => {
    const { code, stdout, stderr } = await run(flag);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    for (const word of ["--port", "--host", "--help", "--version", "doctor", "API_MASTER_KEY"]) {
      expect(stdout).toContain(word);
    }
  });

  test.each([
    [["--prot", "9999"], "--prot"],
    [["serve"], "serve"],
    [["doctor", "store"], "store"],
    [["--port"], "--port"],
    [["--help=yes"], "--help"],
    [["-p", "1", "--", "x"], "x"],
    [[""], ""],
  ])("refuses %j, says what it doesn't know and how it is used, and starts nothing", async (args, named) => {
    const { code, stdout, stderr } = await run(...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr.split("\n")[0]).toContain(named);
    expect(stderr).toContain("Usage: kimi-ai-2api");
    expect(stderr).not.toContain("    at ");
  });

  test.each([
    ["--port FREE --host localhost", "localhost"],
    ["--port=FREE --host=127.0.0.1", "127.0.0.1"],
    ["-p FREE", "127.0.0.1"],
  ])("starts a server where `%s` says, whatever the environment does", async (args, host) => {
    const port = await freePort();
    const server = await startServer({
      command: [...cli, ...args.replace("FREE", String(port)).split(" ")],
      env: { ...nowhere, PORT: "1", HOST: "127.0.0.1" },
    });
    expect(server.url).toBe(`http://${host}:${port}`);
    await server.stop();
  });

  test("says of a bad port what the setting may be", async () => {
    const { code, stderr } = await run("--port", "ninety");
    expect(code).toBe(1);
    expect(stderr).toContain("PORT must be a number from 0 to 65535");
  });

  test("runs the doctor, with the same options", async () => {
    const { code, stdout } = await run("doctor", "--port", "ninety");
    expect(code).toBe(1);
    expect(stdout).toContain("✗ settings  PORT must be");
  });
});
