import { afterAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer } from "node:tls";
import { startChatSite } from "../../fakes/chat-site.ts";
import { startConnectProxy } from "../../fakes/connect-proxy.ts";
import { startServer } from "../../support/start-server.ts";
import { built, deno, run } from "./support/built.ts";

const folder = await mkdtemp(join(tmpdir(), "kimi-ai-2api-tls-"));
const key = join(folder, "key.pem");
const certificate = join(folder, "certificate.pem");
const host = "chat.example.test";
await run(
  `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=${host} -addext basicConstraints=critical,CA:FALSE -addext subjectAltName=DNS:${host},DNS:localhost -keyout ${key} -out ${certificate}`.split(
    " ",
  ),
);

const site = startChatSite();
const sitePort = Number(new URL(site.url).port);
/** The chat site by HTTPS. */
const front = createServer(
  { key: await Bun.file(key).text(), cert: await Bun.file(certificate).text() },
  (socket) => {
    const upstream = connect(sitePort, "127.0.0.1");
    socket.pipe(upstream).pipe(socket);
    socket.on("error", () => upstream.destroy());
    upstream.on("error", () => socket.destroy());
  },
);
await new Promise<void>((resolve) => front.listen(0, "127.0.0.1", resolve));
const frontPort = (front.address() as AddressInfo).port;

afterAll(async () => {
  front.close();
  await site.stop();
  await rm(folder, { recursive: true });
});

const commands = {
  Bun: () => [process.execPath, "--no-env-file", "adapters/bun.ts"],
  Deno: () => [deno, "run", "-A", "adapters/deno.ts"],
  Node: async () => ["node", await built("library")],
};

const trust = { NODE_EXTRA_CA_CERTS: certificate, DENO_CERT: certificate, DENO_KV_PATH: ":memory:" };

for (const [name, command] of Object.entries(commands)) {
  const ask = async (siteHost: string, env: Readonly<Record<string, string>>) => {
    const server = await startServer({
      command: (await command()) as [string, ...string[]],
      env: {
        ...trust,
        CHAT_PAGE_URL: `https://${siteHost}/chat/`,
        UPSTREAM_URL: `https://${siteHost}/wp-admin/admin-ajax.php`,
        ...env,
      },
    });
    const response = await fetch(`${server.url}/v1/chat/completions`, {
      method: "POST",
      body: JSON.stringify({ messages: [{ role: "user", content: "Hello" }] }),
    });
    const body = await response.json();
    await server.stop();
    return body.choices?.[0].message.content ?? body;
  };

  test(`${name} reaches the site through HTTPS_PROXY`, async () => {
    const proxy = await startConnectProxy(frontPort);
    expect(await ask(host, { HTTPS_PROXY: proxy.url })).toStartWith("You said: Hello\n");
    expect(new Set(proxy.asked)).toEqual(new Set([`${host}:443`]));
    proxy.stop();
  });

  test(`${name} leaves out the proxy for the hosts of NO_PROXY`, async () => {
    const proxy = await startConnectProxy(frontPort);
    const env = { HTTPS_PROXY: proxy.url, NO_PROXY: "example.com,localhost" };
    expect(await ask(`localhost:${frontPort}`, env)).toStartWith("You said: Hello\n");
    expect(proxy.asked).toEqual([]);
    proxy.stop();
  });
}
