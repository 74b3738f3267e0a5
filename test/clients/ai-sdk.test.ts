import { beforeEach, describe, expect, test } from "bun:test";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, generateText, streamText } from "ai";
import { gatewayBeforeSite } from "../support/gateway-before-site.ts";

const apiKey = "sk-client";
const { baseURL, site } = await gatewayBeforeSite({
  API_MASTER_KEY: apiKey,
  STREAM_COMMIT_MS: "500",
  CIRCUIT_BREAKER: "off",
});
beforeEach(() => site.reset());

const kimi = createOpenAICompatible({ name: "kimi", baseURL, apiKey, includeUsage: true });
const model = kimi("kimi-k2-instruct");

describe("the AI SDK", () => {
  test("generates a text", async () => {
    const { text, finishReason, usage } = await generateText({ model, prompt: "Hello there" });
    expect(text).toStartWith("You said: Hello there\n");
    expect(finishReason).toBe("stop");
    expect(usage.totalTokens).toBeGreaterThan(0);
  });

  test("streams a text with its usage", async () => {
    const result = streamText({ model, instructions: "Be brief.", prompt: "Hello there" });
    const deltas = await Array.fromAsync(result.textStream);
    expect(deltas.length).toBeGreaterThan(2);
    expect(deltas.join("")).toStartWith("You said: User: Hello there\n");
    expect(await result.finishReason).toBe("stop");
    expect((await result.usage).outputTokens).toBeGreaterThan(0);
  });

  test("throws a failure with its status and its message", async () => {
    const error = await generateText({ model, prompt: "[[sim:error=Out of ink]]", maxRetries: 0 }).catch(
      (reason) => reason,
    );
    expect(APICallError.isInstance(error)).toBe(true);
    expect(error).toMatchObject({ statusCode: 502, message: expect.stringContaining("Out of ink") });
    expect(error.responseHeaders["x-should-retry"]).toBe("false");
  });

  test.each([
    ["before", "error=Out of ink"],
    ["after", "slow=1|error=Out of ink"],
  ])("shows a failure %s the stream's headers as an error part", async (_, mode) => {
    const errors: unknown[] = [];
    const result = streamText({
      model,
      prompt: `[[sim:${mode}]]`,
      maxRetries: 0,
      onError: ({ error }) => {
        errors.push(error);
      },
    });
    const parts = await Array.fromAsync(result.fullStream);
    const failures = parts.filter((part) => part.type === "error");
    expect(failures).toHaveLength(1);
    expect(
      String((failures[0] as { error: { message?: string } }).error?.message ?? failures[0]?.error),
    ).toContain("Out of ink");
    expect(parts.filter((part) => part.type === "text-delta")).toEqual([]);
    expect(errors).toHaveLength(1);
  });
});
