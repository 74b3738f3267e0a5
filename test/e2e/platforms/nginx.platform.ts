import { expect, test } from "bun:test";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startChatSite } from "../../fakes/chat-site.ts";
import { arrivalTimes } from "../../support/arrival-times.ts";
import { freePort } from "../../support/free-port.ts";
import { startServer } from "../../support/start-server.ts";

const debianConfig = Bun.file("/etc/nginx/nginx.conf");
const missing = (await debianConfig.exists())
  ? undefined
  : "no nginx with Debian's configuration is installed";

/** Debian's configuration with nothing but a site of one line, and its files where anyone may write. */
async function startNginx(upstream: string): Promise<{ url: string; stop(): Promise<unknown> }> {
  const folder = await mkdtemp(join(tmpdir(), "kimi-ai-2api-nginx-"));
  await chmod(folder, 0o755);
  const port = await freePort();
  const site = `server { listen 127.0.0.1:${port}; location / { proxy_pass ${upstream}; } }`;
  const config = (await debianConfig.text())
    .replace(/^pid .*;/m, `pid ${folder}/pid;`)
    .replace(/^error_log .*;/m, `error_log ${folder}/error.log;`)
    .replace(/access_log .*;/, `access_log off;`)
    .replace(/^\s*include \/etc\/nginx\/(?:conf\.d|modules-enabled)\/.*$/gm, "")
    .replace(/include \/etc\/nginx\/sites-enabled\/\*;/, site);
  expect(config).toContain(site);
  await Bun.write(join(folder, "nginx.conf"), config);
  const child = Bun.spawn(["nginx", "-p", folder, "-c", join(folder, "nginx.conf"), "-g", "daemon off;"], {
    stdout: "inherit",
    stderr: "inherit",
  });
  const url = `http://127.0.0.1:${port}`;
  for (let tries = 0; tries < 100; tries++) {
    if (await fetch(`${url}/health`).catch(() => undefined)) break;
    await Bun.sleep(50);
  }
  return {
    url,
    async stop() {
      child.kill("SIGTERM");
      await child.exited;
      await rm(folder, { recursive: true });
    },
  };
}

const name = "nginx at its defaults holds no stream back";
if (missing !== undefined) test.skip(`${name} (skipped: ${missing})`, () => {});
else
  test(name, async () => {
    const site = startChatSite({ reply: "A reply of many words, cut into short pieces. ".repeat(6) });
    const gateway = await startServer({
      env: {
        CHAT_PAGE_URL: site.pageUrl,
        UPSTREAM_URL: site.ajaxUrl,
        STREAM_DELAY_MS: "20",
        STREAM_CHUNK_CHARS: "5",
      },
    });
    const nginx = await startNginx(gateway.url);
    const response = await fetch(`${nginx.url}/v1/chat/completions`, {
      method: "POST",
      body: JSON.stringify({ stream: true, messages: [{ role: "user", content: "Hello" }] }),
    });
    expect(response.headers.get("server")).toStartWith("nginx");
    expect(response.headers.get("content-type")).toStartWith("text/event-stream");
    const arrivals = await arrivalTimes(response);
    const totalMs = arrivals.at(-1) ?? 0;
    expect(totalMs).toBeGreaterThan(500);
    expect(arrivals[0]).toBeLessThan(totalMs / 4);
    expect(arrivals.length).toBeGreaterThan(20);
    await nginx.stop();
    await gateway.stop();
    await site.stop();
  }, 20_000);
