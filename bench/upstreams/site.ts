/** A fake of the WordPress chat for load: a page with a nonce, and an admin-ajax.php that answers at once. */
import { announce } from "../announce.ts";
import { createControl } from "./control.ts";

const nonce = "f3749c0f5f";
const jsonHeaders = {
  "content-type": "application/json; charset=UTF-8",
  "cache-control": "no-cache, must-revalidate, max-age=0",
};

let body = "";
const control = createControl(build);
build();

function build(): void {
  body = JSON.stringify({ success: true, data: { message: control.reply() } });
}

function page(origin: string): string {
  const variables = JSON.stringify({ ajax_url: `${origin}/wp-admin/admin-ajax.php`, nonce });
  return `<!DOCTYPE html><html><body><h1>Chat</h1>\n<script id='kimi-chat-js-extra'>\nvar kimi_ajax = ${variables.replaceAll("/", "\\/")};\n</script></body></html>`;
}

async function chat(request: Request): Promise<Response> {
  control.enter();
  try {
    const form = await request.text();
    if (!form.includes(`nonce=${nonce}`) || !form.includes("message=")) {
      return new Response("-1", { status: 403, headers: { "content-type": "text/html; charset=UTF-8" } });
    }
    if (control.settings.delayMs > 0) await Bun.sleep(control.settings.delayMs);
    return new Response(body, { headers: jsonHeaders });
  } finally {
    control.leave();
  }
}

announce(
  Bun.serve({
    hostname: "127.0.0.1",
    port: Number(process.env.PORT ?? 0),
    idleTimeout: 0,
    fetch(request, server) {
      if (request.url.endsWith("/wp-admin/admin-ajax.php")) return chat(request);
      if (request.url.endsWith("/bench")) return control.answer(request);
      return new Response(page(server.url.origin), {
        headers: { "content-type": "text/html; charset=UTF-8" },
      });
    },
  }),
);
