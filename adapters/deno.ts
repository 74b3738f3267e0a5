/** Deno.serve: `deno task start`, and the entry point on Deno Deploy. */
import { startServer } from "./start.ts";

interface DenoServer {
  readonly addr: { readonly port: number };
  /** Rejects when no more connections can be accepted. */
  readonly finished: Promise<void>;
  shutdown(): Promise<void>;
}

/** What is used of https://docs.deno.com/api/deno/; the other tools that read this file don't know Deno's types. */
declare const Deno: {
  readonly env: { get(name: string): string | undefined };
  serve(
    options: { hostname: string; port: number; onListen(): void },
    fetch: (request: Request) => Promise<Response>,
  ): DenoServer;
};

// https://docs.deno.com/deploy/reference/env_vars_and_contexts/#predefined-environment-variables
const hosted = Deno.env.get("DENO_DEPLOYMENT_ID") !== undefined;

/** How soon a server that could accept nothing more, for want of open files, tries again. */
const restartMs = 500;

await startServer({ preferredStore: "deno-kv", hosted }, ({ hostname, port }, fetch) => {
  const listen = (onPort: number) =>
    Deno.serve({ hostname, port: onPort, onListen() {} }, (request) => fetch(request));
  let isDraining = false;
  let server = listen(port);
  const { port: ownPort } = server.addr;
  // Deno ends a server, and with it the process, when one connection can't be accepted.
  const restart = () => {
    if (isDraining) return;
    try {
      server = listen(ownPort);
      server.finished.catch(restartLater);
    } catch {
      restartLater();
    }
  };
  const restartLater = () => {
    setTimeout(restart, restartMs);
  };
  server.finished.catch(restartLater);
  const host = hostname.includes(":") ? `[${hostname}]` : hostname;
  const drain = () => {
    isDraining = true;
    return server.shutdown();
  };
  return { href: `http://${host}:${ownPort}`, drain };
});
