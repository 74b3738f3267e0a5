import { afterAll } from "bun:test";
import { startChatSite } from "../fakes/chat-site.ts";
import { type SiteControl, siteControl } from "../fakes/site-control.ts";
import { expectWatched } from "./expect-documented.ts";
import { type Server, startServer } from "./start-server.ts";

/** A gateway with its chat site, for the suite that starts it at its top. */
export interface GatewayBeforeSite {
  readonly url: string;
  /** What clients call `baseURL`. */
  readonly baseURL: string;
  readonly server: Server;
  readonly site: SiteControl;
}

/** Starts a gateway before a stand-in chat site of its own; both end with the test file. */
export async function gatewayBeforeSite(
  env: Readonly<Record<string, string>> = {},
): Promise<GatewayBeforeSite> {
  const chatSite = startChatSite();
  const server = await startServer({
    env: { CHAT_PAGE_URL: chatSite.pageUrl, UPSTREAM_URL: chatSite.ajaxUrl, ...env },
  });
  afterAll(async () => {
    await server.stop();
    await chatSite.stop();
    expectWatched(server.url);
  });
  return { url: server.url, baseURL: `${server.url}/v1`, server, site: siteControl(chatSite.url) };
}
