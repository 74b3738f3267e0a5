import type { Environment } from "../core/config/config.ts";
import type { Fetch } from "../core/types.ts";

/**
 * A fetch that obeys HTTPS_PROXY, HTTP_PROXY and NO_PROXY, as Bun's and Deno's do and Node's own does not. undici is
 * what Node's is made of; it is loaded only where there is a proxy.
 */
export async function proxyFetch(environment: Environment): Promise<Fetch | undefined> {
  const names = ["HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"];
  if (!names.some((name) => environment[name])) return undefined;
  const { EnvHttpProxyAgent, fetch } = await import("undici");
  const dispatcher = new EnvHttpProxyAgent();
  return ((url: string, init: object) => fetch(url, { ...init, dispatcher })) as unknown as Fetch;
}
