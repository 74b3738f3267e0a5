/** The floor of the OpenAI lane: a bare proxy that passes request and answer through as they are. */
const { UPSTREAM_URL = "", PORT = "0" } = process.env;

Bun.serve({
  hostname: "127.0.0.1",
  port: Number(PORT),
  idleTimeout: 0,
  async fetch(request) {
    if (request.method !== "POST") return Response.json({ status: "ok" });
    const answer = await fetch(`${UPSTREAM_URL}/chat/completions`, {
      method: "POST",
      headers: { authorization: "Bearer sk-bench", "content-type": "application/json" },
      body: await request.text(),
      signal: request.signal,
    });
    const contentType = answer.headers.get("content-type") ?? "application/json";
    return new Response(answer.body, { status: answer.status, headers: { "content-type": contentType } });
  },
});
