/** What the servers of Bun, Deno and Node have in common: settings, a word on the terminal, and a good end. */
import process from "node:process";
import {
  allUpstreams,
  type Config,
  ConfigError,
  type Environment,
  firstModel,
} from "../core/config/config.ts";
import type { Handler } from "../core/gateway.ts";
import type { StoreName } from "../core/stores/settings.ts";
import type { Fetch } from "../core/types.ts";
import { endOnSignal } from "./end-on-signal.ts";
import { logOutput } from "./log-output.ts";
import { findEnvironment } from "./runtime.ts";
import { configureHandler } from "./self-configuring.ts";
import { storeDrivers } from "./store-drivers.ts";

const giveUp = (message: string): never => {
  console.error(message);
  process.exit(1);
};

export interface ServerPlatform {
  readonly preferredStores: readonly StoreName[];
  /** Whether it is one of many short-lived instances, which can be reached from outside. */
  readonly hosted?: boolean;
  /** A fetch that goes through the proxies of the environment, where the platform's own doesn't. */
  readonly findFetch?: (environment: Environment) => Promise<Fetch | undefined>;
}

export interface Listening {
  readonly href: string;
  /** Accepts no more calls; resolves when the running answers are over. */
  readonly drain: () => Promise<unknown>;
}

/** Starts what `listen` makes; ends the process with a plain message where the settings are at fault. */
export async function startServer(
  { preferredStores, hosted = false, findFetch }: ServerPlatform,
  listen: (config: Config, fetch: (request: Request) => Promise<Response>) => Listening | Promise<Listening>,
): Promise<void> {
  try {
    const environment = findEnvironment();
    const fetch = await findFetch?.(environment);
    const { config, handler } = await configureHandler({
      environment,
      preferredStores,
      hosted,
      ...(hosted && { exposed: true }),
      drivers: storeDrivers,
      fetch,
      logOutput: logOutput(),
    });
    const fetchHere = (request: Request) => handler.fetch(request);
    // Each platform fails in its own way, at once or later: a taken port, an address that isn't here, no address at all.
    const { href, drain } = await (async () => listen(config, fetchHere))().catch((error: Error) =>
      giveUp(`Can't listen: ${error.message} (settings HOST and PORT)`),
    );
    endOnSignal({ drain, close: () => handler.close() });
    announce(config, handler, href);
    // In a turn of its own: who calls already is answered first.
    setTimeout(() => handler.warmUp(), 0);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    giveUp(error.message);
  }
}

const accessLine: Readonly<Record<Config["access"], string>> = {
  keys: "needed: Authorization: Bearer KEY",
  loopback: "not needed, but only this machine may call",
  open: "not needed: open to everyone who can reach it",
  unconfigured:
    "NOT SET: the API answers 503 until API_MASTER_KEY is set (API_MASTER_KEY=1 opens it to everyone)",
};

/** On an open server short names are no secret. */
const openSessionsLine = ({ access, sessions }: Config): string =>
  access === "open" && !sessions.areOpen
    ? "; nothing under `user` or an X-Session-Id of under 16 characters, which strangers could guess (OPEN_SESSIONS=on)"
    : "";

const upstreamLines = (config: Config): string[] =>
  allUpstreams(config).map((upstream) => {
    if (upstream.kind === "wordpress-chat")
      return `${upstream.name} at ${upstream.pageUrl}: ${upstream.models.map(({ id }) => id).join(", ")}`;
    const { name, baseUrl, models } = upstream;
    return `${name} at ${new URL(baseUrl).origin}: ${models === "*" ? "all that it lists" : models.join(", ")}`;
  });

/** Where it listens, who answers, and a line to try. */
function announce(config: Config, { store }: Pick<Handler, "store">, href: string): void {
  const url = href.replace(/\/$/, "");
  const key = config.access === "keys" ? ' -H "Authorization: Bearer $API_MASTER_KEY"' : "";
  const body = JSON.stringify({
    model: config.defaultModel ?? firstModel(config) ?? "MODEL",
    messages: [{ role: "user", content: "Hello!" }],
  });
  console.log(`${config.app.name} ${config.app.version} listens on ${url}
  models    ${upstreamLines(config).join("\n            ")}
  sessions  ${store.name}${store.shared ? "" : " (this process only)"}${openSessionsLine(config)}
  API key   ${accessLine[config.access]}

Try it:
  curl ${url}/v1/chat/completions${key} -H "Content-Type: application/json" \\
    -d '${body}'
`);
}
