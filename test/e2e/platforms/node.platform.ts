import { expect, test } from "bun:test";
import { gatewayContract } from "../../contracts/gateway.ts";
import { hostileRequests } from "../../contracts/hostile-requests.ts";
import { startServer } from "../../support/start-server.ts";
import { built, run } from "./support/built.ts";
import { alwaysExposed, endsAtOnce } from "./support/skips.ts";
import { nodeOf } from "./support/tools.ts";

gatewayContract("Node", {
  start: async (env) => startServer({ command: ["node", await built("library")], env }),
});

hostileRequests("Node", {
  start: async (env) => startServer({ command: ["node", await built("library")], env }),
});

const serveModule = [
  "node_modules/srvx/bin/srvx.mjs",
  "--prod",
  "--host",
  "127.0.0.1",
  "--port",
  "0",
  "--entry",
];

for (const major of [22, 24] as const) {
  const node = nodeOf(major);
  if (node === undefined) {
    test.skip(`the gateway on Node ${major} (skipped: npm has no Node ${major} for this machine)`, () => {});
    continue;
  }

  test(`Node ${major} is what its tests run on`, async () => {
    expect(await run([node, "--version"])).toStartWith(`v${major}.`);
  });

  gatewayContract(`Node ${major}`, {
    start: async (env) => startServer({ command: [node, await built("library")], env }),
  });

  test(`Node ${major} runs the sources`, async () => {
    const server = await startServer({ command: [node, "adapters/node.ts"] });
    expect((await fetch(`${server.url}/v1/models`)).status).toBe(200);
    expect(await server.stop()).toBe(0);
  });

  gatewayContract(`dist/handler.js in Node ${major} and srvx`, {
    start: async (env) => startServer({ command: [node, ...serveModule, await built("single-file")], env }),
    skips: { ...alwaysExposed, ...endsAtOnce },
  });
}
