/** Whatever order an upstream's parts come in, Anthropic's own SDK reads of the stream what the whole answer says. */
import { expect, test } from "bun:test";
import Anthropic from "@anthropic-ai/sdk";
import fc from "fast-check";
import { scriptedProvider } from "../fakes/scripted-provider.ts";
import { mixedParts } from "../support/stream-parts.ts";
import { testHandler } from "../support/test-handler.ts";

const ask = {
  model: "test-model",
  max_tokens: 2000,
  thinking: { type: "adaptive" as const },
  messages: [{ role: "user" as const, content: "Hi" }],
};

test("the @anthropic-ai/sdk package reads the same answer whole and streamed", async () => {
  await fc.assert(
    fc.asyncProperty(mixedParts, async ({ parts, calls, texts }) => {
      const provider = scriptedProvider({
        async *answer() {
          yield* parts;
          yield { type: "finish", reason: "stop" };
        },
      });
      const { handler } = testHandler({}, { providers: [provider] });
      const anthropic = new Anthropic({
        apiKey: "any",
        authToken: null,
        baseURL: "http://127.0.0.1:8088",
        maxRetries: 0,
        fetch: (url, init) => handler.fetch(new Request(url as string, init)),
      });
      const whole = await anthropic.messages.create(ask);
      const streamed = await anthropic.messages.stream(ask).finalMessage();
      const said = (kinds: readonly string[]) =>
        texts.map(({ kind, delta }) => (kinds.includes(kind) ? delta : "")).join("");
      for (const { content } of [whole, streamed]) {
        const thoughts = content.map((block) => (block.type === "thinking" ? block.thinking : "")).join("");
        expect(thoughts).toBe(said(["reasoning"]));
        const text = content.map((block) => (block.type === "text" ? block.text : "")).join("");
        expect(text.length).toBe(said(["text", "refusal"]).length);
        const inputs = content.flatMap((block) =>
          block.type === "tool_use" ? [[block.name, block.input]] : [],
        );
        const sent = calls.map(({ value }, index) => [`tool${index}`, JSON.parse(JSON.stringify(value))]);
        // As texts: a value may have a field named toString, which a sort would call.
        const sorted = (calls: unknown[]) => calls.map((call) => JSON.stringify(call)).sort();
        expect(sorted(inputs)).toEqual(sorted(sent));
      }
      expect(streamed.stop_reason).toBe(whole.stop_reason);
    }),
    { numRuns: 150 },
  );
});
