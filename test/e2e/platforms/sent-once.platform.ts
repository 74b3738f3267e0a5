import { expect, test } from "bun:test";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { startChatSite } from "../../fakes/chat-site.ts";
import { startServer } from "../../support/start-server.ts";
import { built, deno } from "./support/built.ts";

/** Answers the first message of each connection, keeps it open, and hangs up on a second one once it has come whole. */
async function startHangingUp() {
  const messages: string[] = [];
  const sockets = new Set<Socket>();
  const answer = JSON.stringify({ success: true, data: { message: "Fine." } });
  const server = createServer((socket) => {
    sockets.add(socket);
    let text = "";
    let answered = 0;
    socket.on("error", () => {});
    socket.on("data", (bytes) => {
      text += bytes.toString("latin1");
      const [head = "", body = ""] = text.split("\r\n\r\n");
      const length = Number(/content-length: (\d+)/i.exec(head)?.[1]);
      if (!(body.length >= length)) return;
      text = "";
      messages.push(new URLSearchParams(body).get("message") ?? "");
      if (answered++ > 0) socket.destroy();
      else socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${answer.length}\r\n\r\n${answer}`);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/wp-admin/admin-ajax.php`,
    messages,
    stop() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

const commands = {
  Bun: () => [process.execPath, "--no-env-file", "adapters/bun.ts"],
  Deno: () => [deno, "run", "-A", "adapters/deno.ts"],
  "`deno serve`": () => [deno, "serve", "-A", "--host", "127.0.0.1", "--port", "0", "handler.ts"],
  Node: async () => ["node", await built("library")],
};

for (const [name, command] of Object.entries(commands)) {
  test(`${name} sends no message twice to a site that hangs up on it`, async () => {
    const pages = startChatSite();
    const site = await startHangingUp();
    const server = await startServer({
      command: (await command()) as [string, ...string[]],
      env: {
        API_MASTER_KEY: "sk-contract",
        CHAT_PAGE_URL: pages.pageUrl,
        UPSTREAM_URL: site.url,
        DENO_KV_PATH: ":memory:",
      },
    });
    const texts = ["one", "two", "three", "four"];
    for (const content of texts) {
      const response = await fetch(`${server.url}/v1/chat/completions`, {
        method: "POST",
        headers: { authorization: "Bearer sk-contract" },
        body: JSON.stringify({ messages: [{ role: "user", content }] }),
      });
      expect([200, 502]).toContain(response.status);
      await response.text();
    }
    expect(site.messages).toEqual(texts);
    await server.stop();
    site.stop();
    await pages.stop();
  });
}
