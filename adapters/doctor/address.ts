/** Whether clients will find the gateway: who may call, and whether its address is free or already its own. */
import { createServer } from "node:net";
import type { Config } from "../../core/config/config.ts";
import { bad, type Finding, good, warning, wordsOf } from "./finding.ts";

const healthTimeoutMs = 2_000;

const accessFindings: Readonly<Record<Config["access"], Finding>> = {
  keys: good("access", "callers need an API key"),
  loopback: good("access", "no API key; only this machine may call"),
  open: warning("access", "no API key; everyone who can reach the server may call", {
    means: "strangers can use it, and the site will count their messages as yours",
    change: "API_MASTER_KEY to a key of your own, unless that is what you want",
  }),
  unconfigured: bad("access", "no API key, and the server can be reached from outside", {
    means: "every call is answered with 503 api_key_not_configured",
    change: "API_MASTER_KEY to a key of your own; HOST=127.0.0.1, if only this machine should call",
  }),
};

/** Resolves when the address could be had. */
const listen = (hostname: string, port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(port, hostname, () => server.close(() => resolve()));
  });

interface Health {
  readonly status?: unknown;
  readonly version?: unknown;
  readonly sessions?: unknown;
}

const askHealth = async (origin: string): Promise<Health | undefined> => {
  try {
    const response = await fetch(`${origin}/health`, { signal: AbortSignal.timeout(healthTimeoutMs) });
    return (await response.json()) as Health;
  } catch {
    return undefined;
  }
};

/** What to call a server by that listens on `hostname`: all of a machine's addresses are none that can be called. */
const callable = (hostname: string): string => {
  if (hostname === "0.0.0.0") return "127.0.0.1";
  const bare = hostname.replace(/^\[(.*)\]$/, "$1");
  if (bare === "::") return "[::1]";
  return bare.includes(":") ? `[${bare}]` : bare;
};

export async function* examineAddress({ access, hostname, port }: Config): AsyncGenerator<Finding> {
  yield accessFindings[access];
  const step = "address";
  const address = `${hostname}:${port}`;
  if (port === 0) {
    yield good(step, `${hostname}, any free port`);
    return;
  }
  const startedMs = performance.now();
  try {
    await listen(hostname, port);
    yield good(step, `${address} is free`, performance.now() - startedMs);
  } catch (error) {
    const health = await askHealth(`http://${callable(hostname)}:${port}`);
    const ms = performance.now() - startedMs;
    if (health?.status === "ok" && health.sessions !== undefined) {
      yield good(step, `a gateway of version ${health.version} answers at ${address}`, ms);
      return;
    }
    const advice = {
      means: "another program has the address, or this user may not take it; a server would not start",
      change: "PORT to another number, or HOST to an address of this machine",
    };
    yield bad(step, `${address}: ${wordsOf(error)}`, advice, ms);
  }
}
