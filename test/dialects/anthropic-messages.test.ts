/** Requests of Anthropic's Messages: what of them reaches a provider, and what its answers become. */
import { describe, expect, test } from "bun:test";
import { kimiWeb } from "../../core/providers/wordpress-chat/provider.ts";
import type { StreamPart } from "../../core/types.ts";
import type { Json } from "../fakes/openai-upstream.ts";
import { scriptedProvider } from "../fakes/scripted-provider.ts";
import { testHandler } from "../support/test-handler.ts";

const hi = { role: "user", content: "Hi" };

const setUp = (parts: readonly StreamPart[] = [{ type: "text-delta", delta: "ok" }]) => {
  const provider = scriptedProvider({
    async *answer() {
      yield* parts;
      yield { type: "finish", reason: "stop" };
    },
  });
  const handler = testHandler({}, { providers: [provider] });
  const post = (path: string, body: unknown, headers: Record<string, string> = {}) =>
    handler.send(path, { method: "POST", body: JSON.stringify(body), headers });
  return {
    ...handler,
    post,
    ask: (body: object, headers?: Record<string, string>) =>
      post("/v1/messages?beta=true", { max_tokens: 100, messages: [hi], ...body }, headers),
    asked: (): Json => {
      const request = provider.requests.at(-1)?.request;
      return { ...request?.native, messages: request?.messages.map(({ native }) => native) };
    },
    newest: () => provider.requests.at(-1)?.request,
  };
};

/** What a provider gets of a body. */
const heard = async (body: object): Promise<Json> => {
  const { ask, asked } = setUp();
  const response = await ask(body);
  expect(await response.json()).toMatchObject({ type: "message" });
  return asked();
};

describe("a request of Messages", () => {
  test("has its system text first: blocks, and messages in the middle; the line of who pays is no part of it", async () => {
    const { messages } = await heard({
      system: [
        { type: "text", text: "x-anthropic-billing-header: cc_version=2.1.332;" },
        { type: "text", text: "You are a helper.", cache_control: { type: "ephemeral" } },
      ],
      messages: [
        hi,
        { role: "system", content: [{ type: "text", text: "Today is Monday." }] },
        { role: "assistant", content: "Hello" },
        { role: "system", content: "Be brief." },
        { role: "user", content: [{ type: "text", text: "And now?" }] },
      ],
    });
    expect(messages).toEqual([
      { role: "system", content: "You are a helper.\n\nToday is Monday.\n\nBe brief." },
      hi,
      { role: "assistant", content: "Hello" },
      { role: "user", content: "And now?" },
    ]);
  });

  test("has a system text without its first line where that says who pays", async () => {
    const { messages } = await heard({
      system: "x-anthropic-billing-header: cc_version=2;\n\nYou are a helper.\nBe kind.",
    });
    expect(messages[0]).toEqual({ role: "system", content: "You are a helper.\nBe kind." });
  });

  test("has results of tools as messages of their own, images inside them after those", async () => {
    const source = { type: "base64", media_type: "image/jpeg", data: "AAAA" };
    const { messages } = await heard({
      messages: [
        hi,
        {
          role: "assistant",
          content: [
            { type: "thinking", thinking: "Two files.", signature: "x" },
            { type: "redacted_thinking", data: "…" },
            { type: "text", text: "Reading." },
            { type: "tool_use", id: "toolu_1", name: "read", input: { path: "a" } },
            { type: "server_tool_use", id: "srvtoolu_1", name: "web_search", input: {} },
            { type: "tool_use", id: "toolu_x-functions-2eread-3a1", name: "read" },
          ],
        },
        {
          role: "user",
          content: [
            { type: "text", text: "Here." },
            {
              type: "tool_result",
              tool_use_id: "toolu_1",
              content: [
                { type: "text", text: "A" },
                { type: "image", source },
              ],
            },
            {
              type: "tool_result",
              tool_use_id: "toolu_x-functions-2eread-3a1",
              is_error: true,
              content: "no such file",
            },
            { type: "tool_result", tool_use_id: "toolu_2" },
          ],
        },
      ],
    });
    expect(messages.slice(1)).toEqual([
      {
        role: "assistant",
        content: "Reading.",
        reasoning_content: "Two files.",
        tool_calls: [
          { id: "toolu_1", type: "function", function: { name: "read", arguments: '{"path":"a"}' } },
          { id: "functions.read:1", type: "function", function: { name: "read", arguments: "{}" } },
        ],
      },
      { role: "tool", tool_call_id: "toolu_1", content: "A" },
      { role: "tool", tool_call_id: "functions.read:1", content: "Error: no such file" },
      { role: "tool", tool_call_id: "toolu_2", content: "" },
      {
        role: "user",
        content: [
          { type: "text", text: "Here." },
          { type: "image_url", image_url: { url: "data:image/jpeg;base64,AAAA" } },
        ],
      },
    ]);
  });

  test("has documents as text or files, and nothing of blocks that nobody knows", async () => {
    const { messages } = await heard({
      messages: [
        {
          role: "user",
          content: [
            { type: "document", source: { type: "text", media_type: "text/plain", data: "A text." } },
            { type: "document", source: { type: "content", content: [{ type: "text", text: "Inside." }] } },
            {
              type: "document",
              title: "a.pdf",
              source: { type: "base64", media_type: "application/pdf", data: "JVBE" },
            },
            { type: "image", source: { type: "url", url: "https://example.com/a.png" } },
            {
              type: "search_result",
              title: "Found",
              source: "https://a.test",
              content: [{ type: "text", text: "It." }],
            },
            { type: "brand_new", text: "?" },
            { type: "image" },
            {},
          ],
        },
      ],
    });
    expect(messages[0].content).toEqual([
      { type: "text", text: "A text." },
      { type: "text", text: "Inside." },
      { type: "file", file: { filename: "a.pdf", file_data: "data:application/pdf;base64,JVBE" } },
      { type: "image_url", image_url: { url: "https://example.com/a.png" } },
      { type: "text", text: "Found\nhttps://a.test\nIt." },
    ]);
  });

  const own = { name: "f", description: "Does it.", input_schema: { type: "object" }, cache_control: {} };
  const placeholder = { name: "later", defer_loading: true };
  const hosted = { type: "web_search_20250305", name: "web_search", max_uses: 3 };

  test.each([
    [{ type: "auto" }, "auto"],
    [{ type: "any" }, "required"],
    [{ type: "none" }, "none"],
    [
      { type: "tool", name: "f" },
      { type: "function", function: { name: "f" } },
    ],
    [{ type: "tool", name: "web_search" }, "auto"],
    [{ type: "brand_new" }, "auto"],
  ])("has its tools as functions, and the choice %p as %p", async (tool_choice, expected) => {
    const asked = await heard({
      tools: [own, hosted, placeholder],
      tool_choice: { ...tool_choice, disable_parallel_tool_use: true },
    });
    expect(asked.tools).toEqual([
      { type: "function", function: { name: "f", description: "Does it.", parameters: { type: "object" } } },
      { type: "function", function: { name: "later", parameters: { type: "object", properties: {} } } },
    ]);
    expect(asked.tool_choice).toEqual(expected);
    expect(asked.parallel_tool_calls).toBe(false);
  });

  test("has no tools where none is left, and no choice of them", async () => {
    const asked = await heard({ tools: [hosted], tool_choice: { type: "any" } });
    expect(asked).not.toContainAnyKeys(["tools", "tool_choice", "parallel_tool_calls"]);
  });

  test("has a schema by its new name and by the old one", async () => {
    const format = { type: "json_schema", schema: { type: "object" } };
    const expected = { type: "json_schema", json_schema: { name: "answer", schema: { type: "object" } } };
    expect((await heard({ output_config: { effort: "high", format } })).response_format).toEqual(expected);
    expect((await heard({ output_format: format })).response_format).toEqual(expected);
  });

  test("lets everything pass that Claude Code sends beside it, and sends none of it on", async () => {
    const asked = await heard({
      temperature: 1,
      top_p: 0.9,
      top_k: 5,
      thinking: { type: "adaptive", display: "summarized" },
      output_config: { effort: "high" },
      context_management: { edits: [{ type: "clear_thinking_20251015", keep: "all" }] },
      metadata: { user_id: '{"device_id":"d","session_id":"s"}' },
      service_tier: "auto",
      container: null,
      mcp_servers: [],
      betas: ["a", "b"],
      speed: "fast",
    });
    expect(Object.keys(asked).sort()).toEqual(["max_tokens", "messages", "stream", "temperature", "top_p"]);
  });

  test("may have any number of stop texts: the first four are the upstream's, and the one that ended it is told", async () => {
    const stop_sequences = ["a", "b", "c", "d", "e", "f"];
    const { ask, asked, newest } = setUp();
    await ask({ stop_sequences });
    expect(asked().stop).toEqual(["a", "b", "c", "d"]);
    expect(newest()?.stop).toEqual(stop_sequences);

    const provider = scriptedProvider({
      async *answer() {
        yield { type: "text-delta", delta: "One " };
        yield { type: "finish", reason: "stop", stopSequence: "e" };
      },
    });
    const { send } = testHandler({}, { providers: [provider] });
    for (const stream of [false, true]) {
      const body = JSON.stringify({ max_tokens: 9, messages: [hi], stop_sequences, stream });
      const text = await (await send("/v1/messages", { method: "POST", body })).text();
      expect(text).toContain('"stop_reason":"stop_sequence","stop_sequence":"e"');
    }
  });

  test("names no conversation by its metadata or by the headers of Claude Code", async () => {
    const { ask, records, newest } = setUp();
    for (let turn = 0; turn < 2; turn++) {
      await ask(
        { metadata: { user_id: "user_1" }, user: "user_1" },
        { "x-claude-code-session-id": "0190c5b4-3b2e", "x-claude-code-agent-id": "1" },
      );
    }
    expect(records.map(({ session }) => session)).toEqual([undefined, undefined]);
    expect(newest()?.messages.length).toBe(1);
  });

  test("remembers by X-Session-Id alone", async () => {
    const { ask, newest } = setUp();
    const headers = { "x-session-id": "a-session-of-this-test" };
    await ask({}, headers);
    await ask({ messages: [{ role: "user", content: "And?" }] }, headers);
    expect(newest()?.messages.map(({ text }) => text)).toEqual(["Hi", "ok", "And?"]);
  });

  test("shows thoughts only where they are asked for and not hidden", async () => {
    const parts: StreamPart[] = [
      { type: "reasoning-delta", delta: "Hm." },
      { type: "text-delta", delta: "Yes." },
    ];
    for (const [thinking, shown] of [
      [undefined, false],
      [{ type: "disabled" }, false],
      [{ type: "adaptive", display: "omitted" }, false],
      [{ type: "adaptive" }, true],
      [{ type: "enabled", budget_tokens: 1024 }, true],
    ] as const) {
      for (const stream of [false, true]) {
        const { ask } = setUp(parts);
        expect((await (await ask({ thinking, stream })).text()).includes("Hm.")).toBe(shown);
      }
    }
  });

  test("that has nothing to read is refused", async () => {
    const { ask } = setUp();
    const response = await ask({
      messages: [{ role: "assistant", content: [{ type: "redacted_thinking" }] }],
    });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { type: "invalid_request_error" } });
  });
});

describe("an answer of Messages", () => {
  const call = (delta: string): StreamPart => ({
    type: "tool-call-delta",
    index: 0,
    id: "a",
    name: "f",
    delta,
  });

  test("fails where a call's arguments are no JSON object", async () => {
    for (const json of ["[1]", '{"a":', "7"]) {
      const { ask } = setUp([call(json)]);
      const whole = await ask({});
      expect(whole.status).toBe(502);
      expect(await whole.json()).toMatchObject({ error: { type: "api_error" } });
      const streamed = await (await setUp([call(json)]).ask({ stream: true })).text();
      expect(streamed).toContain("event: error\n");
      expect(streamed).not.toContain("message_stop");
    }
  });

  test("has an empty object for a call without arguments", async () => {
    const { ask } = setUp([call("")]);
    expect((await (await ask({})).json()).content).toEqual([
      { type: "tool_use", id: "a", name: "f", input: {} },
    ]);
    expect(await (await ask({ stream: true })).text()).toContain('"partial_json":"{}"');
  });

  test("counts cached tokens apart", async () => {
    const details = { prompt_tokens_details: { cached_tokens: 30 } };
    const usage = { promptTokens: 100, completionTokens: 5, totalTokens: 105, details };
    const { ask } = setUp([
      { type: "text-delta", delta: "ok" },
      { type: "usage", usage },
    ]);
    expect((await (await ask({})).json()).usage).toEqual({
      input_tokens: 70,
      cache_creation_input_tokens: 0,
      cache_read_input_tokens: 30,
      output_tokens: 5,
      service_tier: "standard",
    });
  });

  test("has the request's id in request-id too, failures also in the body", async () => {
    const { ask, post } = setUp();
    const headers = { "x-request-id": "mine-1" };
    expect((await ask({}, headers)).headers.get("request-id")).toBe("mine-1");
    const failed = await post("/v1/messages", {}, headers);
    expect(failed.headers.get("request-id")).toBe("mine-1");
    expect(await failed.json()).toMatchObject({ request_id: "mine-1" });
    const counted = await post("/v1/messages/count_tokens", { messages: [hi] }, headers);
    expect(counted.headers.get("request-id")).toBe("mine-1");
  });
});

describe("on the site", () => {
  test("what can't fit is refused at once, in the words that Claude Code knows", async () => {
    let calls = 0;
    const fetch = async () => {
      calls++;
      return new Response();
    };
    const { send } = testHandler({}, { providers: [kimiWeb({ fetch })] });
    const messages = [{ role: "user", content: "x".repeat(48_000) }];
    for (const stream of [false, true]) {
      const body = JSON.stringify({ model: "kimi-k2-instruct", max_tokens: 100, messages, stream });
      const response = await send("/v1/messages", { method: "POST", body });
      expect(response.status).toBe(400);
      expect(response.headers.get("x-should-retry")).toBe("false");
      const { error } = await response.json();
      expect(error.type).toBe("invalid_request_error");
      expect(error.message).toMatch(/^prompt is too long: \d+ tokens > \d+ maximum/);
    }
    expect(calls).toBe(0);
  });
});
