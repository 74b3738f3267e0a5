import { describe, expect, test } from "bun:test";
import { textOf } from "../../support/chat-request.ts";
import { askedUpstream } from "./asked-upstream.ts";

const { ask } = await askedUpstream();

describe.each([true, false])("replies, stream: %p", (stream) => {
  test("are text, a finish and the upstream's own usage", async () => {
    const { parts, text, trace, error } = await ask({ stream });
    expect(error).toBeUndefined();
    expect(text).toBe("Echo: Hello");
    expect(parts.filter(({ type }) => type === "finish")).toEqual([{ type: "finish", reason: "stop" }]);
    expect(parts.at(-1)).toEqual({
      type: "usage",
      usage: {
        promptTokens: 1,
        completionTokens: 7,
        totalTokens: 8,
        details: {
          prompt_tokens_details: { cached_tokens: 0 },
          completion_tokens_details: { reasoning_tokens: 2 },
        },
      },
    });
    expect(trace).toEqual({ attempts: 1, upstreamMs: expect.any(Number), droppedMessages: 0 });
  });

  test("keep fields beside the choices, once each", async () => {
    const { parts } = await ask({ stream });
    expect(parts.filter((part) => part.type === "extension")).toEqual([
      {
        type: "extension",
        scope: "answer",
        fields: { system_fingerprint: "fp_stand_in", service_tier: "default" },
      },
    ]);
  });

  test("reason apart from the text", async () => {
    const { parts, text } = await ask({ stream, model: "reasoner" });
    const reasoning = parts.map((part) => (part.type === "reasoning-delta" ? part.delta : "")).join("");
    expect(reasoning).toBe("First I think about it.");
    expect(text).toBe("Echo: Hello");
  });

  test("may be a refusal", async () => {
    const { parts, text } = await ask({ stream, model: "refuser" });
    expect(parts.map((part) => (part.type === "refusal-delta" ? part.delta : "")).join("")).toBe(
      "I would rather not.",
    );
    expect(text).toBe("");
  });

  test("call tools", async () => {
    const parameters = { type: "object", properties: { city: { type: "string" } } };
    const tools = ["weather", "time"].map((name) => ({ type: "function", function: { name, parameters } }));
    const { parts } = await ask({ stream, tools });
    const calls: { id: string; name: string; text: string }[] = [];
    for (const part of parts) {
      if (part.type !== "tool-call-delta") continue;
      const { index, id, name, delta } = part;
      if (id !== undefined && name !== undefined) calls[index] = { id, name, text: "" };
      if (calls[index] !== undefined) calls[index].text += delta;
    }
    expect(calls).toEqual([
      { id: "call_0_0", name: "weather", text: '{"city":"Paris"}' },
      { id: "call_0_1", name: "time", text: '{"city":"Paris"}' },
    ]);
    expect(parts).toContainEqual({ type: "finish", reason: "tool_calls" });
  });

  test("may be several, with log probabilities", async () => {
    const { parts } = await ask({ stream, n: 2, logprobs: true });
    expect(textOf(parts, 0)).toBe("Echo: Hello");
    expect(textOf(parts, 1)).toBe("Echo 1: Hello");
    expect(parts.filter(({ type }) => type === "finish")).toEqual([
      { type: "finish", reason: "stop" },
      { type: "finish", choice: 1, reason: "stop" },
    ]);
    let tokens = "";
    for (const part of parts) {
      if (part.type !== "extension" || part.scope !== "choice" || part.choice !== 1) continue;
      const { content } = part.fields.logprobs as { content: { token: string }[] };
      tokens += content.map(({ token }) => token).join("");
    }
    expect(tokens).toBe("Echo 1: Hello");
  });

  test("end for the upstream's reason", async () => {
    const { parts } = await ask({ stream, max_tokens: 1 });
    expect(textOf(parts)).toBe("Echo: ");
    expect(parts).toContainEqual({ type: "finish", reason: "length" });
  });
});
