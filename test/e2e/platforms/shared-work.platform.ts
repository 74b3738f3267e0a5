import { expect, test } from "bun:test";
import { startChatSite } from "../../fakes/chat-site.ts";
import { siteControl } from "../../fakes/site-control.ts";
import { startServer } from "../../support/start-server.ts";
import { until } from "../../support/until.ts";
import { built } from "./support/built.ts";
import { missingTools, workerd } from "./support/tools.ts";

const name = "Workers: what a request has begun goes on for others when its client leaves";
if (missingTools !== undefined) test.skip(`${name} (skipped: ${missingTools})`, () => {});
else
  test(name, async () => {
    const chatSite = startChatSite();
    const site = siteControl(chatSite.url);
    await site.set({ page_mode: "slow=2" });
    const server = await startServer({
      command: [...workerd, await built("single-file")],
      env: { API_MASTER_KEY: "sk-contract", CHAT_PAGE_URL: site.pageUrl, UPSTREAM_URL: site.ajaxUrl },
    });
    const ask = (signal?: AbortSignal) =>
      fetch(`${server.url}/v1/chat/completions`, {
        method: "POST",
        headers: { authorization: "Bearer sk-contract" },
        body: JSON.stringify({ messages: [{ role: "user", content: "Hello" }] }),
        ...(signal && { signal }),
      });
    const leaving = new AbortController();
    const left = ask(leaving.signal).catch(({ name }) => name);
    await until(async () => (await site.status()).counts.pages === 1);
    const startedMs = performance.now();
    const others = [ask(), ask()];
    await Bun.sleep(300);
    leaving.abort();
    expect(await left).toBe("AbortError");
    for (const other of others) expect((await other).status).toBe(200);
    // The page takes two seconds, and is not asked for anew.
    expect(performance.now() - startedMs).toBeLessThan(4000);
    expect((await site.status()).counts.pages).toBe(1);
    await server.stop();
    await chatSite.stop();
  });
