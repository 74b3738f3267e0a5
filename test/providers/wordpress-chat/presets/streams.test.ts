/** A site's streams reach clients as they come, with the same limits and the same cleaning as whole replies. */
import { afterEach, describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { ApiError } from "../../../../core/errors.ts";
import { wordpressChat } from "../../../../core/providers/wordpress-chat/provider.ts";
import { PieceLimiter } from "../../../../core/providers/wordpress-chat/reply/limit-pieces.ts";
import { limitReply } from "../../../../core/providers/wordpress-chat/reply/limit-reply.ts";
import type { ChatRequest } from "../../../../core/types.ts";
import { type PluginSite, startPluginSite } from "../../../fakes/chat-plugin.ts";
import { chatRequest, providerContext, readAnswer, textOf } from "../../../support/chat-request.ts";
import { pluginSettings } from "./plugins.ts";

type Streaming = "wpbot" | "mxchat" | "ai-engine" | "wp-ai-chat" | "wp-ai-chatbot";
const streaming = [
  "wpbot",
  "mxchat",
  "ai-engine",
  "wp-ai-chat",
  "wp-ai-chatbot",
] as const satisfies Streaming[];

const sites: PluginSite[] = [];
afterEach(async () => {
  await Promise.all(sites.splice(0).map((site) => site.stop()));
});

function setUp(name: Streaming) {
  const site = startPluginSite(name);
  sites.push(site);
  const provider = wordpressChat({ ...pluginSettings[name], site: site.url });
  const [model] = provider.models(providerContext()) as readonly { readonly id: string }[];
  const ask = (text: string, asking: Partial<ChatRequest> = {}) =>
    readAnswer(
      provider.answer(
        {
          ...chatRequest({ model: model?.id ?? "", messages: [{ role: "user", content: text }] }),
          ...asking,
        },
        providerContext(),
      ),
    );
  return { site, ask };
}

describe.each([...streaming])("the stream of %s", (name) => {
  test("goes out piece by piece, and ends with a finish and an estimate of tokens", async () => {
    const { parts, events, answer } = await setUp(name).ask("Tell me a story");
    expect(textOf(parts)).toBe("You said: Tell me a story");
    expect(events.length).toBeGreaterThan(2);
    expect(answer?.isComplete).toBeUndefined();
    expect(parts.slice(-2)).toMatchObject([{ type: "finish", reason: "stop" }, { type: "usage" }]);
  });

  test("is put together where the client wants no stream", async () => {
    const { parts, answer } = await setUp(name).ask("Tell me", { stream: false });
    expect(parts[0]).toEqual({ type: "text-delta", delta: "You said: Tell me" });
    expect(answer?.isComplete).toBe(true);
  });

  test("ends before a stop text that comes in pieces", async () => {
    const { parts } = await setUp(name).ask("one two STOP three", { stop: ["STOP"] });
    expect(textOf(parts)).toBe("You said: one two ");
    expect(parts.find(({ type }) => type === "finish")).toEqual({
      type: "finish",
      reason: "stop",
      stopSequence: "STOP",
    });
  });

  test("ends where its tokens are used up", async () => {
    const { parts } = await setUp(name).ask("one two three four five six seven", { maxTokens: 5 });
    expect(textOf(parts)).toBe("You said: one two");
    expect(parts.find(({ type }) => type === "finish")).toEqual({ type: "finish", reason: "length" });
  });

  test("has its look-alikes turned back", async () => {
    const { parts } = await setUp(name).ask("a <b> 100%20");
    expect(textOf(parts)).toBe("You said: a <b> 100%20");
  });

  test("carries characters that are cut in two", async () => {
    const { parts } = await setUp(name).ask("😀😀😀😀");
    expect(textOf(parts)).toBe("You said: 😀😀😀😀");
    for (const part of parts) if (part.type === "text-delta") expect(part.delta.isWellFormed()).toBe(true);
  });

  test("is told from the failure that comes in its place", async () => {
    const { site, ask } = setUp(name);
    site.failNext();
    const { parts, error } = await ask("Hello");
    expect(parts).toEqual([]);
    expect((error as ApiError).message).toContain("The AI model is overloaded");
  });

  // Of those two, nothing tells the end but the end.
  test.skipIf(name === "mxchat" || name === "wp-ai-chatbot")("is an error where it breaks off", async () => {
    const { site, ask } = setUp(name);
    site.breakNext();
    const { parts, error } = await ask("Hello");
    expect(textOf(parts)).toBe("You s");
    expect(error).toMatchObject({ code: "upstream_unreachable" });
  });

  test("waits for calls of tools until all is there", async () => {
    const tools = [{ name: "look", description: "Looks", parameters: { type: "object" } }] as const;
    const { parts } = await setUp(name).ask('@@look {"at":"it"}', {
      tools,
      toolChoice: "auto",
      native: { tools: tools.map((tool) => ({ type: "function", function: tool })) },
    });
    expect(parts.at(-2)).toMatchObject({ type: "finish" });
  });
});

describe("the limits of a reply in pieces", () => {
  const cut = (text: string, sizes: readonly number[]): string[] => {
    const pieces: string[] = [];
    for (let at = 0, index = 0; at < text.length; index++) {
      const size = sizes[index % sizes.length] as number;
      pieces.push(text.slice(at, at + size));
      at += size;
    }
    return pieces;
  };
  const limited = (pieces: readonly string[], limits: { stop: readonly string[]; maxTokens?: number }) => {
    const limiter = new PieceLimiter(limits);
    let text = "";
    for (const piece of pieces) {
      text += limiter.add(piece);
      if (limiter.end) break;
    }
    text += limiter.finish();
    return { text, end: limiter.end };
  };
  const texts = fc.string({ unit: fc.constantFrom("a", "b", " ", "x", "ab", "\n"), maxLength: 60 });
  const sizes = fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1 });

  test("cut at stop texts where a whole reply is cut", () => {
    const stops = fc.array(fc.string({ unit: fc.constantFrom("a", "b", "x"), minLength: 1, maxLength: 4 }), {
      maxLength: 3,
    });
    fc.assert(
      fc.property(texts, sizes, stops, (text, pieceSizes, stop) => {
        const whole = limitReply(text, { stop });
        const { text: sent, end } = limited(cut(text, pieceSizes), { stop });
        expect(sent).toBe(whole.text);
        expect(end?.text).toBe(whole.text);
        expect(end?.reason).toBe("stop");
      }),
    );
  });

  test("cut where the tokens are used up, a word more or less", () => {
    fc.assert(
      fc.property(texts, sizes, fc.integer({ min: 1, max: 20 }), (text, pieceSizes, maxTokens) => {
        const whole = limitReply(text, { stop: [], maxTokens });
        const { text: sent } = limited(cut(text, pieceSizes), { stop: [], maxTokens });
        expect(text.startsWith(sent)).toBe(true);
        expect(Math.abs(sent.length - whole.text.length)).toBeLessThanOrEqual(8);
      }),
    );
  });
});
