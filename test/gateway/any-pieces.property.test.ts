/** A reply is the same text wherever its bytes were cut on their way, from either kind of upstream, whole or streamed. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { openAiCompatible } from "../../core/providers/openai-compatible/provider.ts";
import { kimiWeb } from "../../core/providers/wordpress-chat/provider.ts";
import type { Fetch, Provider } from "../../core/types.ts";
import { chatRequest, providerContext, readAnswer, textOf } from "../support/chat-request.ts";

const bytesOf = (text: string) => new TextEncoder().encode(text);

/** The bytes, cut at these places. */
const inPieces = (bytes: Uint8Array, places: readonly number[]): ReadableStream<Uint8Array> => {
  const cuts = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b);
  const pieces = [...cuts, bytes.length].map((end, index) =>
    bytes.slice(index === 0 ? 0 : cuts[index - 1], end),
  );
  return new ReadableStream({
    start(controller) {
      for (const piece of pieces) controller.enqueue(piece);
      controller.close();
    },
  });
};

const anyPlaces = fc.array(fc.nat({ max: 100_000 }), { maxLength: 60 });
const anyText = fc.oneof(
  fc.string({ unit: "grapheme", minLength: 1 }),
  fc.string({ unit: "grapheme-composite", minLength: 1 }),
  fc
    .array(
      fc.constantFrom(
        "\n",
        "\r\n",
        "data: ",
        "\n\n",
        "[DONE]",
        ": ",
        "{",
        '"',
        "\\",
        "\u2028",
        "👨‍👩‍👧‍👦",
        "é",
        "世",
      ),
      {
        minLength: 1,
      },
    )
    .map((list) => list.join("")),
);

async function expectText(provider: Provider, text: string, stream: boolean): Promise<void> {
  const [model] = await provider.models(providerContext());
  const request = chatRequest({ messages: [{ role: "user", content: "Hello" }], stream }, model?.id);
  const { parts, error } = await readAnswer(provider.answer(request, providerContext()));
  expect(error).toBeUndefined();
  expect(textOf(parts)).toBe(text);
  expect(parts.filter(({ type }) => type === "finish")).toHaveLength(1);
}

describe("a reply of the chat site is the same wherever its bytes are cut,", () => {
  /** PHP's json_encode escapes slashes, and what is not ASCII unless it is told otherwise. */
  const phpJson = (value: unknown, isAscii: boolean): string => {
    const json = JSON.stringify(value).replaceAll("/", "\\/");
    return isAscii
      ? json.replace(/[\u0080-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
      : json;
  };

  const site = (answer: () => Response): Provider => {
    const fetch: Fetch = async (_, { method }) =>
      method === "POST" ? answer() : new Response('<script>var kimi_ajax = {"nonce":"0123456789"};</script>');
    return kimiWeb({
      pageUrl: "https://kimi-ai.chat/chat/",
      ajaxUrl: "https://kimi-ai.chat/wp-admin/admin-ajax.php",
      models: [{ id: "kimi", siteName: "Kimi" }],
      maxChars: 1000,
      safeText: true,
      chunkChars: 3,
      chunkDelayMs: 0,
      fetch,
    });
  };

  test.each([true, false])("streamed on: %p", async (stream) => {
    const around = fc.constantFrom(
      ["", ""],
      ["\ufeff", ""],
      ["\n\n", "0"],
      ["<br />\n<b>Warning</b>: x\n", "\n<!-- x -->"],
    );
    await fc.assert(
      fc.asyncProperty(
        anyText,
        fc.boolean(),
        around,
        anyPlaces,
        async (text, isAscii, [before, after], places) => {
          const json = phpJson({ success: true, data: { message: text } }, isAscii);
          const bytes = bytesOf(`${before}${json}${after}`);
          await expectText(
            site(() => new Response(inPieces(bytes, places))),
            text,
            stream,
          );
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe("a reply of an upstream of OpenAI's kind is the same wherever its bytes are cut,", () => {
  const upstream = (answer: () => Response): Provider =>
    openAiCompatible({
      name: "upstream",
      baseUrl: "https://upstream.example/v1",
      models: ["echo"],
      fetch: async () => answer(),
    });

  test("as one object", async () => {
    await fc.assert(
      fc.asyncProperty(anyText, anyPlaces, fc.boolean(), async (text, places, stream) => {
        const choices = [{ index: 0, message: { role: "assistant", content: text }, finish_reason: "stop" }];
        const bytes = bytesOf(JSON.stringify({ choices }));
        await expectText(
          upstream(() => new Response(inPieces(bytes, places))),
          text,
          stream,
        );
      }),
      { numRuns: 300 },
    );
  });

  test("as events, with any line ends and comments between them", async () => {
    const lineEnd = fc.constantFrom("\n", "\r\n", "\r");
    await fc.assert(
      fc.asyncProperty(
        fc.array(anyText, { minLength: 1, maxLength: 8 }),
        lineEnd,
        fc.boolean(),
        anyPlaces,
        async (deltas, end, hasComments, places) => {
          const event = (delta: object, finish_reason: string | null) =>
            `data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason }] })}${end}${end}`;
          const comment = hasComments ? `: keep-alive${end}${end}` : "";
          const events = deltas.map((content) => comment + event({ content }, null)).join("");
          const bytes = bytesOf(`${events}${event({}, "stop")}data: [DONE]${end}${end}`);
          const headers = { "content-type": "text/event-stream" };
          const answer = () => new Response(inPieces(bytes, places), { headers });
          await expectText(upstream(answer), deltas.join(""), true);
        },
      ),
      { numRuns: 300 },
    );
  });
});
