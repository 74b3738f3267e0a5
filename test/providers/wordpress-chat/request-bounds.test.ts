/** What the site can't do is refused before it is asked, with the field's name. */
import { describe, expect, test } from "bun:test";
import { kimiWeb } from "../../../core/providers/wordpress-chat/provider.ts";
import { fakeClock } from "../../fakes/fake-clock.ts";
import { hello, testHandler } from "../../support/test-handler.ts";

const fetch = () => Promise.reject(new Error("The site was asked."));
const { chat } = testHandler({}, { providers: [kimiWeb({ fetch, clock: fakeClock() })], clock: fakeClock() });
const ask = (fields: object) => chat({ ...hello, model: "kimi-k2-instruct", ...fields });
const tools = [{ type: "function", function: { name: "f" } }];

describe("a request to the site", () => {
  test.each<[object, string]>([
    [{ max_tokens: 0 }, "max_tokens"],
    [{ max_tokens: -1 }, "max_tokens"],
    [{ max_tokens: 1.5 }, "max_tokens"],
    [{ max_completion_tokens: -1 }, "max_completion_tokens"],
    [{ temperature: 2.1 }, "temperature"],
    [{ temperature: -0.1 }, "temperature"],
    [{ temperature: "hot" }, "temperature"],
    [{ top_p: 1.5 }, "top_p"],
    [{ presence_penalty: 3 }, "presence_penalty"],
    [{ frequency_penalty: -3 }, "frequency_penalty"],
    [{ top_logprobs: 25 }, "top_logprobs"],
    [{ stop: Array.from({ length: 65 }, String) }, "stop"],
  ])("with %j is invalid_request and names %s", async (fields, param) => {
    const response = await ask(fields);
    expect(response.status).toBe(400);
    const { error } = await response.json();
    expect(error).toMatchObject({ code: "invalid_request", type: "invalid_request_error", param });
    expect(error.message).toContain(param);
  });

  test.each<[object, string]>([
    [{ tools, tool_choice: "maybe" }, "tool_choice"],
    [{ tools, tool_choice: { type: "custom", custom: { name: "f" } } }, "tool_choice"],
    [{ response_format: { type: "regex", regex: "a" } }, "response_format"],
    [{ response_format: "json" }, "response_format"],
    [{ messages: [{ role: "control", content: "thinking" }, ...hello.messages] }, "messages[0].role"],
  ])("with %j is unsupported_parameter and names %s", async (fields, param) => {
    const response = await ask(fields);
    expect(response.status).toBe(400);
    expect((await response.json()).error).toMatchObject({ code: "unsupported_parameter", param });
  });

  test.each<object>([
    { tools, tool_choice: "required" },
    { tools, tool_choice: "any" },
    { tools, tool_choice: { type: "any" } },
    { tools, tool_choice: { type: "tool", name: "f" } },
    { tools, tool_choice: { type: "function", function: { name: "f" } } },
  ])("with %j is sent, but for where no tools are told in the prompt", async (fields) => {
    expect((await (await ask(fields)).json()).error.code).toBe("upstream_unreachable");
    const provider = kimiWeb({ fetch, clock: fakeClock(), toolsByPrompt: false });
    const without = testHandler({}, { providers: [provider], clock: fakeClock() });
    const response = await without.chat({ ...hello, model: "kimi-k2-instruct", ...fields });
    expect(response.status).toBe(400);
    expect((await response.json()).error).toMatchObject({
      code: "unsupported_parameter",
      param: "tool_choice",
    });
  });

  test.each<object>([
    { tools, tool_choice: "auto" },
    { tools, tool_choice: { type: "auto" } },
    { tools, tool_choice: "none" },
    { tools, tool_choice: { type: "none" } },
    { stop: ["1", "2", "3", "4", "5"] },
    { max_tokens: null, temperature: null, response_format: { type: "text" } },
    { temperature: 2, top_p: 0, max_tokens: 1, top_logprobs: 20 },
    { messages: [{ role: "user", content: [{ text: "Hi" }] }] },
  ])("with %j is sent", async (fields) => {
    expect((await (await ask(fields)).json()).error.code).toBe("upstream_unreachable");
  });
});
