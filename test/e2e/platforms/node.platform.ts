import { gatewayContract } from "../../contracts/gateway.ts";
import { hostileRequests } from "../../contracts/hostile-requests.ts";
import { startServer } from "../../support/start-server.ts";
import { built } from "./support/built.ts";

gatewayContract("Node", {
  start: async (env) => startServer({ command: ["node", await built("library")], env }),
});

hostileRequests("Node", {
  start: async (env) => startServer({ command: ["node", await built("library")], env }),
});
