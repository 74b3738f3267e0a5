/** Deno.serve: `deno task start`, and the entry point on Deno Deploy. */
import { startServer } from "./start.ts";

/** What is used of https://docs.deno.com/api/deno/; the other tools that read this file don't know Deno's types. */
declare const Deno: {
  readonly env: { get(name: string): string | undefined };
  serve(
    options: { hostname: string; port: number; onListen(): void },
    fetch: (request: Request) => Promise<Response>,
  ): { readonly addr: { readonly port: number }; shutdown(): Promise<void> };
};

// https://docs.deno.com/deploy/reference/env_vars_and_contexts/#predefined-environment-variables
const hosted = Deno.env.get("DENO_DEPLOYMENT_ID") !== undefined;

await startServer({ preferredStores: ["deno-kv"], hosted }, ({ hostname, port }, fetch) => {
  const server = Deno.serve({ hostname, port, onListen() {} }, (request) => fetch(request));
  const host = hostname.includes(":") ? `[${hostname}]` : hostname;
  return { href: `http://${host}:${server.addr.port}`, drain: () => server.shutdown() };
});
