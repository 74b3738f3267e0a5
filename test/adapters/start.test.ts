import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { startServer } from "../support/start-server.ts";

const failureOf = (env: Record<string, string>): Promise<string> =>
  startServer({ env }).then(
    async (server) => `it started: ${server.output()}`,
    ({ message }: Error) => message,
  );

/** A site that nobody serves, so that nothing leaves this machine. */
const nowhere = {
  CHAT_PAGE_URL: "http://127.0.0.1:9/chat/",
  UPSTREAM_URL: "http://127.0.0.1:9/wp-admin/admin-ajax.php",
};

describe("a server that starts", () => {
  test("says where it listens, who answers, with what, and what to try", async () => {
    const server = await startServer({ env: { ...nowhere, API_MASTER_KEY: "sk-secret" } });
    const output = server.output();
    expect(output).toContain(`listens on ${server.url}\n`);
    expect(output).toContain("kimi-web");
    expect(output).toContain("kimi-k2-instruct-0905, kimi-k2-instruct");
    expect(output).toContain("memory");
    expect(output).toContain(
      `curl ${server.url}/v1/chat/completions -H "Authorization: Bearer $API_MASTER_KEY"`,
    );
    expect(output).not.toContain("sk-secret");
    await server.stop();
  });

  test("answers whoever calls already before it gets the site's page ready", async () => {
    const program = `
      import { startServer } from "./adapters/start.ts";
      const preparing = () => { console.log("page"); process.exit(); };
      // The page's nonce is looked for in the store first, under a hash of its address.
      crypto.subtle.digest = preparing;
      const findFetch = async () => preparing;
      const listen = () => ({ href: "http://host", drain: async () => {} });
      await startServer({ preferredStores: ["memory"], findFetch }, listen);
      // An answer needs nothing but promises.
      for (let step = 0; step < 100; step++) await undefined;
      console.log("answer");`;
    const child = Bun.spawn([process.execPath, "--no-env-file", "-e", program], {
      cwd: join(import.meta.dir, "../.."),
      env: { PATH: process.env.PATH, ...nowhere },
      stdout: "pipe",
    });
    const output = await new Response(child.stdout).text();
    expect(output.split("\n").filter((line) => /^(page|answer)$/.test(line))).toEqual(["answer", "page"]);
  });
});

describe("a server that can't start", () => {
  test("names every bad setting in one message and ends with exit code 1", async () => {
    const message = await failureOf({ PORT: "99999", LOG_LEVEL: "loud" });
    expect(message).toContain("(exit code 1):\nBad settings:\n");
    expect(message).toContain("  PORT must be");
    expect(message).toContain("  LOG_LEVEL must be");
    expect(message).not.toContain("    at ");
  });

  test("says in one line that the port is taken", async () => {
    const first = await startServer({ env: nowhere });
    const message = await failureOf({ ...nowhere, PORT: new URL(first.url).port });
    expect(message).toContain("(exit code 1):\nCan't listen: ");
    expect(message).toContain(new URL(first.url).port);
    expect(message.trim().split("\n")).toHaveLength(2);
    await first.stop();
  });

  test("says in one line that HOST is no address of this machine", async () => {
    const message = await failureOf({ ...nowhere, HOST: "no such host" });
    expect(message).toContain("(exit code 1):\nCan't listen: ");
    expect(message.trim().split("\n")).toHaveLength(2);
  });
});
