/** Anthropic's SDK and Ollama's package over the chat site. */
import { beforeEach, describe, expect, test } from "bun:test";
import Anthropic from "@anthropic-ai/sdk";
import { Ollama } from "ollama";
import { gatewayBeforeSite } from "../support/gateway-before-site.ts";

const apiKey = "sk-client";
const { url, site } = await gatewayBeforeSite({
  API_MASTER_KEY: apiKey,
  MODEL_ALIASES: "*=kimi-k2-instruct",
  STREAM_COMMIT_MS: "100",
  STREAM_KEEPALIVE_MS: "100",
  CIRCUIT_BREAKER: "off",
});
beforeEach(() => site.reset());

const anthropic = new Anthropic({ apiKey, authToken: null, baseURL: url, maxRetries: 0 });
const say = (content: string) => ({
  model: "claude-of-the-test",
  max_tokens: 1000,
  messages: [{ role: "user" as const, content }],
});

describe("the @anthropic-ai/sdk package over the site", () => {
  test("creates and streams messages, with token counts", async () => {
    for (const message of [
      await anthropic.messages.create(say("Hello there")),
      await anthropic.messages.stream(say("Hello there")).finalMessage(),
    ]) {
      const [block] = message.content;
      expect(block?.type === "text" && block.text).toStartWith("You said: Hello there\n");
      expect(message).toMatchObject({ model: "claude-of-the-test", stop_reason: "end_turn" });
      expect(message.usage.input_tokens).toBeGreaterThan(0);
      expect(message.usage.output_tokens).toBeGreaterThan(0);
    }
  });

  test("is told which of many stop texts ended a reply", async () => {
    const stop_sequences = ["one", "two", "three", "four", "five", "there"];
    const message = await anthropic.messages.create({ ...say("Hello there"), stop_sequences });
    expect(message).toMatchObject({
      content: [{ type: "text", text: "You said: Hello " }],
      stop_reason: "stop_sequence",
      stop_sequence: "there",
    });
  });

  test("waits with pings for a slow answer, and learns how it failed", async () => {
    const stream = await anthropic.messages
      .create({ ...say("[[sim:slow=0.5|error=Out of ink]]"), stream: true })
      .asResponse();
    const text = await stream.text();
    expect(text).toStartWith("event: message_start\n");
    expect(text.match(/^event: ping$/gm)?.length).toBeGreaterThan(1);
    expect(text).toContain("event: error\n");
    expect(text).toContain("Out of ink");
    expect(text).not.toContain("message_stop");
  });

  test("learns at once that a prompt is too long", async () => {
    const error = await anthropic.messages.create(say("x".repeat(50_000))).catch((reason) => reason);
    expect(error).toBeInstanceOf(Anthropic.BadRequestError);
    expect(error.error.error.message).toMatch(/^prompt is too long: \d+ tokens > 250 maximum/);
    expect((await site.status()).counts.ajax).toBe(0);
  });
});

test("the ollama package chats over the site", async () => {
  const ollama = new Ollama({ host: url, headers: { "x-api-key": apiKey } });
  const asked = { model: "kimi-k2-instruct", messages: [{ role: "user", content: "Hello there" }] };
  expect((await ollama.chat(asked)).message.content).toStartWith("You said: Hello there\n");
  const chunks = await Array.fromAsync(await ollama.chat({ ...asked, stream: true }));
  expect(chunks.map(({ message }) => message.content).join("")).toStartWith("You said: Hello there\n");
});
