import { gatewayContract } from "../contracts/gateway.ts";
import { startServer } from "../support/start-server.ts";
import { deno } from "./support/built.ts";
import { alwaysExposed, endsAtOnce } from "./support/skips.ts";

const environment = { DENO_KV_PATH: ":memory:", DENO_NO_UPDATE_CHECK: "1" };

gatewayContract("Deno, by its adapter", {
  store: "deno-kv",
  start: (env) =>
    startServer({ command: [deno, "run", "-A", "adapters/deno.ts"], env: { ...environment, ...env } }),
});

gatewayContract("Deno, by `deno serve`", {
  store: "deno-kv",
  start: (env) =>
    startServer({
      command: [deno, "serve", "-A", "--host", "127.0.0.1", "--port", "0", "handler.ts"],
      env: { ...environment, ...env },
    }),
  skips: { ...alwaysExposed, ...endsAtOnce },
});
