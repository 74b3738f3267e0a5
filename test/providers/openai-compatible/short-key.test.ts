/** A key that is a part of ordinary words is no secret to look for: every message with such a word would be hidden. */
import { expect, test } from "bun:test";
import { openAiCompatible } from "../../../core/providers/openai-compatible/provider.ts";
import { jsonScript } from "../../fakes/openai-upstream.ts";
import { testUpstream } from "../../support/gateway-before-upstreams.ts";
import { testHandler } from "../../support/test-handler.ts";

const upstream = await testUpstream();

const messageFor = async (apiKey: string, words: string): Promise<string> => {
  upstream.script(jsonScript(400, { error: { message: words, type: "invalid_request_error" } }));
  const provider = openAiCompatible({ name: "local", baseUrl: upstream.baseUrl, models: ["a"], apiKey });
  const { chat } = testHandler({}, { providers: [provider] });
  const { error } = await (await chat({ model: "a", messages: [{ role: "user", content: "Hi" }] })).json();
  return error.message;
};

test.each(["k", "none", "ollama", "sk-1234"])(
  "the upstream's words are shown with the key %s in them",
  async (key) => {
    const words = `The field ${key} of ollama is unknown to the tokenizer, none of them.`;
    expect(await messageFor(key, words)).toContain(words);
  },
);

test.each(["12345678", "sk-of-the-operator"])("they are not with the key %s in them", async (key) => {
  expect(await messageFor(key, `Incorrect key ${key} given.`)).not.toContain(key);
});
