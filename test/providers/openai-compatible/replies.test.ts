import { describe, expect, test } from "bun:test";
import { textOf } from "../../support/chat-request.ts";
import { askedUpstream, nativeEvents } from "./asked-upstream.ts";

const { ask } = await askedUpstream();

describe.each([true, false])("an upstream's replies, stream: %p,", (stream) => {
  test("are text, a finish and the upstream's own usage", async () => {
    const { parts, text, answer, error } = await ask({ stream });
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
    expect(answer?.calls ?? 1).toBe(1);
    expect(answer?.context?.droppedMessages ?? 0).toBe(0);
    expect(answer?.isComplete ?? false).toBe(!stream);
  });

  test("keep fields beside the choices, in every event", async () => {
    const { events } = await ask({ stream });
    const sent = nativeEvents(events);
    expect(sent.length).toBe(events.length);
    for (const event of sent)
      expect(event).toMatchObject({ system_fingerprint: "fp_stand_in", service_tier: "default" });
    expect(events.map(({ native }) => native?.isWhole)).toEqual(events.map(() => !stream));
  });

  test("keep their reasoning apart from their text", async () => {
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

  test("may call tools", async () => {
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

  test("may be several choices (n: 2), each with its log probabilities", async () => {
    const { events, parts } = await ask({ stream, n: 2, logprobs: true });
    expect(textOf(parts, 0)).toBe("Echo: Hello");
    expect(textOf(parts, 1)).toBe("Echo 1: Hello");
    expect(parts.filter(({ type }) => type === "finish")).toEqual([
      { type: "finish", reason: "stop" },
      { type: "finish", choice: 1, reason: "stop" },
    ]);
    let tokens = "";
    for (const { index, logprobs } of nativeEvents(events).flatMap(({ choices }) => choices)) {
      if (index !== 1 || logprobs === null) continue;
      for (const { token } of logprobs.content) tokens += token;
    }
    expect(tokens).toBe("Echo 1: Hello");
  });

  test("end with the upstream's own finish_reason", async () => {
    const { parts } = await ask({ stream, max_tokens: 1 });
    expect(textOf(parts)).toBe("Echo: ");
    expect(parts).toContainEqual({ type: "finish", reason: "length" });
  });
});
