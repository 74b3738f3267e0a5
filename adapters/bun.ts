/** Bun.serve: `bun adapters/bun.ts`, and the compiled program. */
import "./bun-options.ts";
import { readRest } from "./read-rest.ts";

// Loaded only now: until here the process may still replace itself. Not awaited here: Bun compiles no such module ahead.
void import("./start.ts").then(({ startServer }) =>
  startServer({ preferredStores: ["memory"] }, ({ hostname, port, requestTimeoutMs }, fetch) => {
    const server = Bun.serve({
      hostname,
      port,
      // The longest that Bun knows; an answer that may be silent for longer needs it off.
      idleTimeout: requestTimeoutMs < 250_000 ? 255 : 0,
      // The gateway's own bound answers in OpenAI's shape; Bun's would answer without a body.
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
      async fetch(request) {
        const response = await fetch(request);
        if (response.status >= 400) await readRest(request);
        return response;
      },
    });
    return { href: server.url.href, drain: () => server.stop() };
  }),
);
