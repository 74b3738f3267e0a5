/** Bun.serve: `bun adapters/bun.ts`. Bun reads `.env` by itself. */
import { parseConfig } from "../core/config.ts";
import { createHandler } from "../handler.ts";
import { announce, startOrExplain } from "./start.ts";

await startOrExplain(async () => {
  const config = parseConfig(process.env);
  const handler = createHandler({ config });
  const server = Bun.serve({
    hostname: config.hostname,
    port: config.port,
    // The longest that Bun knows; an answer that may be silent for longer needs it off.
    idleTimeout: config.requestTimeoutMs < 250_000 ? 255 : 0,
    maxRequestBodySize: config.maxBodyBytes * 2,
    fetch: (request) => handler.fetch(request),
  });
  announce(config, handler, server.url.href);
  void handler.warmUp();
});
