import { beforeEach, describe, expect, test } from "bun:test";
import { ChatOpenAI } from "@langchain/openai";
import { gatewayBeforeSite } from "../support/gateway-before-site.ts";

const apiKey = "sk-client";
const { baseURL, site } = await gatewayBeforeSite({ API_MASTER_KEY: apiKey });
beforeEach(() => site.reset());

const chat = new ChatOpenAI({ model: "kimi-k2-instruct", apiKey, configuration: { baseURL }, maxRetries: 0 });

describe("LangChain", () => {
  test("invokes a chat model", async () => {
    const message = await chat.invoke([
      ["system", "Be brief."],
      ["human", "Hello there"],
    ]);
    expect(message.text).toStartWith("You said: User: Hello there\n");
    expect(message).toMatchObject({
      usage_metadata: { total_tokens: expect.any(Number) },
      response_metadata: { finish_reason: "stop" },
    });
  });

  test("streams a chat model, with usage metadata", async () => {
    const chunks = await Array.fromAsync(await chat.stream("Hello there"));
    expect(chunks.length).toBeGreaterThan(3);
    const whole = chunks.reduce((sum, chunk) => sum.concat(chunk));
    expect(whole.text).toStartWith("You said: Hello there\n");
    expect(whole).toMatchObject({ usage_metadata: { output_tokens: expect.any(Number) } });
  });

  test("throws a failure with its status", async () => {
    const error = await chat.invoke("[[sim:error=Out of ink]]").catch((reason) => reason);
    expect(error).toMatchObject({ status: 502, code: "upstream_error" });
    expect(error.message).toContain("Out of ink");
  });
});
