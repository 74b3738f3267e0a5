import { expect } from "bun:test";
import { startChatSite } from "../../../fakes/chat-site.ts";
import type { Server } from "../../../support/start-server.ts";

/** Has one instance be told something and another asked for it; `start` starts one, and `store` is what they must have. */
export async function rememberTogether(
  store: string,
  start: (env: Readonly<Record<string, string>>) => Promise<Pick<Server, "url" | "stop">>,
): Promise<void> {
  const site = startChatSite({ reply: (message) => `re ${message}` });
  const env = {
    API_MASTER_KEY: "sk-contract",
    CHAT_PAGE_URL: site.pageUrl,
    UPSTREAM_URL: site.ajaxUrl,
  };
  const [one, other] = await Promise.all([start(env), start(env)]);
  const headers = { authorization: "Bearer sk-contract", "x-session-id": "together-0123456789" };
  const told = await fetch(`${one.url}/v1/chat/completions`, {
    method: "POST",
    headers: { ...headers, "content-type": "application/json" },
    body: JSON.stringify({ messages: [{ role: "user", content: "My name is Ann." }] }),
  });
  expect(told.status).toBe(200);
  const remembered = await (await fetch(`${other.url}/v1/session`, { headers })).json();
  expect(remembered.messages[0]).toEqual({ role: "user", content: "My name is Ann." });
  const health = await (await fetch(`${other.url}/health`)).json();
  expect(health.sessions).toMatchObject({ store, shared: true });
  await Promise.all([one.stop(), other.stop()]);
  await site.stop();
}
