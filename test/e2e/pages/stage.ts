/** A gateway, what it asks, and a browser that keeps account of all that a page does. */
import { existsSync } from "node:fs";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { parseConfig } from "../../../core/config/config.ts";
import { createHandler, pages } from "../../../handler.ts";
import { startChatSite } from "../../fakes/chat-site.ts";
import { startOpenAiUpstream } from "../../fakes/openai-upstream.ts";
import { recordingLogger } from "../../fakes/recording-logger.ts";
import { type SiteControl, siteControl } from "../../fakes/site-control.ts";
import { watching } from "../../support/watch-answers.ts";

export const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";

/** Why the pages can't be tried here; undefined where they can. */
export const missing: string | undefined = existsSync(executablePath)
  ? undefined
  : "no Chromium is installed";

/** Without them it asks its maker's servers, at start and in the background. */
export const quiet = [
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-gpu",
];

let browser: Browser | undefined;

export async function startBrowser(): Promise<Browser> {
  browser ??= await chromium.launch({ executablePath, args: ["--no-sandbox", ...quiet] });
  return browser;
}

export async function closeBrowser(): Promise<void> {
  await browser?.close();
  browser = undefined;
}

/** All that the site's model says here: what Markdown has, what it must not do, and code. */
export const richReply = `## Why the sky is blue

Sunlight holds **all colours**. On its way through the air, short waves are scattered *far more* than long ones:

| colour | wavelength | scattered |
| ------ | ---------- | --------- |
| blue   | 450 nm     | strongly  |
| red    | 700 nm     | hardly    |

1. Light enters the air.
2. Blue is sent in all directions.

> Lord Rayleigh described it in 1871.

\`\`\`python
def scattered(wavelength_nm: float) -> float:
    """Relative to red light."""
    return (700 / wavelength_nm) ** 4  # Rayleigh

print(scattered(450))
\`\`\`

See [Wikipedia](https://en.wikipedia.org/wiki/Rayleigh_scattering), not [this](javascript:alert(1)) and no ![picture](https://images.example/x.png). Use \`n ** 4\`.`;

export interface Gateway {
  readonly url: string;
  readonly site: SiteControl;
  readonly upstream: Awaited<ReturnType<typeof startOpenAiUpstream>>;
  stop(): Promise<void>;
}

export interface GatewayOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly reply?: string | ((message: string) => string);
  readonly port?: number;
  /** Whether others can reach it, as on hosted platforms. */
  readonly exposed?: boolean;
  /** Whether it is one of many short-lived instances. */
  readonly hosted?: boolean;
  readonly delayMs?: number;
}

/** A gateway in this process, before stand-ins of the site and of an upstream. */
export async function startGateway({
  env = {},
  reply,
  port = 0,
  exposed = false,
  hosted = false,
  delayMs = 0,
}: GatewayOptions = {}): Promise<Gateway> {
  const chatSite = startChatSite({ delayMs, ...(reply !== undefined && { reply }) });
  const upstream = await startOpenAiUpstream({ gapMs: 5 });
  const log = recordingLogger();
  const handler = createHandler({
    config: parseConfig(
      {
        CHAT_PAGE_URL: chatSite.pageUrl,
        UPSTREAM_URL: chatSite.ajaxUrl,
        OPENAI_BASE_URL: upstream.baseUrl,
        STREAM_DELAY_MS: "5",
        ...env,
      },
      { exposed },
    ),
    pages,
    log,
    hosted,
  });
  const answer = watching(handler.fetch);
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port,
    idleTimeout: 0,
    fetch: (request) => answer(request),
  });
  return {
    url: server.url.href.replace(/\/$/, ""),
    site: siteControl(chatSite.url),
    upstream,
    async stop() {
      await server.stop(true);
      await handler.close();
      upstream.close();
      await chatSite.stop();
    },
  };
}

export interface Seen {
  readonly page: Page;
  /** Errors on the console, faults of scripts, and what the page's policy refused. */
  readonly troubles: string[];
  /** Requests to anywhere but the gateway. */
  readonly foreign: string[];
  close(): Promise<void>;
}

/** Opens a page in a browser of its own: nothing is remembered from another. */
export async function open(url: string, options: BrowserContextOptions = {}): Promise<Seen> {
  const context = await (await startBrowser()).newContext({ locale: "en-US", ...options });
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  const page = await context.newPage();
  const troubles: string[] = [];
  const foreign: string[] = [];
  page.on("console", (message) => {
    if (message.type() === "error") troubles.push(message.text());
  });
  page.on("pageerror", (error) => troubles.push(String(error)));
  const { origin } = new URL(url);
  page.on("request", (request) => {
    const asked = new URL(request.url());
    if (/^https?:$/.test(asked.protocol) && asked.origin !== origin) foreign.push(request.url());
  });
  await page.goto(url);
  return { page, troubles, foreign, close: () => context.close() };
}

/** The answer of the turn at `index`, once it is over. */
export async function answered(page: Page, index = 0): Promise<ReturnType<Page["locator"]>> {
  const answer = page.locator(".answer").nth(index);
  await page.waitForFunction(
    (at) => document.querySelectorAll(".answer")[at]?.getAttribute("aria-busy") === "false",
    index,
  );
  return answer;
}

export async function say(page: Page, text: string): Promise<void> {
  await page.locator("#message").fill(text);
  await page.locator("#message").press("Enter");
}
