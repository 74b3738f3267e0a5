import { expect, test } from "bun:test";
import { expectManyCallsAtOnce } from "../../contracts/connection-limit.ts";
import { gatewayContract } from "../../contracts/gateway.ts";
import { startServer } from "../../support/start-server.ts";
import { built } from "./support/built.ts";

gatewayContract("the compiled program", {
  start: async (env) => startServer({ command: [await built("program")], env }),
});

test("the compiled program has more calls open at once than Bun's own limit", async () =>
  expectManyCallsAtOnce({ command: [await built("program")] }));

test("so has `npm start`", () => expectManyCallsAtOnce({ command: ["npm", "start"], isLauncher: true }));

test("the compiled program has a doctor", async () => {
  const child = Bun.spawn([await built("program"), "doctor"], {
    env: { PORT: "99999" },
    stdout: "pipe",
  });
  expect(await new Response(child.stdout).text()).toContain("✗ settings  PORT must be");
  expect(await child.exited).toBe(1);
});
