import { expect } from "bun:test";
import { connect } from "node:net";
import { startChatSite } from "../fakes/chat-site.ts";
import { siteControl } from "../fakes/site-control.ts";
import { type ServerOptions, startServer } from "../support/start-server.ts";
import { until } from "../support/until.ts";

/** More than the 256 that Bun opens unless its environment says otherwise. */
const calls = 300;

/** Checks that a server, started without any setting for it, has more calls open at once than Bun's own limit. */
export async function expectManyCallsAtOnce(
  options: Pick<ServerOptions, "command" | "cwd" | "isLauncher"> = {},
): Promise<void> {
  const chatSite = startChatSite();
  const site = siteControl(chatSite.url);
  const { url, stop } = await startServer({
    ...options,
    env: {
      CHAT_PAGE_URL: site.pageUrl,
      UPSTREAM_URL: site.ajaxUrl,
      UPSTREAM_MAX_CONCURRENCY: "0",
      LOG_LEVEL: "silent",
    },
  });
  const { hostname, port, host } = new URL(url);
  const body = JSON.stringify({ messages: [{ role: "user", content: "[[sim:slow=20]]" }] });
  // This process has Bun's limit too, so it calls without fetch.
  const sockets = Array.from({ length: calls }, () => {
    const socket = connect(Number(port), hostname);
    socket.write(
      `POST /v1/chat/completions HTTP/1.1\r\nHost: ${host}\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    return socket;
  });
  let pending = 0;
  await until(async () => {
    pending = (await site.status()).counts.ajax_by.pending ?? 0;
    return pending >= calls;
  });
  expect(pending).toBe(calls);
  for (const socket of sockets) socket.destroy();
  await stop();
  await chatSite.stop();
}
