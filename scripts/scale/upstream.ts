/** An OpenAI-compatible upstream whose answers are as long as the question says: "1500 …" is answered with 1,500 bytes. */

export interface SizedUpstream {
  readonly baseUrl: string;
  stop(): Promise<void>;
}

export const sizedModel = "sized";

/** A question of so many bytes that wants an answer of so many; at least 8 bytes. */
export const sizedQuestion = (questionBytes: number, answerBytes: number): string =>
  `${answerBytes} `.padEnd(questionBytes, "q");

/** The pieces of a streamed answer have as many characters as those of the benchmarks. */
export const chunkChars = 20;

const usage = { prompt_tokens: 120, completion_tokens: 340, total_tokens: 460 };
const common = { id: "chatcmpl-1", created: 1_700_000_000, model: sizedModel };

interface Asked {
  readonly stream?: boolean;
  readonly messages: readonly { readonly content: string }[];
}

function events(answer: string): string {
  const chunk = (delta: object, more: object = {}) =>
    `data: ${JSON.stringify({
      ...common,
      object: "chat.completion.chunk",
      choices: [{ index: 0, delta, finish_reason: null, ...more }],
    })}\n\n`;
  const deltas = Array.from({ length: Math.ceil(answer.length / chunkChars) }, (_, at) =>
    chunk({ content: answer.slice(at * chunkChars, (at + 1) * chunkChars) }),
  );
  const last = `data: ${JSON.stringify({ ...common, object: "chat.completion.chunk", choices: [], usage })}\n\n`;
  return [...deltas, chunk({}, { finish_reason: "stop" }), last, "data: [DONE]\n\n"].join("");
}

/** Starts it on a free port. */
export function startSizedUpstream(): SizedUpstream {
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 0,
    async fetch(request) {
      const { stream = false, messages } = (await request.json()) as Asked;
      const answer = "a".repeat(Number.parseInt(messages.at(-1)?.content ?? "", 10));
      if (stream) return new Response(events(answer), { headers: { "content-type": "text/event-stream" } });
      const message = { role: "assistant", content: answer };
      const choices = [{ index: 0, message, finish_reason: "stop" }];
      return Response.json({ ...common, object: "chat.completion", choices, usage });
    },
  });
  return { baseUrl: `${server.url.origin}/v1`, stop: () => server.stop(true) };
}
