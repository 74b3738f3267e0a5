import { test } from "bun:test";
import { expectManyCallsAtOnce } from "../contracts/connection-limit.ts";
import { gatewayContract } from "../contracts/gateway.ts";
import { startServer } from "../support/start-server.ts";
import { built } from "./support/built.ts";

gatewayContract("the compiled program", {
  start: async (env) => startServer({ command: [await built("program")], env }),
});

test("the compiled program has more calls open at once than Bun's own limit", async () =>
  expectManyCallsAtOnce({ command: [await built("program")] }));

test("so has `npm start`", () => expectManyCallsAtOnce({ command: ["npm", "start"] }));
