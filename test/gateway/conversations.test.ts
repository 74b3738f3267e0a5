/** Conversations that begin at the chat site and go on at an OpenAI-compatible upstream, and back. */
import { beforeEach, describe, expect, test } from "bun:test";
import { chunk, doneEvent, eventStream, jsonScript } from "../fakes/openai-upstream.ts";
import { gatewayBeforeSite } from "../support/gateway-before-site.ts";
import { testUpstream } from "../support/gateway-before-upstreams.ts";
import { hello, sseData, testHandler } from "../support/test-handler.ts";

const upstream = await testUpstream();
const { baseURL, site } = await gatewayBeforeSite({
  PROVIDERS: JSON.stringify([
    { name: "vendor", baseUrl: upstream.baseUrl, models: ["echo"] },
    { name: "small", baseUrl: upstream.baseUrl, models: ["echo"], contextMaxTokens: 60 },
  ]),
  MODEL_FALLBACKS: '{"kimi-k2-instruct":["vendor/echo"]}',
  CIRCUIT_BREAKER: "off",
});
beforeEach(() => site.reset());

const kimi = "kimi-k2-instruct";
const user = (content: unknown) => ({ role: "user", content });

/** A conversation of its own. */
const session = () => {
  const headers = { "x-session-id": crypto.randomUUID() };
  return {
    async say(model: string, message: object, more: object = {}) {
      const body = JSON.stringify({ model, messages: [message], ...more });
      const response = await fetch(`${baseURL}/chat/completions`, { method: "POST", headers, body });
      const text = await response.text();
      const events = response.headers.get("content-type")?.startsWith("text/event-stream");
      return { response, text, answer: events ? undefined : JSON.parse(text) };
    },
    remembered: async () => (await (await fetch(`${baseURL}/session`, { headers })).json()).messages,
  };
};
const toldUpstream = () => upstream.calls.at(-1)?.body.messages;
const toldSite = async () => (await site.log()).ajax.at(-1)?.message;

describe("a conversation", () => {
  test("moves from the site to an upstream and back, with all that was said", async () => {
    const { say, remembered } = session();
    const first = await say(kimi, user("I am Ada."));
    const reply = first.answer.choices[0].message.content;
    await say("vendor/echo", user("Who am I?"));
    expect(toldUpstream()).toEqual([
      user("I am Ada."),
      { role: "assistant", content: reply },
      user("Who am I?"),
    ]);
    await say(kimi, user("And now?"));
    expect(await toldSite()).toContain("User: I am Ada.");
    expect(await toldSite()).toContain("Assistant: Echo: Who am I?");
    expect(await toldSite()).toEndWith("User: And now?");
    expect((await remembered()).map(({ role }: { role: string }) => role)).toEqual(
      Array(3).fill(["user", "assistant"]).flat(),
    );
  });

  test("keeps images, tool calls and reasoning as they were, and tells the site what it can take", async () => {
    const { say } = session();
    const picture = user([
      { type: "text", text: "Where is this?" },
      { type: "image_url", image_url: { url: "data:image/png;base64,AAAA" } },
    ]);
    const extra_content = { google: { thought_signature: "c2ln" } };
    const call = { id: "a", type: "function", extra_content, function: { name: "locate", arguments: "{}" } };
    upstream.script({
      headers: eventStream,
      steps: [
        chunk({ reasoning_content: "A tower." }),
        chunk({ tool_calls: [{ index: 0, ...call }] }, "tool_calls"),
        doneEvent,
      ],
    });
    const tools = [{ type: "function", function: { name: "locate", parameters: {} } }];
    await say("vendor/echo", picture, { tools, stream: true });
    const result = { role: "tool", tool_call_id: "a", content: "Paris" };
    const { answer } = await say("vendor/echo", result, { tools });
    expect(answer.choices[0].message.content).toBe("The tool said: Paris");
    expect(toldUpstream()).toEqual([
      picture,
      { role: "assistant", content: null, reasoning_content: "A tower.", tool_calls: [call] },
      result,
    ]);
    // Some upstreams refuse a request with another model's reasoning in it.
    await say("vendor/echo", user("Thanks"));
    expect(toldUpstream()[1]).toEqual({ role: "assistant", content: null, tool_calls: [call] });
  });

  test("goes on at the fallback when the site fails in the middle of it", async () => {
    const { say } = session();
    await say(kimi, user("I am Ada."));
    await site.queue({ ajax: ["http=503"] });
    const { response, answer } = await say(kimi, user("Who am I?"));
    expect(response.headers.get("x-served-by")).toBe("vendor/echo");
    expect(response.headers.get("x-fallback-from")).toBe(`kimi-web/${kimi}`);
    expect(answer.model).toBe(kimi);
    expect(toldUpstream().map(({ role }: { role: string }) => role)).toEqual(["user", "assistant", "user"]);
    await say(kimi, user("And now?"));
    expect(await toldSite()).toContain("Assistant: Echo: Who am I?");
  });

  test("that is too long for the site goes to the fallback, whole", async () => {
    const { response } = await session().say(kimi, user("x".repeat(1001)));
    expect(response.headers.get("x-served-by")).toBe("vendor/echo");
    expect(response.headers.get("x-context-dropped-messages")).toBeNull();
  });

  test("is cut to what an upstream takes, and kept whole", async () => {
    const { say, remembered } = session();
    for (let turn = 0; turn < 4; turn++)
      await say("vendor/echo", user(`Turn ${turn} ${"of many ".repeat(5)}`));
    const { response } = await say("small/echo", user("The last?"));
    const dropped = Number(response.headers.get("x-context-dropped-messages"));
    expect(dropped).toBeGreaterThan(0);
    expect(dropped % 2).toBe(0);
    expect(toldUpstream()).toHaveLength(9 - dropped);
    expect(toldUpstream()[0].role).toBe("user");
    expect(await remembered()).toHaveLength(10);
  });

  test("keeps nothing of a turn that failed", async () => {
    const { say, remembered } = session();
    upstream.script(jsonScript(400, { error: { message: "No." } }));
    expect((await say("vendor/echo", user("Hello"))).response.status).toBe(400);
    upstream.script({ headers: eventStream, steps: [chunk({ content: "Hal" })] });
    const { text } = await say("vendor/echo", user("Hello"), { stream: true });
    expect(sseData(text).at(-1)).toMatchObject({ error: { code: "upstream_unreachable" } });
    expect(await remembered()).toEqual([]);
  });
});

test("a header of SESSION_HEADERS names a conversation, for chats and for looking and forgetting", async () => {
  const { send, chat, provider } = testHandler({ SESSION_HEADERS: "X-OpenWebUI-Chat-Id,session_id" });
  const say = (content: string, headers: Record<string, string>) =>
    chat({ ...hello, messages: [user(content)] }, { headers });
  await say("I am Ada.", { "x-openwebui-chat-id": "one" });
  await say("Who am I?", { session_id: "one" });
  expect(provider.requests.at(-1)?.request.messages).toHaveLength(3);
  await say("And I?", { "x-session-id": "one" });
  expect(provider.requests.at(-1)?.request.messages).toHaveLength(1);
  const seen = await (await send("/v1/session", { headers: { session_id: "one" } })).json();
  expect(seen.messages).toHaveLength(4);
  const unnamed = await (await send("/v1/session")).json();
  expect(unnamed.error).toMatchObject({ param: "X-OpenWebUI-Chat-Id" });
  expect(unnamed.error.message).toContain("X-OpenWebUI-Chat-Id or session_id");
  const empty = await say("And I?", { session_id: "undefined" });
  expect(empty.status).toBe(400);
  expect((await empty.json()).error).toMatchObject({ code: "invalid_request", param: "session_id" });
});
