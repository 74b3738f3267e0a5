import { gatewayContract } from "../contracts/gateway.ts";
import { startServer } from "../support/start-server.ts";

gatewayContract("Bun", { start: (env) => startServer({ env }) });
