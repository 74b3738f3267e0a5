/** What OpenAI's client is told of responses, whoever keeps them: the gateway, or an upstream that speaks Responses itself. */
import { expect, test } from "bun:test";
import type OpenAI from "openai";
import { zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

export const weather = {
  type: "function" as const,
  name: "weather",
  parameters: {
    type: "object",
    properties: { city: { type: "string" } },
    required: ["city"],
    additionalProperties: false,
  },
  strict: true,
};

export function streamsAndParses(openai: () => OpenAI, model: string): void {
  test("stream events that its strict helper takes, at first and again", async () => {
    const stream = openai().responses.stream({ model: "reasoner", input: "Hello" });
    const deltas: string[] = [];
    stream.on("response.output_text.delta", ({ delta }) => deltas.push(delta));
    const response = await stream.finalResponse();
    expect(deltas.length).toBeGreaterThan(1);
    expect(response.output_text).toBe(deltas.join(""));
    expect(response.output.map(({ type }) => type)).toEqual(["reasoning", "message"]);
    const replayed = await openai().responses.stream({ response_id: response.id }).finalResponse();
    expect(replayed.output_text).toBe(response.output_text);
  });

  test("are parsed by a schema", async () => {
    const format = zodTextFormat(z.object({ city: z.string(), warm: z.boolean() }), "weather");
    const response = await openai().responses.parse({ model, input: "Weather?", text: { format } });
    expect(response.output_parsed).toEqual({ city: "Paris", warm: true });
  });
}
