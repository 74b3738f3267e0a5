/** A handler in this process before an OpenAI-compatible upstream that answers with given bytes. */
import { openAiCompatible } from "../../core/providers/openai-compatible/provider.ts";
import type { Fetch } from "../../core/types.ts";
import { eventStream } from "../fakes/openai-upstream.ts";
import { testHandler } from "./test-handler.ts";

const encoder = new TextEncoder();

/** What the upstream answers: a stream of these pieces, or a JSON body. */
export type UpstreamReply = readonly (string | Uint8Array)[] | Readonly<Record<string, unknown>>;

const isPieces = (reply: UpstreamReply): reply is readonly (string | Uint8Array)[] => Array.isArray(reply);

/** A response of exactly these pieces: TCP would join them as it likes. */
export const replyResponse = (reply: UpstreamReply): Response => {
  if (!isPieces(reply)) return Response.json(reply);
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const piece of reply)
        controller.enqueue(typeof piece === "string" ? encoder.encode(piece) : piece);
      controller.close();
    },
  });
  return new Response(body, { headers: eventStream });
};

/** `answer` sets what comes next. */
export function handlerBeforeUpstream(options: { readonly reasoningTags?: readonly string[] } = {}) {
  let next: UpstreamReply = [];
  const send: Fetch = async () => replyResponse(next);
  const provider = openAiCompatible({
    name: "stand-in",
    baseUrl: "http://127.0.0.1:1/v1",
    models: ["echo"],
    fetch: send,
    ...options,
  });
  const gateway = testHandler({ CIRCUIT_BREAKER: "off" }, { providers: [provider] });
  return {
    ...gateway,
    upstream: provider,
    answer(reply: UpstreamReply) {
      next = reply;
    },
    /** The whole text of the answer to a plain question. */
    async ask(body: object = {}): Promise<string> {
      const messages = [{ role: "user", content: "Hello" }];
      return (await gateway.chat({ model: "echo", messages, ...body })).text();
    },
  };
}
