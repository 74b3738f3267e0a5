/** Node's HTTP server through srvx: `node adapters/node.ts` from Node 22.18 on, `node dist/lib/adapters/node.js` from 20 on. */
import { serve } from "srvx/node";
import { proxyFetch } from "./proxy-fetch.ts";
import { startServer } from "./start.ts";

await startServer(
  { preferredStores: ["memory"], findFetch: proxyFetch },
  async ({ hostname, port }, fetch) => {
    const server = serve({ hostname, port, fetch, silent: true, gracefulShutdown: false });
    await server.ready();
    const drain = () => {
      // A connection that has just carried a last answer would otherwise stay open for five seconds.
      Object.assign(server.node?.server ?? {}, { keepAliveTimeout: 1 });
      return server.close();
    };
    return { href: server.url ?? "", drain };
  },
);
