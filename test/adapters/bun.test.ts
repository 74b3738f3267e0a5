import { gatewayContract } from "../contracts/gateway.ts";
import { startServer } from "../support/start-server.ts";

gatewayContract("Bun", {
  start: (env) => startServer({ env }),
  skips: {
    "finishes running answers after SIGTERM, then ends with exit code 0": "SIGTERM ends the process at once",
  },
});
