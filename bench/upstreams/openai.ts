/** A fake OpenAI-compatible upstream for load: Chat Completions, whole or as a stream of events. */
import { announce } from "../announce.ts";
import { createControl } from "./control.ts";

const shared = { id: "chatcmpl-bench", created: 1_700_000_000, model: "bench-model" };
const usage = { prompt_tokens: 10, completion_tokens: 500, total_tokens: 510 };
const jsonHeaders = { "content-type": "application/json" };
const streamHeaders = { "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache" };
const encoder = new TextEncoder();

let whole = "";
let events: Uint8Array[] = [];
/** What comes last, without token counts and with them. */
let ends: { readonly plain: Uint8Array; readonly counted: Uint8Array };
const control = createControl(build);
build();

function event(fields: object): Uint8Array {
  return encoder.encode(
    `data: ${JSON.stringify({ ...shared, object: "chat.completion.chunk", ...fields })}\n\n`,
  );
}

function build(): void {
  const content = control.reply();
  const message = { role: "assistant", content };
  const choices = [{ index: 0, message, finish_reason: "stop" }];
  whole = JSON.stringify({ ...shared, object: "chat.completion", choices, usage });
  const { chunks, chunkChars } = control.settings;
  events = Array.from({ length: chunks }, (_, index) => {
    const piece = content.slice(index * chunkChars, (index + 1) * chunkChars);
    const delta = index === 0 ? { role: "assistant", content: piece } : { content: piece };
    return event({ choices: [{ index: 0, delta, finish_reason: null }] });
  });
  const finish = event({ choices: [{ index: 0, delta: {}, finish_reason: "stop" }] });
  const done = encoder.encode("data: [DONE]\n\n");
  ends = {
    plain: Buffer.concat([finish, done]),
    counted: Buffer.concat([finish, event({ choices: [], usage }), done]),
  };
}

/** Bun's own kind of stream, which writes straight to the socket; the standard one costs twice as much. */
interface DirectController {
  write(bytes: Uint8Array): void;
  flush(): void;
  close(): void;
}

/** Each event is flushed by itself, as a model server does that has one token at a time. */
function stream(signal: AbortSignal, isCounted: boolean): ReadableStream {
  const source = {
    type: "direct",
    async pull(controller: DirectController) {
      try {
        const { delayMs, gapMs } = control.settings;
        if (delayMs > 0) await Bun.sleep(delayMs);
        for (const bytes of [...events, isCounted ? ends.counted : ends.plain]) {
          if (signal.aborted) break;
          controller.write(bytes);
          controller.flush();
          if (gapMs > 0) await Bun.sleep(gapMs);
        }
        controller.close();
      } finally {
        control.leave();
      }
    },
  };
  return new ReadableStream(source as unknown as UnderlyingDefaultSource);
}

async function chat(request: Request): Promise<Response> {
  control.enter();
  const body = (await request.json()) as { stream?: boolean; stream_options?: { include_usage?: boolean } };
  const isCounted = body.stream_options?.include_usage === true;
  if (body.stream) return new Response(stream(request.signal, isCounted), { headers: streamHeaders });
  if (control.settings.delayMs > 0) await Bun.sleep(control.settings.delayMs);
  control.leave();
  return new Response(whole, { headers: jsonHeaders });
}

announce(
  Bun.serve({
    hostname: "127.0.0.1",
    port: Number(process.env.PORT ?? 0),
    idleTimeout: 0,
    fetch(request) {
      if (request.url.endsWith("/v1/chat/completions")) return chat(request);
      if (request.url.endsWith("/bench")) return control.answer(request);
      if (request.url.endsWith("/v1/models")) {
        return Response.json({
          object: "list",
          data: [{ id: shared.model, object: "model", created: 0, owned_by: "bench" }],
        });
      }
      return new Response("not found", { status: 404 });
    },
  }),
);
