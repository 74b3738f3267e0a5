/**
 * The floor of the site lane: the least that does the visible work. It reads the JSON, posts the form and answers
 * as JSON or as events of 20 characters; no checks, no errors, no history.
 */
const { UPSTREAM_URL = "", PORT = "0" } = process.env;
const encoder = new TextEncoder();
const model = "kimi-k2-instruct";

function whole(content: string, prompt: string): Response {
  const [prompt_tokens, completion_tokens] = [Math.ceil(prompt.length / 4), Math.ceil(content.length / 4)];
  return Response.json({
    id: `chatcmpl-${crypto.randomUUID()}`,
    object: "chat.completion",
    created: Math.floor(Date.now() / 1000),
    model,
    choices: [{ index: 0, message: { role: "assistant", content }, finish_reason: "stop" }],
    usage: { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens },
  });
}

function events(content: string): Response {
  const created = Math.floor(Date.now() / 1000);
  const head = `data: {"id":"chatcmpl-${crypto.randomUUID()}","object":"chat.completion.chunk","created":${created},"model":"${model}","choices":[{"index":0,"delta":`;
  const body = new ReadableStream({
    start(controller) {
      const send = (text: string) => controller.enqueue(encoder.encode(text));
      send(`${head}{"role":"assistant","content":""},"finish_reason":null}]}\n\n`);
      for (let at = 0; at < content.length; at += 20) {
        send(`${head}{"content":${JSON.stringify(content.slice(at, at + 20))}},"finish_reason":null}]}\n\n`);
      }
      send(`${head}{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n`);
      controller.close();
    },
  });
  return new Response(body, { headers: { "content-type": "text/event-stream; charset=utf-8" } });
}

Bun.serve({
  hostname: "127.0.0.1",
  port: Number(PORT),
  idleTimeout: 0,
  async fetch(request) {
    if (request.method !== "POST") return Response.json({ status: "ok" });
    const { messages, stream } = (await request.json()) as {
      messages: { content: string }[];
      stream?: boolean;
    };
    const message = messages.at(-1)?.content ?? "";
    const session_id = `session_${Date.now()}_bench0000`;
    const form = { action: "kimi_send_message", nonce: "f3749c0f5f", message, model, session_id };
    const answer = await fetch(UPSTREAM_URL, { method: "POST", body: new URLSearchParams(form) });
    const { data } = (await answer.json()) as { data: { message: string } };
    return stream ? events(data.message) : whole(data.message, message);
  },
});
