/** What servers say when they start, and when they can't. */
import { type Config, ConfigError } from "../core/config.ts";
import type { Handler } from "../handler.ts";

/** What Bun, Deno and Node call it when an address can't be had. */
const listenFailures: ReadonlySet<unknown> = new Set(["EADDRINUSE", "EADDRNOTAVAIL", "EACCES"]);

const explain = (error: unknown): string | undefined => {
  if (error instanceof ConfigError) return error.message;
  const { code, message } = error as { code?: unknown; message?: string };
  return listenFailures.has(code) ? `Can't listen: ${message} (settings HOST and PORT)` : undefined;
};

/** Ends the process with a plain message where the settings are at fault. */
export async function startOrExplain(start: () => Promise<void>): Promise<void> {
  try {
    await start();
  } catch (error) {
    const explanation = explain(error);
    if (explanation === undefined) throw error;
    console.error(explanation);
    process.exit(1);
  }
}

const accessLine: Readonly<Record<Config["access"], string>> = {
  keys: "needed: Authorization: Bearer KEY",
  loopback: "not needed, but only this machine may call",
  open: "not needed: open to everyone who can reach it",
  unconfigured:
    "NOT SET: the API answers 503 until API_MASTER_KEY is set (API_MASTER_KEY=1 opens it to everyone)",
};

const providerLines = ({ site, providers }: Config): string[] => [
  ...(site ? [`kimi-web at ${site.pageUrl}: ${site.models.map(({ id }) => id).join(", ")}`] : []),
  ...providers.map(({ name, baseUrl, models }) => {
    const ids = models === "*" ? "all that it lists" : models.join(", ");
    return `${name} at ${new URL(baseUrl).origin}: ${ids}`;
  }),
];

/** Where it listens, who answers, and a line to try. */
export function announce(config: Config, { store }: Pick<Handler, "store">, href: string): void {
  const url = href.replace(/\/$/, "");
  const key = config.access === "keys" ? ' -H "Authorization: Bearer $API_MASTER_KEY"' : "";
  const body = JSON.stringify({
    model: config.defaultModel ?? "MODEL",
    messages: [{ role: "user", content: "Hello!" }],
  });
  console.log(`${config.app.name} ${config.app.version} listens on ${url}
  models    ${providerLines(config).join("\n            ")}
  sessions  ${store.name}${store.shared ? "" : " (this process only)"}
  API key   ${accessLine[config.access]}

Try it:
  curl ${url}/v1/chat/completions${key} -H "Content-Type: application/json" \\
    -d '${body}'
`);
}
