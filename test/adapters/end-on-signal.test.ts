import { expect, test } from "bun:test";
import { startChatSite } from "../fakes/chat-site.ts";
import { siteControl } from "../fakes/site-control.ts";
import { startServer } from "../support/start-server.ts";
import { until } from "../support/until.ts";

test("a second signal ends a server at once, whatever still runs", async () => {
  const chatSite = startChatSite();
  const site = siteControl(chatSite.url);
  const server = await startServer({ env: { CHAT_PAGE_URL: site.pageUrl, UPSTREAM_URL: site.ajaxUrl } });
  const answer = fetch(`${server.url}/v1/chat/completions`, {
    method: "POST",
    body: JSON.stringify({ messages: [{ role: "user", content: "[[sim:slow=20]]" }] }),
  }).catch(() => "cut");
  await until(async () => (await site.status()).counts.ajax_by.pending === 1);

  const startedMs = performance.now();
  const exitCode = server.stop();
  await until(async () => (await fetch(server.url).catch(() => "refused")) === "refused");
  process.kill(server.pid, "SIGINT");
  expect(await exitCode).toBe(1);
  expect(await answer).toBe("cut");
  expect(performance.now() - startedMs).toBeLessThan(5_000);
  await chatSite.stop();
}, 15_000);
